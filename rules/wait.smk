"""Jobs of models wait for the plan, which says what they ask for."""

import json

from longtake.store.atomic import write_text
from snakemake.exceptions import IncompleteCheckpointException
from snakemake.io import checkpoint_target

# What the plan is made of besides files. The driver writes it, and where it is the newer of the two the plan is old.
ASKED = f"{OUT}/plan/asked.json"


@cache
def told_to_plan():
    """Write what the plan is made of, if it has changed since."""
    text = json.dumps(plan_terms(), default=str, sort_keys=True, indent=1) + "\n"
    if not Path(ASKED).is_file() or Path(ASKED).read_text(encoding="utf-8") != text:
        Path(ASKED).parent.mkdir(parents=True, exist_ok=True)
        write_text(ASKED, text)


@cache
def wait():
    """Wait until the plan says what jobs ask for. A dry run shows what they would ask for now.

    Snakemake updates jobs that wait for a checkpoint in any order, and takes one for done that it has just replaced by
    another which is to be run. So a driver looks for itself whether the plan is of now.
    """
    if workflow.dryrun and Path(REQUESTS).exists():
        return
    if workflow.is_main_process and not workflow.dryrun:
        told_to_plan()
        if (written(REQUESTS) or 0) < written(ASKED):
            raise IncompleteCheckpointException(checkpoints.plan.rule, checkpoint_target(REQUESTS))
    checkpoints.plan.get()


@often
def wait_for_plan(wildcards):
    """An input without files that waits for windows and the plan; params that read them do not wait by themselves."""
    if VIDEOS:
        cut()
    wait()
    return []
