"""One table of all windows: after it, a dry run shows every job."""


checkpoint plan:
    input:
        summaries=expand(f"{OUT}/probe/{{video}}.json", video=VIDEOS),
        indexes=expand(f"{OUT}/probe/{{video}}.index.parquet", video=VIDEOS),
    output:
        windows=f"{OUT}/plan/windows.tsv",
        videos=f"{OUT}/plan/videos.tsv",
    log:
        f"{OUT}/logs/plan/plan.log",
    benchmark:
        f"{OUT}/benchmarks/plan/plan.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
    params:
        duration=settings.window_duration,
        overlap=settings.window_overlap,
        frame_interval=settings.frame_interval,
        independent=not CHAIN,
        code=digest("longtake.plan"),
    message:
        "Cut every video into windows"
    script:
        "../workflow/scripts/plan.py"
