"""What a model does to pixel values before it looks at them, read from the files that came with its weights."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from longtake.errors import ModelError
from longtake.model_config import read_model_json

logger = logging.getLogger(__name__)

# Where published folders keep it, by age.
FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
_KEYS = ("image_mean", "image_std", "do_normalize", "image_processor_type", "video_processor_type")
# ImageNet's; 1 / 0.224 is 4.5 standard deviations from black to white. Ten times that is another unit of pixels.
_LARGEST_SPAN = 50.0


@dataclass(frozen=True)
class Normalisation:
    """Pixel values x in [0, 1] -> (scale x + shift - mean) / std, for each of R, G and B.

    Attributes
    ----------
    mean, std : in units of what comes out of scaling
    scale, shift : 1 and 0, unless the model wants pixels in [0, 255] or [-1, 1]
    source : file, or whose documented constants these are
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1.0
    shift: float = 0.0
    source: str = "given"

    def __call__(self, frames: Tensor) -> Tensor:
        """Normalise frames (..., 3, H, W), with their graph."""
        scaled = frames if (self.scale, self.shift) == (1, 0) else frames * self.scale + self.shift
        return (scaled - frames.new_tensor(self.mean).view(3, 1, 1)) / frames.new_tensor(self.std).view(3, 1, 1)

    def __str__(self) -> str:
        first = "" if (self.scale, self.shift) == (1, 0) else f"x * {self.scale:g} + {self.shift:g}, then "
        mean, std = (" ".join(f"{value:.4g}" for value in three) for three in (self.mean, self.std))
        return f"{first}mean {mean}, std {std} ({self.source})"


def read_normalisation(folder: Path, documented: Normalisation) -> Normalisation:
    """Read the normalisation of the model in `folder`.

    Parameters
    ----------
    documented : the constants of the model's family, returned if the folder does not say

    Raises
    ------
    ModelError : a file is no JSON or lacks the constants, two files contradict each other, or constants contradict the
        range of pixel values that they are applied to.
    """
    found: list[Normalisation] = []
    for name in FILES:
        path = folder / name
        for block in _blocks(path) if path.is_file() else []:
            found.append(_read_block(block, documented, path))
    for other in found[1:]:
        if not _same(found[0], other):
            raise ModelError(
                f"the files in {folder} contradict each other: {found[0]} against {other}. Keep the file that came "
                "with the weights, and delete the other."
            )
    if not found:
        logger.warning(
            "%s has none of %s: taking the normalisation %s. Copy the file that came with the weights to be sure.",
            folder,
            ", ".join(FILES),
            documented,
        )
    elif not _same(found[0], documented):
        logger.info("%s: %s; for comparison %s", folder, found[0], documented)
    return found[0] if found else documented


def _blocks(path: Path) -> list[dict[str, Any]]:
    """The parts of a processor's file that say how pixels are normalised; a file may hold several processors."""
    whole = read_model_json(path)
    parts = [whole, *(part for part in whole.values() if isinstance(part, dict))]
    return [part for part in parts if any(key in part for key in _KEYS)]


def _read_block(block: dict[str, Any], documented: Normalisation, path: Path) -> Normalisation:
    shifted = block.get("offset", documented.shift != 0)
    factor = block.get("rescale_factor", documented.scale / 255) if block.get("do_rescale", True) else 1
    if not isinstance(factor, int | float) or not factor > 0:
        raise ModelError(f"{path}: rescale_factor is {factor!r}, not a number above 0. Copy the file again.")
    scale = round(factor * 255, 9)  # 1 / 255 written in decimals is 1
    plain = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale, -1.0 if shifted else 0.0, str(path))
    if not block.get("do_normalize", True):
        return plain
    mean, std = (_three(block.get(key), key, path) for key in ("image_mean", "image_std"))
    found = replace(plain, mean=mean, std=std)
    _check_range(found, path)
    return found


def _three(values: Any, key: str, path: Path) -> tuple[float, float, float]:
    numbers = values if isinstance(values, list) else []
    if len(numbers) != 3 or not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ModelError(
            f"{path}: {key} is {values!r}, but the model takes three colours and normalises them. Copy the file that "
            "came with the weights."
        )
    red, green, blue = map(float, numbers)
    return red, green, blue


def _check_range(found: Normalisation, path: Path) -> None:
    """Refuse a mean outside the pixels' range and a std of another unit: scaling was mixed up."""
    low, high = found.shift, found.scale + found.shift
    inside = all(low <= value <= high for value in found.mean)
    if not inside or min(found.std) <= 0 or (high - low) / min(found.std) > _LARGEST_SPAN:
        raise ModelError(
            f"{path} contradicts itself: rescaling gives values from {low:g} to {high:g}, which image_mean "
            f"{list(found.mean)} and image_std {list(found.std)} do not fit. Copy the file that came with the weights."
        )


def _same(one: Normalisation, other: Normalisation) -> bool:
    """Equal but for how many digits were written."""
    pairs = zip(
        (*one.mean, *one.std, one.scale, one.shift), (*other.mean, *other.std, other.scale, other.shift), strict=True
    )
    return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in pairs)
