"""All windows, and what their jobs will ask for: after the plan, a dry run shows every job."""

if workflow.is_main_process and settings.memory.history and not Path(settings.memory.history).is_dir():
    raise WorkflowError(
        f"memory.history is {settings.memory.history!r}, which is no folder. Name the output_dir of another run, or leave "
        "it empty."
    )


checkpoint windows:
    input:
        summaries=expand(f"{OUT}/probe/{{video}}.json", video=VIDEOS),
        indexes=expand(f"{OUT}/probe/{{video}}.index.parquet", video=VIDEOS),
    output:
        windows=f"{OUT}/plan/windows.tsv",
        videos=f"{OUT}/plan/videos.tsv",
    log:
        f"{OUT}/logs/windows/windows.log",
    benchmark:
        f"{OUT}/benchmarks/windows/windows.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        duration=settings.window_duration,
        overlap=settings.window_overlap,
        frame_interval=settings.frame_interval,
        independent=not CHAIN,
        code=digest("longtake.media.cut"),
    message:
        "Cut every video into windows"
    script:
        "../workflow/scripts/windows.py"


# Chunks, GPU classes, memory and time reach jobs as resources, so a new plan reruns none of them.
checkpoint plan:
    input:
        windows=f"{OUT}/plan/windows.tsv",
        forecasts=FORECASTS,
    output:
        jobs=REQUESTS,
    log:
        f"{OUT}/logs/plan/plan.log",
    benchmark:
        f"{OUT}/benchmarks/plan/plan.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        steps=steps,
        classes=[asdict(each) for each in CLASSES],
        terms=TERMS,
        here=HERE,
        history=settings.memory.history,
        frame_interval=settings.frame_interval,
        code=digest("longtake.planning.jobs"),
    message:
        "Plan every job of a model: its way, its GPU, its memory, its time"
    script:
        "../workflow/scripts/plan.py"
