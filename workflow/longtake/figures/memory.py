"""Memory against the length of a video: what a benchmark measured, as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtake.figures.style import INK, LINES, MARKERS, MUTED, OKABE_ITO, figure, footnote, styled, title

Curve = Sequence[Sequence[float]]


@styled
def memory_curves(words: str, sessions: Mapping[str, Curve], peaks: Mapping[str, Curve], *, terms: str = "") -> Figure:
    """Draw what a session keeps, and what its process held at most, against the frames it has seen.

    Parameters
    ----------
    words
        The figure's title.
    sessions, peaks
        By name, pairs of frames and megabytes; the same order in both gives the same colours.
    terms
        Model, machine and date, as small print.
    """
    made = figure(3.6)
    title(made, words)
    left, right = made.subplots(1, 2)
    _curves(left, "What the session keeps", "Session (MB)", sessions)
    _curves(right, "What the process held at most", "Peak RSS (MB)", peaks)
    footnote(made, terms)
    return made


def _curves(axes: Axes, name: str, unit: str, curves: Mapping[str, Curve]) -> None:
    top = max((value for curve in curves.values() for _, value in curve), default=1.0)
    last = max((at for curve in curves.values() for at, _ in curve), default=1.0)
    for number, (label, curve) in enumerate(curves.items()):
        colour, at, values = OKABE_ITO[1 - number % 2], [x for x, _ in curve], [y for _, y in curve]
        axes.plot(at, values, color=colour, linestyle=LINES[number], marker=MARKERS[number], markersize=4)
        if not curve:
            continue
        axes.annotate(
            f"{label}: {values[-1]:,.1f} MB" if values[-1] < 100 else f"{label}: {values[-1]:,.0f} MB",
            (at[-1], values[-1]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=8.5,
        )
    axes.set(title=name, xlabel="Frames", ylabel=unit, xlim=(0, 1.03 * last), ylim=(0, 1.2 * top))
    axes.grid(axis="y")
    axes.tick_params(color=MUTED)
