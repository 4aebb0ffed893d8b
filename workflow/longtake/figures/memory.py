"""Memory of a run's jobs, forecast against measured and by owner; and against the length of a video, as benchmarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from longtake.figures.style import (
    GRID,
    INK,
    LINES,
    MARKERS,
    MUTED,
    OKABE_ITO,
    figure,
    footnote,
    nothing,
    shorten,
    styled,
    title,
)

Curve = Sequence[Sequence[float]]
Pairs = Sequence[tuple[float, float]]
Key = tuple[str, str]
# As `longtake.memory.owners.OWNERS`, and what no owner accounts for: from what is always there to what comes and goes.
_OWNERS = {
    "base": ("#7A7A7A", ""),
    "context": ("#B8B8B8", ""),
    "parameters": ("#0072B2", ""),
    "gradients": ("#004C78", ""),
    "optimizer": ("#CC79A7", ""),
    "frames": ("#56B4E9", ""),
    "state": ("#009E73", ""),
    "cache": ("#E69F00", ""),
    "activations": ("#D55E00", ""),
    "unattributed": ("#FFFFFF", "////"),
}


@styled
def memory_figure(
    points: Mapping[Key, Pairs], owners: Mapping[Key, Mapping[str, float]], *, words: str = "", close: float = 0.1
) -> Figure:
    """Draw what was forecast of jobs against what they took, and who held the memory of each step's largest job.

    Parameters
    ----------
    points
        By step and ``host`` or ``gpu``, pairs of forecast and measured peak (MiB).
    owners
        By the same, MiB of each owner in the stage that took most.
    words
        How good the forecasts were, for the title.
    close
        The share by which a forecast may be off within the band.
    """
    what = "Memory forecast and measured" + (f": {words}" if words else "")
    if not points and not owners:
        return nothing(what, "no job of this run has accounted for its memory")
    made = figure(max(3.8, 1.7 + 0.42 * len(owners)))
    title(made, what)
    left, right = made.subplots(1, 2)
    _against(left, points, close)
    _by_owner(right, owners)
    if owners:
        footnote(made, "Owners at their own peaks in the stage that took most; unattributed: no owner accounts for it.")
    return made


def _against(axes: Axes, points: Mapping[Key, Pairs], close: float) -> None:
    axes.set(title="Peak of each job", xlabel="Forecast (MiB)", ylabel="Measured (MiB)")
    values = [value for pairs in points.values() for pair in pairs for value in pair]
    if not values:
        axes.set_axis_off()
        axes.text(0.0, 0.95, "No job ran with a forecast.", ha="left", va="top", color=MUTED, transform=axes.transAxes)
        return
    ends = [min(values) / 1.4, max(values) * 1.4]
    lower, upper = ([(1 + sign * close) * end for end in ends] for sign in (-1, 1))
    axes.fill_between(ends, lower, upper, color=GRID, linewidth=0, label=f"within {close:.0%}")
    axes.plot(ends, ends, color=MUTED, linewidth=1.0, label="as forecast")
    for number, ((step, kind), pairs) in enumerate(sorted(points.items())):
        axes.plot(
            [pair[0] for pair in pairs],
            [pair[1] for pair in pairs],
            linestyle="none",
            marker=MARKERS[number % len(MARKERS)],
            color=OKABE_ITO[number % len(OKABE_ITO)],
            markersize=5,
            markeredgecolor=INK,
            markeredgewidth=0.4,
            alpha=0.8,
            label=_named(step, kind),
        )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ends[1] > 4 * ends[0] else range(1, 10)))
        axis.set_major_formatter(FuncFormatter(_mib))
        axis.set_minor_formatter(NullFormatter())
    axes.grid()
    axes.legend(loc="upper left")


def _by_owner(axes: Axes, owners: Mapping[Key, Mapping[str, float]]) -> None:
    axes.set(title="Who held it in each step's largest job", xlabel="MiB")
    rows = sorted(owners.items(), reverse=True)
    for place, (_, held) in enumerate(rows):
        start = 0.0
        for owner, (color, hatch) in _OWNERS.items():
            width = held.get(owner, 0.0)
            axes.barh(place, width, left=start, color=color, hatch=hatch, edgecolor=MUTED, linewidth=0.5, height=0.65)
            start += width
        axes.annotate(f"{start:,.0f}", (start, place), xytext=(4, 0), textcoords="offset points", va="center")
    if not rows:
        axes.set_axis_off()
        return
    axes.set_yticks(range(len(rows)), [_named(step, kind) for (step, kind), _ in rows])
    axes.set(xlim=(0, 1.16 * max(sum(held.values()) for _, held in rows)), ylim=(-0.6, max(3, len(rows)) - 0.4))
    axes.xaxis.set_major_formatter(FuncFormatter(_mib))
    shown = [owner for owner in _OWNERS if any(held.get(owner) for held in owners.values())]
    for owner in shown:
        axes.barh(0, 0, color=_OWNERS[owner][0], hatch=_OWNERS[owner][1], edgecolor=MUTED, label=owner)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)


def _named(step: str, kind: str) -> str:
    return shorten(step, 26) + (" (GPU)" if kind == "gpu" else "")


def _mib(value: float, _: int) -> str:
    return f"{value:,.0f}"


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
