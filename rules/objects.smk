"""By what the memory of jobs on videos is forecast: of the videos at hand, or of typical ones where there is none."""

from longtake.annotate.sheet import most_at_once, most_prompted

# By name, how many objects they show; they stand for the videos of a sheet without one.
TYPICAL = {f"1920x1080-objects-{number}": number for number in (1, 8, 50)}


# The plan and the forecasts ask for it, and it looks at all prompts.
@cache
def objects_at_once():
    """How many objects of each video are tracked at a time, at most; 0 where none is prompted."""
    return {video: most_at_once(PROMPTS[video], fps) for video, fps in rates().items()} if VIDEOS else TYPICAL


def prompted_frames():
    """On how many processed frames one object of each video is prompted, at most, as far as one job knows of it."""
    found = {}
    for video, fps in rates().items() if VIDEOS else ():
        # In a chain the state tells a job of the prompts in other windows.
        alone = {} if CHAIN else {"spans": [(each.start, each.stop) for each in cut()[video]]}
        found[video] = most_prompted(PROMPTS[video], fps, settings.frame_interval, **alone)
    return found


def rates():
    """Mean frames a second of each video."""
    last = {video: windows[-1] for video, windows in cut().items()}
    return {video: (each.stop - 1) / each.stop_s if each.stop_s else 1.0 for video, each in last.items()}


def frames_in_window():
    """Processed frames of the longest window of each video."""
    interval, windows = settings.frame_interval, cut() if VIDEOS else {}
    return {video: max(len(each.frames(interval)) for each in found) for video, found in windows.items()}


def shapes(videos):
    """An input function: what the probe found of `videos()`; of typical ones where the sheet is empty."""
    typical = [f"{OUT}/plan/typical/{name}.json" for name in TYPICAL]
    return lambda wildcards: [f"{OUT}/probe/{video}.json" for video in videos()] if VIDEOS else typical
