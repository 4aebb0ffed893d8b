"""What stands in for videos where the sheet has none: what fits may be asked before there is a video."""


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
