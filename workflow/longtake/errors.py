"""Every error that longtake raises on purpose.

::

    LongtakeError
    ├── ConfigError             a setting is unknown, of the wrong type, or contradicts another
    ├── SheetError              a row of videos.tsv or prompts.tsv cannot be used
    ├── MediaError
    │   ├── UnreadableVideo     the file cannot be used at all; the video is left out and reported
    │   ├── FrameUnavailable    the file is fine, but this frame cannot be decoded exactly
    │   └── UnreadableVolume    the file cannot be used as a volume; it is left out and reported
    ├── LatentError             a latent's file, or the video it belongs to, cannot be measured
    ├── ModelError              a model folder is incomplete, of the wrong kind, or unsafe to load
    ├── StateError              a hand-over file is damaged or belongs to another run
    ├── SchemaError             a table on disk is not what its reader declared
    ├── ExactnessError          a bounded path noticed that it would not give the plain path's numbers
    ├── BudgetError             no exact way fits into the memory that was granted
    ├── TrainingError           a fit cannot go on: a loss that is not finite, folds that leak
    ├── OutOfMemory             no way of running the job fits into what it may use
    └── DiskFull                there is no room on the disk for a result

A message names the value, where it stands, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LongtakeError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a defect."""


class ConfigError(LongtakeError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class SheetError(LongtakeError):
    """A row of a sheet cannot be used."""


class MediaError(LongtakeError):
    """Something is wrong with a media file."""


class UnreadableVideo(MediaError):
    """The file cannot be used as a video; the message is the reason shown in the report."""


class FrameUnavailable(MediaError):
    """A frame that the index promises could not be decoded exactly; no other frame is put in its place."""


class UnreadableVolume(MediaError):
    """The file cannot be used as a volume; the message is the reason shown in the report."""


class LatentError(LongtakeError):
    """A latent or its video cannot be measured; the message is the reason shown in the report."""


class ModelError(LongtakeError):
    """A model folder is incomplete, of the wrong kind, or not safe to load."""


class AnswerError(ModelError):
    """A model's answer to one clip is not finite; to another clip it may be."""


class StateError(LongtakeError):
    """A hand-over file is damaged, or belongs to another model, video or setting."""


class SchemaError(LongtakeError):
    """A table on disk does not have the schema that its reader declared."""


class BudgetError(LongtakeError):
    """No exact way fits into the memory that was granted; the message names the least that would do."""


class ExactnessError(LongtakeError):
    """A bounded computation noticed that it would not equal the plain one."""


class TrainingError(LongtakeError):
    """A fit cannot go on: its loss is not finite, or its folds share videos."""


class OutOfMemory(LongtakeError):
    """No way of running the job fits into the memory that it may use."""


class DiskFull(LongtakeError):
    """There is no room on the disk, or within the user's quota, for what is to be written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
