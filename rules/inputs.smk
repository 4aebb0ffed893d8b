"""What jobs ask for beyond a pattern: states of windows, videos whose gradients are taken, and what a plan is about."""

from longtake.sheets import most_at_once
from longtake.streams import pick

# By name, how many objects they show; they stand for the videos of a sheet without one.
TYPICAL = {f"1920x1080-objects-{number}": number for number in (1, 8, 50)}


def state_before(wildcards):
    """The state that the window before hands over; none for the first, and none where windows are independent."""
    window = window_of(wildcards)["window"]
    return [STATE.format(video=wildcards.video, window=f"{window - 1:04d}")] if CHAIN and window > 0 else []


def state_after(wildcards):
    """The same of a backward pass, which comes from the window after; none for the last."""
    window, last = window_of(wildcards)["window"], len(planned()[wildcards.video]) - 1
    following = BACKWARD_STATE.format(video=wildcards.video, window=f"{window + 1:04d}")
    return [following] if CHAIN and window < last else []


def labels_of(video):
    """The species that a video may show, as its sheets name them; objects that are found have the video's own."""
    own = VIDEOS[video].species or "unlabelled"
    prompted = {prompt.label or own for prompt in PROMPTS[video]}
    found = settings.annotate.dense_seeding == "always" or settings.annotate.continuity == "overlap"
    return prompted | {own} if found or not prompted or settings.gradients.clips == "even" else prompted


def analysed():
    """Each video whose gradients are taken, and the species in it that were drawn; waits for the plan."""
    return planned() and drawn()


# Every job of a video asks for it, and drawing looks at all videos.
@cache
def drawn():
    """The same, which the plan itself needs."""
    naming = {}
    for video in cut():
        for label in labels_of(video):
            naming.setdefault(label, []).append(video)
    found = {}
    for label, videos in naming.items():
        for video in pick(settings.seed, label, "videos of a species", videos, settings.gradients.max_videos):
            found.setdefault(video, []).append(label)
    # In the order of the plan and not of sets, which each process has its own of.
    return {video: sorted(found[video]) for video in cut() if video in found}


def about(wildcards):
    """The species of a job's video, which species are asked about (all, or those that were drawn), and the seed."""
    limited = settings.gradients.max_videos > 0
    labels = analysed().get(wildcards.video, []) if limited else None
    return {"species": VIDEOS[wildcards.video].species or None, "labels": labels, "seed": settings.seed}


def if_analysed(pattern):
    """An input function: the file `pattern` of a job's video, none if no species was drawn from it."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=wildcards.video)] if wildcards.video in analysed() else []


def per_analysed(pattern):
    """An input function: the files `pattern` of every video whose gradients are taken."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in analysed()]


# Where the objects are: by the tracker, or by people.
OBJECTS = "annotations" if settings.gradients.annotations else "detections"


def steps(wildcards):
    """What the plan is for: the rules of each step, its videos, and how many objects each has at most at a time."""
    return {
        "annotate": {"rules": RULES[:-1], "videos": list(cut()), "objects": objects_at_once(wildcards)},
        "gradients": {"rules": RULES[-1:], "videos": list(drawn()), "objects": {}},
    }


def objects_at_once(wildcards):
    """How many objects of each video are tracked at a time, at most; 0 where none is prompted."""
    if not VIDEOS:
        return TYPICAL
    last = {video: windows[-1] for video, windows in cut().items()}
    rates = {video: (each.stop - 1) / each.stop_s if each.stop_s else 1.0 for video, each in last.items()}
    return {video: most_at_once(PROMPTS[video], fps) for video, fps in rates.items()}


def frames_in_window(wildcards):
    """Processed frames of the longest window of each video."""
    if not VIDEOS:
        return {}
    interval = settings.frame_interval
    return {video: max(len(each.frames(interval)) for each in windows) for video, windows in cut().items()}


def shapes(videos):
    """An input function: what the probe found of `videos()`; of typical ones where the sheet is empty."""
    typical = [f"{OUT}/plan/typical/{name}.json" for name in TYPICAL]
    return lambda wildcards: [f"{OUT}/probe/{video}.json" for video in videos()] if VIDEOS else typical
