"""The clips of a video played with their gradient maps."""


rule heat_video:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        clips=f"{OUT}/gradients/{{video}}.clips.parquet",
        curves=f"{OUT}/gradients/{{video}}.curves.parquet",
        maps=in_windows("gradients/{video}/window-{window}.maps.safetensors"),
    output:
        video=f"{OUT}/figures/{{video}}/heat.mp4",
    log:
        f"{OUT}/logs/heat_video/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/heat_video/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        source=source_of,
        species=species_names(),
        width=settings.export.overlay_width,
        code=digest("longtake.export.heat"),
    message:
        "Play the clips of {wildcards.video} with their gradient maps"
    script:
        "../workflow/scripts/heat_video.py"
