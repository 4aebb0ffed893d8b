"""Facts about each video, and where each of its frames lies."""


rule probe_video:
    input:
        video=video_of,
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
        code=digest("longtake.media.cut"),
    message:
        "Look at {wildcards.video}"
    script:
        "../workflow/scripts/probe_video.py"


# What a probe would say of a video that nobody has given yet.
rule typical_video:
    output:
        summary=f"{OUT}/plan/typical/{{name}}.json",
    log:
        f"{OUT}/logs/typical_video/{{name}}.log",
    benchmark:
        f"{OUT}/benchmarks/typical_video/{{name}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        code=digest("longtake.store.atomic"),
    message:
        "Suppose a video of 1920 x 1080 pixels"
    script:
        "../workflow/scripts/typical_video.py"
