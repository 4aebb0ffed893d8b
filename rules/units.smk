"""Jobs that use a model, of whichever analysis: what takes part in a study, and what its jobs ask of the scheduler."""

from functools import lru_cache
from itertools import chain
from operator import methodcaller
from types import SimpleNamespace

from longtake.memory.budget import local_gpus
from longtake.planning.classes import ANY, offered_classes
from longtake.planning.request import Requests, in_words, requested, resources
from longtake.unit import analyses

REQUESTS = f"{OUT}/plan/jobs.tsv"
# By name, what the rule file of each analysis said of it.
PARTS = {}


def takes_part(name, *, facts, active, typical=False, needs=(), shapes=(), model=(), targets=()):
    """Say what an analysis has to do in this study.

    `facts` gives plain values for its own functions (longtake.unit); `needs` are files that these read, `model` those of
    its model, `shapes` functions that give those by which it tells what a job takes, and `targets` what the study waits
    for. One that has nothing to do is not `active`; what its jobs would take can be asked where it is `typical`.
    """
    given = {"needs": list(needs), "shapes": list(shapes), "model": list(model), "targets": list(targets)}
    PARTS[name] = SimpleNamespace(facts=cache(facts), active=active, typical=typical, **given)


def wanted(name, *targets):
    """Add to what the whole study waits for of an analysis."""
    PARTS[name].targets.extend(targets)


def taking_part():
    """Those that have something to do, by name."""
    return {name: part for name, part in sorted(PARTS.items()) if part.active}


def of_all(kind):
    """The `needs` or `targets` of every analysis that takes part."""
    return list(chain.from_iterable(vars(part)[kind] for part in taking_part().values()))


def studies(wildcards):
    """What the rules say of each analysis that takes part."""
    return {name: part.facts() for name, part in taking_part().items()}


def forecasts(wildcards, asked=False):
    """The tables of forecasts of the analyses that take part and use a model; of typical ones where that is `asked`."""
    found = [name for name, part in PARTS.items() if part.active or (asked and part.typical)]
    return [f"{OUT}/plan/{name}.forecast.tsv" for name in sorted(found) if analyses()[name].kinds]


# The modules that tell of analyses: a job that asks all of them depends on each.
MODULES = [each.module for each in analyses().values()]


try:
    CLASSES = offered_classes(settings.cluster and locate(settings.cluster, BASE), force_cpu=settings.device.force_cpu)
except LongtakeError as error:
    raise WorkflowError(f"{type(error).__name__}: {error}") from None


# Read again when the plan was made anew while the run goes on.
@cache
def _requests_in(path, modified):
    return Requests(path)


# Asked once for each resource of a job, one after the other.
@lru_cache(maxsize=64)
def _resources_of(rule, unit, attempt, modified):
    request = _requests_in(REQUESTS, modified).get(rule, unit)
    return resources(request, CLASSES, attempt, round(1024 * settings.device.gpu_memory_gb) or None)


def asked(rule, **otherwise):
    """The resources of a model's rule; `otherwise` are settings of it that change no result, and reach its job as these."""

    def function(read):
        return often(
            lambda wildcards, attempt: read(_resources_of(rule, ".".join(wildcards), attempt, written(REQUESTS)))
        )

    knobs = KNOBS | otherwise
    varying = {name: function(methodcaller("get", name)) for name in ("mem_mb", "runtime", *VARYING)}
    return {**varying, **CONSTANT, "plan": function(partial(in_words, knobs=knobs))}


# Only what a class asks for: a resource of a rule hides a profile's default, also where a job leaves it out.
CONSTANT, VARYING = requested(CLASSES)
if CLASSES == (ANY,):

    @often
    def any_gpu(wildcards, attempt):
        """None in a run that goes past this machine's SLURM where the machine has no GPU: it would wait forever.

        Asked for each job, because the executor is not known while rules are read.
        """
        alone = workflow.is_main_process and workflow.local_exec and not workflow.dryrun
        return None if alone and not local_gpus() else 1

    CONSTANT["gpu"] = any_gpu
# How a job of a model sees to its memory; a share is told in percent, since numbers are told whole.
KNOBS = {
    "clean_up_percent": round(100 * settings.memory.clean_up_at),
    "expandable_segments": settings.memory.expandable_segments,
    "approximate": int(settings.memory.allow_approximate),
}
