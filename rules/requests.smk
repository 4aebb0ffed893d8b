"""What a job of a model asks of the machine or the cluster. The plan says it, and no result depends on it."""

import shutil
from functools import lru_cache

from longtake.memory.classes import ANY, OWN, read_classes
from longtake.memory.request import Requests, resources
from longtake.sheets import most_at_once

REQUESTS = f"{OUT}/plan/jobs.tsv"
BOTH_WAYS = settings.annotate.direction == "both"


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


# Read again when the plan was made anew while the run goes on.
@cache
def _requests_in(path, modified):
    return Requests(path)


# Asked once for each resource of a job, one after the other.
@lru_cache(maxsize=64)
def _resources_of(rule, video, window, attempt):
    modified = os.stat(REQUESTS).st_mtime_ns if os.path.exists(REQUESTS) else None
    request = _requests_in(REQUESTS, modified).get(rule, video, int(window))
    limit_mb = round(1024 * settings.device.gpu_memory_gb)
    return resources(request, CLASSES, attempt, limit_mb or None)


def asked(rule, **otherwise):
    """The resources of a model's rule, as functions; `otherwise` holds those of which the plan says nothing, or not yet."""

    def one(name):
        def value(wildcards, attempt):
            found = _resources_of(rule, wildcards.video, wildcards.window, attempt).get(name)
            return otherwise.get(name) if found is None else found

        return value

    return WATCH | {name: one(name) for name in (*ASKED, *otherwise)}


# Only what a class asks for: a resource of a rule hides a profile's default, also where a job leaves it out.
REQUESTED = {name for each in CLASSES for name, value in each.resources().items() if value is not None}
ASKED = ["mem_mb", "runtime", *sorted(REQUESTED), "gpu_class", "gpu_mb", "gpu_limit_mb", "host_mb", "chunk"]
ASKED += ["frames", "forecast", "rung"]


# How a job of a model sees to its memory. A share is told in percent: Snakemake rounds resources.
WATCH = {
    "clean_up_percent": round(100 * settings.memory.clean_up_at),
    "expandable_segments": settings.memory.expandable_segments,
}


def steps(wildcards):
    """What the plan is for: the rules of each step, its videos, and how many objects each has at most at a time."""
    rules = ["annotate_window", "annotate_window_backward"] if BOTH_WAYS else ["annotate_window"]
    return {
        "annotate": {"rules": rules, "videos": list(cut()), "objects": {video: objects_of(video) for video in cut()}},
        "gradients": {"rules": ["gradients_window"], "videos": list(drawn()), "objects": {}},
    }


def objects_of(video):
    """How many objects of a video are tracked at a time, at most; 0 where none is prompted."""
    last = cut()[video][-1]
    return most_at_once(PROMPTS[video], fps=(last.stop - 1) / last.stop_s if last.stop_s else 1.0)
