"""What a plan and its forecasts are about: the steps, their videos, how many objects these show and how they are followed."""

from longtake.annotate.sheet import most_at_once, most_prompted

# By name, how many objects they show; they stand for the videos of a sheet without one.
TYPICAL = {f"1920x1080-objects-{number}": number for number in (1, 8, 50)}


def steps(wildcards):
    """What the plan is for: the rules of each step, its videos, and how many objects each has at most at a time."""
    return {
        "annotate": {"rules": RULES[:-1], "videos": list(cut()), "objects": objects_at_once(wildcards)},
        "gradients": {"rules": RULES[-1:], "videos": list(drawn()), "objects": {}},
    }


def objects_at_once(wildcards):
    """How many objects of each video are tracked at a time, at most; 0 where none is prompted."""
    return _objects_at_once()


# The plan and the forecast ask for it, and it looks at all prompts.
@cache
def _objects_at_once():
    if not VIDEOS:
        return TYPICAL
    return {video: most_at_once(PROMPTS[video], fps) for video, fps in rates().items()}


def prompted_frames(wildcards):
    """On how many processed frames one object of each video is prompted, at most, as far as one job knows of it."""
    if not VIDEOS:
        return {}
    found = {}
    for video, fps in rates().items():
        # In a chain the state tells a job of the prompts in other windows.
        alone = {} if CHAIN else {"spans": [(each.start, each.stop) for each in cut()[video]]}
        found[video] = most_prompted(PROMPTS[video], fps, settings.frame_interval, **alone)
    return found


def rates():
    """Mean frames a second of each video."""
    last = {video: windows[-1] for video, windows in cut().items()}
    return {video: (each.stop - 1) / each.stop_s if each.stop_s else 1.0 for video, each in last.items()}


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


TRACKING = {
    "scale": settings.video_scale_factor,
    "frame_interval": settings.frame_interval,
    "continuity": settings.annotate.continuity,
    "dense_seeding": settings.annotate.dense_seeding,
    "seed_predicted_iou": settings.annotate.seed_predicted_iou,
    "seed_stability": settings.annotate.seed_stability,
    "precision": settings.annotate.precision,
    "max_conditioning_frames": settings.annotate.max_conditioning_frames,
    "object_batch": settings.annotate.object_batch,
}


@often
def tracking_of(wildcards):
    """How the objects of a job's video are followed."""
    return _tracking_of(VIDEOS[wildcards.video].species)


# One of each species, and not of each job.
@cache
def _tracking_of(species):
    return {**TRACKING, "species": species}
