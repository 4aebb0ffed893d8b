"""What is looked at before a run: whether the results are those of these settings, whether another run is at them."""

import atexit

from longtake.store.lock import acquire, release
from longtake.store.made import refuse_other, remember, that_matter, told_of
from longtake.submission import refuse_misquoted

RECORDS = Path(".snakemake")
# Whoever only looks at results, or removes Snakemake's lock, is not kept from it.
LOOKING = {"status", "partial", "memory_check", "--unlock"}


def check_there_is_work():
    """Refuse a study in which no analysis has anything to do; what fits on this machine may be asked all the same."""
    if not (taking_part() or "memory_check" in sys.argv) and workflow.is_main_process:
        raise WorkflowError(f"SheetError: {nothing_to_do(settings.videos)}")


def sheet_rows():
    """A digest of what the sheets say of each video; not where it lies, which its own digest makes up for."""
    shown = ("object", "label", "frame", "time_s", "box", "until_s", "points", "negative_points")
    for video, row in VIDEOS.items():
        prompts = [[getattr(prompt, name) for name in shown] for prompt in PROMPTS[video]]
        yield video, [row.species, row.stream, prompts]


MATTERING = that_matter(settings.model_dump())
if workflow.is_main_process and not LOOKING & set(sys.argv):
    try:
        refuse_other(Path(OUT), RECORDS, MATTERING, lambda: told_of(sheet_rows()))
    except LongtakeError as error:
        raise WorkflowError(f"{type(error).__name__}: {error}") from None


def begin():
    """Take the lock of the results, and write down what they are made with from now on."""
    if workflow.execution_settings.lock:
        atexit.register(release, acquire(Path(OUT)))
    if not LOOKING & set(sys.argv):
        remember(Path(OUT), RECORDS, MATTERING, told_of(sheet_rows()))
    # Jobs on another machine are handed the paths of their inputs in a command line, those on this one are not.
    if workflow.non_local_exec:
        inputs = {str(path) for each in workflow.dag.needrun_jobs() for path in each.input}
        refuse_misquoted([os.getcwd(), str(workflow.main_snakefile), *map(str, workflow.configfiles), *sorted(inputs)])


onstart:
    try:
        if workflow.is_main_process:
            begin()
    except LongtakeError as error:
        raise WorkflowError(f"{type(error).__name__}: {error}") from None
