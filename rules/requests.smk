"""What a job of a model asks of the machine or the cluster. The plan says it, and no result depends on it."""

import shutil
from functools import lru_cache
from operator import methodcaller

from longtake.planning.classes import ANY, OWN, read_classes
from longtake.planning.request import Requests, in_words, requested, resources

REQUESTS = f"{OUT}/plan/jobs.tsv"
# Made by the steps that use a model: what their jobs will take.
FORECASTS = [f"{OUT}/plan/annotate.forecast.tsv", f"{OUT}/plan/gradients.forecast.tsv"]
RULES = ["annotate_window", "gradients_window"]
if BOTH:
    RULES.insert(1, "annotate_window_backward")


def gpu_classes():
    """The GPUs that may be asked for, smallest first: of the cluster's file, else any of a SLURM, else this machine's."""
    if settings.device.force_cpu:
        return ()
    if settings.cluster:
        return read_classes(locate(settings.cluster, BASE))
    if shutil.which("sbatch"):
        return (ANY,)
    return (OWN,) if local_gpus() else ()


try:
    CLASSES = gpu_classes()
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None


# Whether jobs run on this machine, and not on nodes of a cluster.
HERE = not settings.cluster and ANY not in CLASSES and not shutil.which("sbatch")
TERMS = {
    "margin": settings.memory.margin,
    "gpu_limit_mb": round(1024 * settings.device.gpu_memory_gb) or None,
    "no_gpu": "device.force_cpu is set" if settings.device.force_cpu else "there is no GPU",
}


# Read again when the plan was made anew while the run goes on.
@cache
def _requests_in(path, modified):
    return Requests(path)


# Asked once for each resource of a job, one after the other.
@lru_cache(maxsize=64)
def _resources_of(rule, video, window, attempt):
    request = _requests_in(REQUESTS, written(REQUESTS)).get(rule, video, int(window))
    return resources(request, CLASSES, attempt, TERMS["gpu_limit_mb"])


@often
def any_gpu(wildcards, attempt):
    """One GPU; none in a run that goes past this machine's SLURM where the machine has none: its jobs wait for nobody."""
    alone = workflow.is_main_process and workflow.local_exec and not workflow.dryrun
    return None if alone and not local_gpus() else 1


def asked(rule, **otherwise):
    """The resources of a model's rule; `otherwise` is what of `longtake.planning.request.TOLD` the plan does not say."""

    def function(read):
        @often
        def value(wildcards, attempt):
            return read(_resources_of(rule, wildcards.video, wildcards.window, attempt))

        return value

    def words(found):
        return in_words(KNOBS | otherwise | {name: value for name, value in found.items() if value is not None})

    varying = {name: function(methodcaller("get", name)) for name in ("mem_mb", "runtime", *VARYING)}
    return {**varying, **CONSTANT, "plan": function(words)}


# Only what a class asks for: a resource of a rule hides a profile's default, also where a job leaves it out.
CONSTANT, VARYING = requested(CLASSES)
if CLASSES == (ANY,):
    CONSTANT["gpu"] = any_gpu
# How a job of a model sees to its memory; a share is told in percent, since numbers are told whole.
KNOBS = {
    "clean_up_percent": round(100 * settings.memory.clean_up_at),
    "expandable_segments": settings.memory.expandable_segments,
    "approximate": int(settings.memory.allow_approximate),
}
