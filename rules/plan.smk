"""What jobs of models will ask for: after the plan, a dry run shows every job. And what fits on this machine."""

import shutil
import time

if workflow.is_main_process and settings.memory.history and not Path(settings.memory.history).is_dir():
    raise WorkflowError(
        f"memory.history is {settings.memory.history!r}, which is no folder. Name the output_dir of another run, or leave "
        "it empty."
    )
TERMS = {
    "margin": settings.memory.margin,
    "gpu_limit_mb": round(1024 * settings.device.gpu_memory_gb) or None,
    "no_gpu": "device.force_cpu is set" if settings.device.force_cpu else "there is no GPU",
}


# What an analysis says of its jobs' memory, in its module `workload`; the files by which it does are its `shapes`.
rule forecast:
    input:
        shapes=often(lambda wildcards: [path for each in PARTS[wildcards.analysis].shapes for path in each(wildcards)]),
        model=often(lambda wildcards: PARTS[wildcards.analysis].model),
    output:
        forecast=f"{OUT}/plan/{{analysis}}.forecast.tsv",
    log:
        f"{OUT}/logs/forecast/{{analysis}}.log",
    benchmark:
        f"{OUT}/benchmarks/forecast/{{analysis}}.tsv"
    wildcard_constraints:
        analysis="|".join(PARTS),
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(4000),
    params:
        facts=often(lambda wildcards: PARTS[wildcards.analysis].facts()),
        force_cpu=settings.device.force_cpu,
        # What forecasts found out, for the next time. No output: Snakemake would delete it before a job.
        known=f"{OUT}/plan/known",
        code=digest("longtake.planning.driver", "longtake.{wildcards.analysis}.workload"),
    message:
        "Forecast what the jobs of {wildcards.analysis} take of memory"
    script:
        "../workflow/scripts/forecast.py"


def plan_terms():
    """The params of the plan."""
    return {
        "studies": studies(None),
        "classes": [asdict(each) for each in CLASSES],
        "terms": TERMS,
        # Whether jobs run on this machine, and not on nodes of a cluster.
        "here": not settings.cluster and ANY not in CLASSES and not shutil.which("sbatch"),
        "history": settings.memory.history,
    }


@often
def asked_of_plan(wildcards):
    """The file that says so, which a driver writes."""
    if workflow.is_main_process and not workflow.dryrun:
        told_to_plan()
    return [ASKED] if Path(ASKED).exists() else []


# Chunks, GPU classes, memory and time reach jobs as resources, so a new plan reruns none of them.
checkpoint plan:
    input:
        asked=asked_of_plan,
        needs=often(lambda wildcards: of_all("needs")),
        forecasts=forecasts,
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
        asked=lambda wildcards: plan_terms(),
        code=digest("longtake.planning.jobs", *MODULES),
    message:
        "Plan every job of a model: its way, its GPU, its memory, its time"
    script:
        "../workflow/scripts/plan.py"


# Of this machine, and of this moment: so it is made anew whenever it is asked for.
rule memory_check:
    input:
        forecasts=partial(forecasts, asked=True),
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
        history=settings.memory.history,
        asked_at=time.time(),
        code=digest("longtake.planning.jobs"),
    message:
        "What fits on this machine, and why"
    script:
        "../workflow/scripts/memory_check.py"
