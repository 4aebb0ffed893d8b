"""Whether the clips of a study find room on the disk, asked before the first of them is made."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from longtake.errors import TrainingError

COMPRESSED = 0.7
"""What zstd leaves of a clip's bytes, about."""


def clip_bytes(kinds: Iterable[tuple[int, int]], augmentations: int, compression: str) -> int:
    """Return the bytes that the clips of one video take: of each kind (frames, size) the original and its
    augmentations, uint8 (T, size, size, 3)."""
    pixels = sum(3 * frames * size**2 for frames, size in set(kinds))
    return round(pixels * (1 + augmentations) * (COMPRESSED if compression == "zstd" else 1.0))


def check_room(store: str | Path, videos: int, per_video: int) -> None:
    """Refuse to begin where the clips of `videos` do not fit on the disk of the folder `store`.

    Raises
    ------
    TrainingError
        It names both numbers, and what helps.
    """
    there = next(folder for folder in (Path(store), *Path(store).absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free, videos * per_video
    if needed > free:
        raise TrainingError(
            f"the clips of {videos} videos take {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free on the disk of "
            f"{store}. Set output_dir to a larger disk, training.compression to zstd, or fewer training.augmentations."
        )
