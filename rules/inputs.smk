"""What jobs ask for beyond a pattern: their videos, prompts and states, and videos whose gradients are taken."""

from longtake.errors import nearest
from longtake.streams import pick


@often
def video_of(wildcards):
    """The file of a job's video."""
    return named(wildcards.video).path


def named(video):
    """The row of a video in the sheet."""
    try:
        return VIDEOS[video]
    except KeyError:
        raise WorkflowError(f"there is no video {video!r} in {settings.videos}.{nearest(video, VIDEOS)}") from None


@often
def model_folder(wildcards, input):
    """The folder of the model that a job loads."""
    return os.path.dirname(input.model[0])


@often
def prompts_of(wildcards):
    """The prompts of a video, as plain values; a changed one, or the picture of a mask, reruns that video alone."""
    return _prompts_of(wildcards.video)


# All windows of a video hold one list: made for each, the lists of a thousand videos would fill the driver.
@cache
def _prompts_of(video):
    return fingerprint.Digested(vars(_whole(prompt, VIDEOS[video].species)) for prompt in PROMPTS[video])


def _whole(prompt, species):
    """The prompt with what its row leaves to others; most are whole, and stay the one that was read."""
    missing = {"label": prompt.label or species, "mask_digest": mask_digest(prompt)}
    return prompt if missing.items() <= vars(prompt).items() else replace(prompt, **missing)


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


@often
def about(wildcards):
    """The species of a job's video, which species are asked about (all, or those that were drawn), and the seed."""
    limited = settings.gradients.max_videos > 0
    labels = analysed().get(wildcards.video, []) if limited else None
    return {"species": VIDEOS[wildcards.video].species or None, "labels": labels, "seed": settings.seed}


def if_analysed(pattern):
    """An input function: the file `pattern` of a job's video, none if no species was drawn from it."""

    @often
    def files(wildcards):
        return [f"{OUT}/{pattern}".format(video=wildcards.video)] if wildcards.video in analysed() else []

    return files


def per_analysed(pattern):
    """An input function: the files `pattern` of every video whose gradients are taken."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in analysed()]


# Where the objects are: by the tracker, or by people.
OBJECTS = "annotations" if settings.gradients.annotations else "detections"
