"""Facts about each video, and where each of its frames lies."""


rule probe_video:
    input:
        # A demo renders its videos: they are as new as their files. Of all others the stamp counts.
        video=video_of if settings.demo else ancient(video_of),
    output:
        summary=f"{OUT}/probe/{{video}}.json",
        index=f"{OUT}/probe/{{video}}.index.parquet",
    log:
        f"{OUT}/logs/probe_video/{{video}}.log",
    benchmark:
        f"{OUT}/benchmarks/probe_video/{{video}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        picture_rate=settings.picture_rate,
        stream=often(lambda wildcards: named(wildcards.video).stream),
        stamp=stamp_of,
        code=digest("longtake.media.cut"),
    message:
        "Look at {wildcards.video}"
    script:
        "../workflow/scripts/probe_video.py"
