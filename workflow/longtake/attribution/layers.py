"""Which submodule's output is explained, and whether that can be."""

import logging
from typing import Any

from torch import Tensor

from longtake.bounded.guard import frozen
from longtake.bounded.tape import Tape, record
from longtake.errors import ModelError, nearest
from longtake.models import VolumeModel

logger = logging.getLogger(__name__)


def layers_of(model: VolumeModel, given: Tensor, wanted: tuple[str, ...]) -> list[str]:
    """The target layers: those of the settings, else the model's own, else the last one with spatial extent.

    The model is followed with fake tensors, which takes no memory.

    Raises
    ------
    ModelError : there is no such layer, it has no spatial extent, is called twice, or returns no single tensor.
    """
    with frozen(model.module):
        tape = record(model, given)
    own: Any = getattr(model, "layer", "")
    found = []
    for name in wanted:
        asked = name or (own if isinstance(own, str) else "")
        found.append(_checked(asked, tape, model) if asked else _last(tape, tuple(given.shape)))
    return list(dict.fromkeys(found))


def _last(tape: Tape, shape: tuple[int, ...]) -> str:
    spatial = {name: value for name, value in tape.layers.items() if name and value >= 0 and _extent(tape, value)}
    if not spatial:
        raise ModelError(
            f"no submodule returns a volume of features for an input of {shape}: the volume is too small for the "
            "model's strides, or its last layers work on tokens. Name a layer in attribution.layer whose output has "
            "three dimensions of space, or put an nn.Identity behind a reshape."
        )
    last = max(spatial.values())
    # Of several that return the same, the outermost: its name is the shortest.
    name = min((name for name, value in spatial.items() if value == last), key=lambda each: (each.count("."), each))
    logger.info("attribution.layer: %s, %s", name, tuple(tape.shapes[last]))
    return name


def _checked(name: str, tape: Tape, model: VolumeModel) -> str:
    known = [each for each, _ in model.module.named_modules() if each]
    if name not in known:
        raise ModelError(f"attribution.layer is {name!r}, and the model has no such submodule.{nearest(name, known)}")
    times = tape.times.get(name, 0)
    if times != 1:
        said = "is never called" if not times else f"is called {times} times"
        raise ModelError(f"attribution.layer {name!r} {said} in one pass: name a submodule inside or around it.")
    value = tape.layers[name]
    if value < 0:
        raise ModelError(f"attribution.layer {name!r} returns no single tensor: name a submodule inside it.")
    if not _extent(tape, value):
        raise ModelError(
            f"attribution.layer {name!r} returns the shape {tuple(tape.shapes[value])}, which has no spatial extent. "
            "Name a layer before the pooling, or whose output has three dimensions of space."
        )
    return name


def _extent(tape: Tape, value: int) -> bool:
    shape = tape.shapes[value]
    return len(shape) == 5 and shape[0] == 1 and max(shape[2:]) > 1


def behind(model: VolumeModel, given: Tensor, layer: str) -> str:
    """The first submodule behind `layer` with spatial extent, of another value; empty where there is none."""
    with frozen(model.module):
        tape = record(model, given)
    value = tape.layers[layer]
    later = {name: each for name, each in tape.layers.items() if name and each > value and _extent(tape, each)}
    return min(later, key=lambda name: (later[name], name)) if later else ""
