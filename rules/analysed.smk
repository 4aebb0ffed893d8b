"""Which videos' gradients are taken, around which species, and who says where their objects are."""

from longtake.streams import pick

OBJECTS = "annotations" if settings.gradients.annotations else "detections"


def labels_of(video):
    """The species that a video may show, as its sheets name them; objects that are found have the video's own."""
    own = VIDEOS[video].species or "unlabelled"
    prompted = {prompt.label or own for prompt in PROMPTS[video]}
    found = settings.annotate.dense_seeding == "always" or settings.annotate.continuity == "overlap"
    return prompted | {own} if found or not prompted or settings.gradients.clips == "even" else prompted


def analysed():
    """Each video whose gradients are taken, and the species in it that were sampled; waits for the plan."""
    return planned() and sampled()


# Every job of a video asks for it, and sampling looks at all videos.
@cache
def sampled():
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
    """The species of a job's video, which species are asked about (all, or those that were sampled), and the seed."""
    limited = settings.gradients.max_videos > 0
    labels = analysed().get(wildcards.video, []) if limited else None
    return {"species": VIDEOS[wildcards.video].species or None, "labels": labels, "seed": settings.seed}


def if_analysed(pattern):
    """An input function: the file `pattern` of a job's video, none if no species was sampled from it."""

    @often
    def files(wildcards):
        return [f"{OUT}/{pattern}".format(video=wildcards.video)] if wildcards.video in analysed() else []

    return files


def per_analysed(pattern):
    """An input function: the files `pattern` of every video whose gradients are taken."""
    return lambda wildcards: [f"{OUT}/{pattern}".format(video=video) for video in analysed()]
