"""The windows of the videos as rules see them: values, and the files of each."""

import hashlib
from itertools import product

from snakemake.logging import logger

from longtake.media.windows import Windows

# What is made of a window, one of each pass over it.
PASSES = ["annotate/{video}/window-{window}.parquet"]
if BOTH:
    PASSES.append("annotate/{video}/window-{window}.backward.parquet")


@cache
def cut():
    """The windows of each readable video. Waits until videos are cut; windows reach rules as values, not as a file."""
    made = checkpoints.windows.get().output
    windows = Windows(read_windows(made.windows), made.videos)
    # Each step ends well then, for there is nothing to do: a study of nothing would pass for one that is done.
    if VIDEOS and not windows and workflow.is_main_process:
        logger.warning(windows.none_readable())
    return windows


@cache
def planned():
    """The same, and waits for the plan, too, so that jobs know what to ask for.

    A dry run shows them with what they would ask for now, even where the plan is to be made anew.
    """
    windows = cut()
    if not (workflow.dryrun and Path(REQUESTS).exists()):
        checkpoints.plan.get()
    return windows


@often
def window_of(wildcards):
    """The window of a job, as plain values."""
    return dict(vars(planned().window(wildcards.video, int(wildcards.window))))


@often
def wait_for_plan(wildcards):
    """An input without files that waits for the plan; params that read it do not wait by themselves."""
    planned()
    return []


def all_windows_of(wildcards):
    """All windows of a job's video, as plain values."""
    return [dict(vars(window)) for window in planned()[wildcards.video]]


@often
def duration_of(wildcards):
    """How long a job's video lasts, in seconds."""
    return planned().durations[wildcards.video]


def windows_of(video, pattern):
    """The files `pattern` of all windows of a video."""
    windows = planned()[video]
    return [f"{OUT}/{pattern}".format(video=video, window=f"{window.window:04d}") for window in windows]


def in_windows(pattern):
    """An input function: the files `pattern` of all windows of a job's video."""
    return often(lambda wildcards: windows_of(wildcards.video, pattern))


@often
def backward_windows_of(wildcards):
    """The backward passes of all windows of a job's video, where there are any."""
    return [path for pattern in PASSES[1:] for path in windows_of(wildcards.video, pattern)]


def per_video(pattern):
    """An input function: the files `pattern` of every readable video."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in planned()]


def written(path):
    """When a file was written, in nanoseconds; None where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None


def existing(wildcards, pattern):
    """Of each window of a job's video: the file `pattern` and when it was written, or None where there is none."""
    found = ((path, written(path)) for path in windows_of(wildcards.video, pattern))
    return [None if moment is None else [path, moment] for path, moment in found]


def what_exists(wildcards):
    """When the files and records of all windows were written, as one number: the table is made anew as they change."""
    patterns = [*PASSES, "gradients/{video}/window-{window}.clips.parquet"]
    patterns += [f"logs/{rule}/{{video}}.{{window}}.json" for rule in RULES]
    found = hashlib.sha256()
    for video, pattern in product(planned(), patterns):
        for path in windows_of(video, pattern):
            found.update(f"{path} {written(path)}\n".encode())
    return found.hexdigest()


def steps_of_windows(wildcards):
    """The steps of a window, and the videos that take them."""
    return {
        "annotate": list(planned()),
        **({"backward": list(planned())} if BOTH else {}),
        "gradients": list(analysed()),
    }
