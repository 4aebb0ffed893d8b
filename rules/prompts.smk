"""What tracking is told of each video: its prompts, its species, and how its objects are followed."""

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
