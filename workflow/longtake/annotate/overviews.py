"""A filmstrip of frames over the timeline of the video that they are from: what the software does, in one
picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from longtake.annotate.timelines import Rows, WindowState, draw_timeline, timeline_inches
from longtake.figures import style
from longtake.figures.style import INK, Look, shorten

Still = tuple[float, NDArray[np.uint8]]


@style.styled
def overview(
    video: str,
    stills: Sequence[Still],
    windows: Sequence[WindowState],
    *,
    visits: Rows,
    prompts: Rows,
    known: Mapping[str, Look],
    words: str = "",
) -> Figure:
    """Draw annotated frames in a row, and the video's timeline under them.

    Parameters
    ----------
    stills
        (time in s, (H, W, 3) uint8 RGB) of at most a handful of frames.
    words
        The title; by default the video's name.
    """
    heading = words or f"Annotation of {shorten(video, 70)}"
    if not stills or not windows:
        return style.nothing(heading, "no annotated frame of this video exists")
    objects = {(row["object"], row["species"]) for rows in (visits, prompts) for row in rows}
    height, width = stills[0][1].shape[:2]
    strip = (style.WIDTH - 0.3) / len(stills) * height / width + 0.1
    low = timeline_inches(len(objects))
    made = style.figure(strip + low + 0.4)
    style.title(made, heading)
    upper, lower = cast("np.ndarray", made.subfigures(2, 1, height_ratios=[strip, low]))
    _filmstrip(upper, stills)
    draw_timeline(lower, windows, visits, prompts, known)
    return made


@style.styled
def filmstrip(words: str, stills: Sequence[Still], *, why_empty: str = "no annotated frame exists") -> Figure:
    """Draw annotated frames in a row, each with its time."""
    if not stills:
        return style.nothing(words, why_empty)
    height, width = stills[0][1].shape[:2]
    made = style.figure((style.WIDTH - 0.3) / len(stills) * height / width + 0.5)
    style.title(made, words)
    _filmstrip(made, stills)
    return made


def _filmstrip(made: Figure | SubFigure, stills: Sequence[Still]) -> None:
    panels: Any = made.subplots(1, len(stills), squeeze=False)
    for axes, (time_s, pixels) in zip(panels[0], stills, strict=True):
        _still(axes, time_s, pixels)


def _still(axes: Axes, time_s: float, pixels: NDArray[np.uint8]) -> None:
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(style.clock(time_s), labelpad=3)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(INK)
