"""What was found out of clips, of ways to their gradients, and of a job's process: records, without PyTorch.

What makes the numbers loads it (`longtake.gradients.simulation`, `longtake.gradients.resident`); whoever knows them
need not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ClipWay:
    """A way to the gradient of a clip, and what it takes, in bytes.

    Attributes
    ----------
    name : of the way, for people
    chunk_size : frames at a time; None for all of them
    told : the whole way in words, submodules that are recomputed included; two ways differ in it
    peak : most of living tensors at a time
    heap : what the heap takes from the system
    reserved : what a GPU's allocator takes
    """

    name: str
    chunk_size: int | None
    told: str
    peak: int
    heap: int
    reserved: int


@dataclass(frozen=True)
class Clips:
    """Clips of one shape as a model sees them, and how their gradient can be had, fastest first.

    `model` is a digest of the model's parts and their shapes.
    """

    n_frames: int
    height: int
    width: int
    model: str
    ways: tuple[ClipWay, ...]

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Make them of JSON values."""
        return cls(**{**plain, "ways": tuple(ClipWay(**each) for each in plain["ways"])})


@dataclass(frozen=True)
class Resident:
    """A process that has loaded a model.

    Attributes
    ----------
    parameters, base : bytes of the model, and of everything else
    loading : most bytes while the model was loaded
    seconds_per_frame : that the model takes, forward only
    """

    base: int
    parameters: int
    loading: int
    seconds_per_frame: float


@dataclass(frozen=True)
class Seen:
    """What is known of a video's windows: objects at a time, and processed frames of the longest; 0 for unknown."""

    objects: int
    frames: int = 0
