"""What became of the units of all analyses: a grid, a row for each subject and kind of job, a cell for each unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from longtake.figures import style
from longtake.figures.style import MUTED, STATUS, shorten
from longtake.status import Status

MOST_ROWS = 60


@dataclass(frozen=True)
class StatusRow:
    """The units of a subject, of one kind of job: a sign each, in order."""

    subject: str
    row: str
    signs: str


@style.styled
def status_grid(rows: Sequence[StatusRow], meaning: Mapping[str, str]) -> Figure:
    """Draw a cell for each unit, coloured and hatched by its status.

    Where there are more than `MOST_ROWS` rows, those with the most units that are not ok are drawn, in the order of
    `rows`, and the figure says of how many.

    Parameters
    ----------
    meaning
        Sign -> status. What has no look of its own (a video that could not be read) is drawn as failed.
    """
    if not rows:
        return style.nothing("Units and their status", "no unit was planned")
    shown = _worst(rows, next((sign for sign, status in meaning.items() if status == Status.OK), ""))
    widest = max(len(row.signs) for row in shown)
    made = style.figure(1.1 + 0.24 * max(len(shown), 2))
    of = f" ({len(shown)} of {len(rows)} rows, the worst)" if len(shown) < len(rows) else ""
    style.title(made, f"Units and their status{of}")
    axes = made.subplots()
    seen = set()
    for place, row in enumerate(shown):
        for at, sign in enumerate(row.signs):
            status = meaning[sign] if meaning[sign] in STATUS else Status.FAILED
            seen.add(status)
            mark = STATUS[status]
            box = Rectangle((at - 0.5, place - 0.42), 1.0, 0.84, facecolor=mark.color, edgecolor=mark.edge)
            box.set(linewidth=0.5, hatch=mark.hatch)
            axes.add_patch(box)
    axes.set(xlim=(-0.52, widest - 0.48), ylim=(len(shown) - 0.5, -0.5), xlabel="Unit")
    axes.set_yticks(range(len(shown)), [f"{shorten(row.subject, 26)}  {row.row}" for row in shown])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["left", "bottom"]].set_visible(False)
    handles = [
        Patch(facecolor=mark.color, edgecolor=mark.edge, hatch=mark.hatch, label=name)
        for name, mark in STATUS.items()
        if name in seen
    ]
    made.legend(handles=handles, loc="outside lower left", ncols=4, handlelength=1.6)
    return made


def _worst(rows: Sequence[StatusRow], ok: str) -> list[StatusRow]:
    if len(rows) <= MOST_ROWS:
        return list(rows)
    order = sorted(range(len(rows)), key=lambda at: (rows[at].signs.count(ok) - len(rows[at].signs), at))
    return [rows[at] for at in sorted(order[:MOST_ROWS])]
