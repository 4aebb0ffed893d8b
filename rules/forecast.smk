"""What jobs of models will take of memory, said before they run; and what fits on this machine."""

import time

# What both forecasts found out, for the next time. No output: Snakemake would delete it before a job.
KNOWN = f"{OUT}/plan/known"


rule forecast_annotate:
    input:
        summaries=shapes(cut),
        model=TRACKER,
    output:
        forecast=FORECASTS[0],
    log:
        f"{OUT}/logs/forecast_annotate/forecast_annotate.log",
    benchmark:
        f"{OUT}/benchmarks/forecast_annotate/forecast_annotate.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(4000),
    params:
        objects=objects_at_once,
        prompted=prompted_frames,
        model=model_folder,
        options={**TRACKING, "direction": settings.annotate.direction},
        force_cpu=settings.device.force_cpu,
        known=KNOWN,
        code=digest("longtake.annotate.forecast"),
    message:
        "Forecast what following objects takes of memory"
    script:
        "../workflow/scripts/forecast_annotate.py"


rule forecast_gradients:
    input:
        summaries=shapes(drawn),
        model=CLASSIFIER,
    output:
        forecast=FORECASTS[1],
    log:
        f"{OUT}/logs/forecast_gradients/forecast_gradients.log",
    benchmark:
        f"{OUT}/benchmarks/forecast_gradients/forecast_gradients.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(4000),
    params:
        objects=objects_at_once,
        frames=frames_in_window,
        options={**settings.gradients.model_dump(), "model": model_spec(settings.gradients.model, BASE)},
        force_cpu=settings.device.force_cpu,
        known=KNOWN,
        code=digest("longtake.gradients.forecast"),
    message:
        "Forecast what gradients take of memory"
    script:
        "../workflow/scripts/forecast_gradients.py"


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


# Of this machine, and of this moment: so it is made anew whenever it is asked for.
rule memory_check:
    input:
        forecasts=FORECASTS,
    output:
        table=f"{OUT}/reports/memory_check.tsv",
    log:
        f"{OUT}/logs/memory_check/memory_check.log",
    benchmark:
        f"{OUT}/benchmarks/memory_check/memory_check.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1000),
    params:
        classes=[asdict(each) for each in CLASSES],
        terms=TERMS,
        gpus=not settings.device.force_cpu,
        rules=RULES,
        history=settings.memory.history,
        asked_at=time.time(),
        code=digest("longtake.planning.jobs"),
    message:
        "What fits on this machine, and why"
    script:
        "../workflow/scripts/memory_check.py"
