"""How large synthetic studies are: nothing here loads a library, since it is also read where memory is measured."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.media.windows import Window

SPECIES = tuple(f"species {letter}" for letter in "abcdef")
FRAMES = 31
FPS = 10
HEIGHT, WIDTH = 96, 128


@dataclass(frozen=True)
class Size:
    """How much there is in each window of each video."""

    frames: int = 20
    objects: int = 8
    clips: int = 4
    windows: int = 2
    overlap: int = 0


def windows_of(video: str, n: int, size: Size) -> list[Window]:
    """Windows of `size.frames` frames of their own, which reach `size.overlap` frames into the next."""
    total = n * size.frames
    cut = []
    for number in range(n):
        start, end = number * size.frames, (number + 1) * size.frames
        stop = min(total, end + size.overlap)
        cut.append(Window(video, number, start, stop, start, end, start / FPS, (stop - 1) / FPS))
    return cut
