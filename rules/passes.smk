"""The passes over the windows of a video, and the states that they hand on."""

# Whether windows hand the tracker's state on, and the files in which they do.
CHAIN = settings.annotate.continuity == "chain"
STATE = f"{OUT}/annotate/{{video}}/window-{{window}}.state.safetensors"
BACKWARD_STATE = f"{OUT}/annotate/{{video}}/window-{{window}}.backward.state.safetensors"
# The passes over each window, and what each makes of it.
PASSES = {"annotate_window": "annotate/{video}/window-{window}.parquet"}
if settings.annotate.direction == "both":
    PASSES["annotate_window_backward"] = "annotate/{video}/window-{window}.backward.parquet"


@often
def state_before(wildcards):
    """The state that the window before hands over; none for the first, and none where windows are independent."""
    window = window_of(wildcards)["window"]
    return [STATE.format(video=wildcards.video, window=f"{window - 1:04d}")] if CHAIN and window > 0 else []


@often
def state_after(wildcards):
    """The same of a backward pass, which comes from the window after; none for the last."""
    window, last = window_of(wildcards)["window"], len(planned()[wildcards.video]) - 1
    following = BACKWARD_STATE.format(video=wildcards.video, window=f"{window + 1:04d}")
    return [following] if CHAIN and window < last else []


@often
def backward_windows_of(wildcards):
    """The backward passes of all windows of a job's video, where there are any."""
    return [path for pattern in list(PASSES.values())[1:] for path in windows_of(wildcards.video, pattern)]
