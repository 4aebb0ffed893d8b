"""Which one number of a model's answer is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from longtake.errors import ConfigError, ModelError, SheetError, nearest


@dataclass(frozen=True)
class Target:
    """The score of a class, less that of another where there is a contrast.

    Called with the model's scores (classes,) it gives the number that is differentiated.
    """

    index: int
    contrast: int | None = None

    def __call__(self, scores: Tensor) -> Tensor:
        chosen = scores[self.index]
        return chosen if self.contrast is None else chosen - scores[self.contrast]


def class_index(name: str | int, class_names: Sequence[str], setting: str) -> int:
    """Place of a class that the settings name, by name or index.

    Raises
    ------
    ConfigError
        The model has no such class.
    """
    if str(name) in class_names:
        return list(class_names).index(str(name))
    text = str(name)
    if text.isdigit() and int(text) < len(class_names):
        return int(text)
    raise ConfigError(
        f"{setting} is {name!r}, but the model has the classes {', '.join(class_names)} (0 to {len(class_names) - 1})."
        f"{nearest(text, class_names)}"
    )


def label_index(label: str, class_names: Sequence[str], volume: str) -> int | None:
    """Place of a volume's label among the classes; None where it has no label.

    Raises
    ------
    SheetError
        The label is no class of the model.
    """
    if not label:
        return None
    if label in class_names:
        return list(class_names).index(label)
    raise SheetError(
        f"volume {volume!r} has the label {label!r}, which is no class of the model: {', '.join(class_names)}."
        f"{nearest(label, class_names)}"
    )


def chosen_targets(
    wanted: Sequence[str | int],
    contrast: str | int,
    class_names: Sequence[str],
    *,
    predicted: int,
    true: int | None,
    volume: str,
) -> list[Target]:
    """The targets of a volume, each once, in the order in which they are asked for.

    Raises
    ------
    ConfigError
        A class is not known.
    SheetError
        The true one is asked for, and the volume has no label.
    """
    against = None if contrast == "" else class_index(contrast, class_names, "attribution.contrast")
    found: list[Target] = []
    for each in wanted:
        if each == "predicted":
            index = predicted
        elif each == "true":
            if true is None:
                raise SheetError(f"volume {volume!r} has no label, and attribution.target is true: fill it in.")
            index = true
        else:
            index = class_index(each, class_names, "attribution.target")
        target = Target(index, None if against == index else against)
        if target not in found:
            found.append(target)
    return found


def check_scores(scores: Any, what: str) -> Tensor:
    """The scores (classes,) of one volume.

    Raises
    ------
    ModelError
        They have another shape, or are not finite.
    """
    if not isinstance(scores, Tensor):
        raise ModelError(
            f"{what}: the model returned a {type(scores).__name__}, not scores. Return the tensor of class scores "
            "alone."
        )
    if scores.dim() >= 3:
        raise ModelError(
            f"{what}: the model returned the shape {tuple(scores.shape)}, scores of voxels: it is a segmenter. Wrap it "
            "in longtake.models.volumes.RegionSums in your factory, so that each class has one score."
        )
    if scores.dim() != 1:
        raise ModelError(f"{what}: the model's scores have the shape {tuple(scores.shape)}, not (classes,).")
    if not bool(scores.isfinite().all()):
        raise ModelError(f"{what}: the model's scores are not finite. Look at its weights and attribution.divide_by.")
    return scores
