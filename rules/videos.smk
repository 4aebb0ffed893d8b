"""The windows of videos as rules see them: values, and the files of each. For every analysis whose unit is a window."""

from longtake.media.windows import Windows, read_windows
from snakemake.logging import logger


wildcard_constraints:
    video=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    window=r"\d\d\d\d+",


# Windows reach rules as values and not as this file, or one more video would rerun every window of all.
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
        independent=settings.annotate.continuity != "chain",
        code=digest("longtake.media.cut"),
    message:
        "Cut every video into windows"
    script:
        "../workflow/scripts/windows.py"


@cache
def cut():
    """The windows of each readable video; waits until videos are cut."""
    made = checkpoints.windows.get().output
    windows = Windows(read_windows(made.windows), made.videos)
    # Each step ends well then, for there is nothing to do: a study of nothing would pass for one that is done.
    if VIDEOS and not windows and workflow.is_main_process:
        logger.warning(windows.none_readable())
    return windows


@cache
def planned():
    """The same, and waits for the plan, too, so that jobs know what to ask for."""
    windows = cut()
    wait()
    return windows


@often
def window_of(wildcards):
    """The window of a job, as plain values."""
    return dict(vars(planned().window(wildcards.video, int(wildcards.window))))


def all_windows_of(wildcards):
    """All windows of a job's video, as plain values."""
    return [dict(vars(window)) for window in planned()[wildcards.video]]


def windows_of(video, pattern):
    """The files `pattern` of all windows of a video."""
    windows = planned()[video]
    return [f"{OUT}/{pattern}".format(video=video, window=f"{window.window:04d}") for window in windows]


def in_windows(pattern):
    """An input function: the files `pattern` of all windows of a job's video."""
    return often(lambda wildcards: windows_of(wildcards.video, pattern))


def per_video(pattern):
    """An input function: the files `pattern` of every readable video."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in planned()]


def existing(wildcards, pattern):
    """Of each window of a job's video: the file `pattern` and when it was written, or None where there is none."""
    found = ((path, written(path)) for path in windows_of(wildcards.video, pattern))
    return [None if moment is None else [path, moment] for path, moment in found]


def species_names():
    """Every species that a prompt or a video names."""
    labels = {prompt.label for prompts in PROMPTS.values() for prompt in prompts}
    return sorted((labels | {video.species for video in VIDEOS.values()}) - {""})


@often
def cut_window(wildcards):
    """The window of a job, as plain values; no memory is planned for a file."""
    return dict(vars(cut().window(wildcards.video, int(wildcards.window))))


@often
def wait_for_windows(wildcards):
    """An input without files that waits until videos are cut."""
    cut()
    return []
