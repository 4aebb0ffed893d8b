"""What a job's video is: its file, what it is known by, and how long it lasts."""

from longtake.errors import nearest
from longtake.sources import Stamps


def named(video):
    """The row of a video in the sheet."""
    try:
        return VIDEOS[video]
    except KeyError:
        near = nearest(video, VIDEOS)
        raise WorkflowError(f"there is no video {video!r} in {settings.videos}.{near}") from None


@often
def video_of(wildcards):
    """The file of a job's video."""
    return named(wildcards.video).path


# A driver looks at every video once; jobs on their nodes only at their own.
STAMPS = Stamps()


@often
def stamp_of(wildcards):
    """What the disk says of a job's video; another stamp probes it again, and its bytes decide what else is redone."""
    return _stamp_of(wildcards.video)


@cache
def _stamp_of(video):
    return STAMPS.of(named(video).path, f"{OUT}/probe/{video}.json")


@often
def source_of(wildcards):
    """What a job's video is known by; inputs that were only touched, linked or moved rerun nothing."""
    return planned().sources[wildcards.video]


@often
def duration_of(wildcards):
    """How long a job's video lasts, in seconds."""
    return planned().durations[wildcards.video]
