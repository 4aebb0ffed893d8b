"""The windows of the videos as rules see them: values, and the files of each."""

@cache
def cut():
    """The windows of each readable video. Waits until videos are cut; windows reach rules as values, not as a file."""
    return read_windows(checkpoints.windows.get().output.windows)


@cache
def planned():
    """The same, and waits for the plan, too, so that jobs know what to ask for.

    A dry run shows them with what they would ask for now, even where the plan is to be made anew.
    """
    windows = cut()
    if not (workflow.dryrun and Path(REQUESTS).exists()):
        checkpoints.plan.get()
    return windows


def window_of(wildcards):
    """The window of a job, as plain values."""
    return dict(vars(planned()[wildcards.video][int(wildcards.window)]))


def wait_for_plan(wildcards):
    """An input without files that waits for the plan; params that read it do not wait by themselves."""
    return planned() and []


def all_windows_of(wildcards):
    """All windows of a job's video, as plain values."""
    return [dict(vars(window)) for window in planned()[wildcards.video]]


def windows_of(video, pattern):
    """The files `pattern` of all windows of a video."""
    windows = planned()[video]
    return [f"{OUT}/{pattern}".format(video=video, window=f"{window.window:04d}") for window in windows]


def backward_windows_of(wildcards):
    """The backward passes of all windows of a job's video, where there are any."""
    both = settings.annotate.direction == "both"
    return windows_of(wildcards.video, "annotate/{video}/window-{window}.backward.parquet") if both else []


def per_video(pattern):
    """An input function: the files `pattern` of every readable video."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in planned()]
