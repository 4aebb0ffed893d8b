"""What an analysis needs to know of a model.

A model of one's own is brought in by a factory, named ``module:factory`` in the configuration, which takes the device
and returns an object with these attributes; docs/models.md has an example of ten lines. With ``encode`` and ``head`` as
well (a `SplitModel`), gradients are computed in bounded memory. An attribute ``normalisation``, if there is one, is
logged by the job.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class ScoreModel(Protocol):
    """A network that answers with scores, as seen from outside: all that exact gradients need.

    Attributes
    ----------
    module : the network in eval mode; it holds all parameters that `scores` uses
    class_names : name of each class, in the order of the scores
    """

    module: nn.Module
    class_names: tuple[str, ...]

    def scores(self, x: Tensor, /) -> Tensor:
        """Class scores (classes,) of one input; the model's own normalisation belongs in here, so that gradients are
        with respect to what was seen."""
        ...


@runtime_checkable
class ClipModel(ScoreModel, Protocol):
    """A video classifier, or a model of instances in video.

    Attributes
    ----------
    n_frames : length of the clips that the model was trained on; None if it takes any
    """

    n_frames: int | None

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels at which the model wants a source region of `height` x `width` pixels."""
        ...

    def scores(self, frames: Tensor, /) -> Tensor:
        """Class scores (classes,) float32 of one clip, frames (T, 3, H, W) RGB in [0, 1].

        A model of instances returns class logits (instances, classes + 1) with "no instance" last; one row is one
        instance through the whole clip.
        """
        ...


@runtime_checkable
class SplitModel(ClipModel, Protocol):
    """A clip model that is a per-frame encoder and a head: ``scores(x) == head(encode(x))``."""

    def encode(self, frames: Tensor) -> Tensor:
        """Features (n, ...) of the frames (n, 3, H, W), each frame by itself; normalisation belongs in here."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """Scores, as `scores` returns them, from the features (T, ...) of all frames of a clip."""
        ...


@runtime_checkable
class VolumeModel(ScoreModel, Protocol):
    """A classifier of volumes.

    Two attributes may be there as well: ``layer``, the dotted name of the submodule whose output is explained if the
    settings name none; and ``cuts``, the names of the submodules after which the network may be run slab by slab.
    """

    def prepare(self, volume: Tensor, /) -> Tensor:
        """Input (1, C, ...) float32 of `scores`, from a volume in the order of axes that the model wants."""
        ...

    def scores(self, x: Tensor, /) -> Tensor:
        """Class scores (classes,) of one input (1, C, ...)."""
        ...
