"""What an analysis needs to know of a model.

A model of one's own is brought in by a factory, named ``module:factory`` in the configuration, which takes the device
and returns an object with these attributes::

    # my_models.py, on PYTHONPATH
    class Swim:
        class_names = ("cod", "pollack")
        n_frames = 31

        def __init__(self, device):
            self.module = MyNetwork().to(device).eval()

        def input_size(self, height, width):
            return 224, 224

        def scores(self, frames):
            return self.module((frames - 0.45) / 0.225)

    def swim(device):
        return Swim(device)

With ``encode`` and ``head`` as well (a `SplitAdapter`), gradients are computed in bounded memory.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Adapter(Protocol):
    """A video classifier as seen from outside.

    Attributes
    ----------
    module : the network in eval mode; it holds all parameters that `scores` uses
    class_names : name of each class, in the order of the scores
    n_frames : length of the clips that the model was trained on; None if it takes any
    """

    module: nn.Module
    class_names: tuple[str, ...]
    n_frames: int | None

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels at which the model wants a source region of `height` x `width` pixels."""
        ...

    def scores(self, frames: Tensor) -> Tensor:
        """Class scores (classes,) float32 of one clip, frames (T, 3, H, W) RGB in [0, 1].

        The model's own normalisation belongs in here, so that gradients are with respect to what was seen.
        """
        ...


@runtime_checkable
class SplitAdapter(Adapter, Protocol):
    """An adapter whose model is a per-frame encoder and a head: ``scores(x) == head(encode(x))``."""

    def encode(self, frames: Tensor) -> Tensor:
        """Features (n, ...) of the frames (n, 3, H, W), each frame by itself; normalisation belongs in here."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """Class scores (classes,) from the features (T, ...) of all frames of a clip."""
        ...
