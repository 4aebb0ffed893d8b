"""Two models side by side: where their importance curves part, and what each of them keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtake.figures import style
from longtake.figures.style import INK, MUTED, Look, shorten
from longtake.status import Status

Rows = Sequence[Mapping[str, Any]]
DIVERGENCE = "importance_divergence"
SHOWN = (
    ("pearson_crop", "Importance against the crop's motion (r)"),
    ("kept_static", "Kept of frozen clips"),
    ("kept_shuffle", "Kept of shuffled clips"),
)


@style.styled
def model_comparison(rows: Rows, known: Mapping[str, Look], *, a: str, b: str) -> Figure:
    """Divergence of the importance curves per species, and three measures of both models.

    Parameters
    ----------
    rows
        Rows of ``MODELS``.
    known
        The looks of the study's species.
    a, b
        What the models are called.
    """
    heading = f"Two models on the same clips: {shorten(a, 40)} (filled), {shorten(b, 40)} (hollow)"
    if not rows:
        return style.nothing(heading, "no clip was compared")
    table = {(row["species"], row["measure"]): row for row in rows}
    names = sorted({row["species"] for row in rows}, key=lambda name: (name not in known, name))
    made = style.figure(2 * (1.0 + 0.34 * len(names)) + 1.0)
    style.title(made, heading)
    panels = made.subplots(2, 2).ravel()
    _divergence(panels[0], names, table, known)
    for axes, (measure, words) in zip(panels[1:], SHOWN, strict=True):
        _both(axes, names, measure, table, known)
        axes.set_title(words)
    for axes in panels:
        axes.set_yticks(range(len(names)), [shorten(name, 22) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    style.footnote(
        made,
        "Means over videos. p: exchange of the models within videos, Holm-corrected over the table; "
        "where there is none, too few videos decide nothing.",
    )
    return made


def _divergence(
    axes: Axes, names: Sequence[str], table: Mapping[tuple[str, str], Mapping[str, Any]], known: Mapping[str, Look]
) -> None:
    top = 0.0
    for at, name in enumerate(names):
        row, look = table.get((name, DIVERGENCE)), style.look_of(name, known)
        if row is None or row["difference"] is None:
            continue
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [at, at], color=look.color, linewidth=2.2)
        axes.plot([row["difference"]], [at], marker=look.marker, markersize=7, color=look.color, markeredgecolor=INK)
        end = max(row["difference"], row["high"] or 0.0)
        _tell(axes, end, at, row)
        top = max(top, end)
    axes.set_xlim(0.0, min(1.4, 1.6 * max(top, 1e-6)))
    axes.set_title("Divergence of importance")
    axes.set_xlabel("Jensen-Shannon divergence (bits; 0 alike, 1 apart)")


def _both(
    axes: Axes, names: Sequence[str], measure: str, table: Mapping[tuple[str, str], Mapping[str, Any]],
    known: Mapping[str, Look],
) -> None:  # fmt: skip
    for at, name in enumerate(names):
        row, look = table.get((name, measure)), style.look_of(name, known)
        if row is None or row["value_a"] is None or row["value_b"] is None:
            axes.text(0.02, at, "not measured", color=MUTED, va="center", fontsize=8.5)
            continue
        ends = [row["value_a"], row["value_b"]]
        axes.plot(ends, [at, at], color=look.color, linewidth=1.4, zorder=1)
        for value, fill in zip(ends, (look.color, "white"), strict=True):
            axes.plot([value], [at], marker=look.marker, markersize=7, color=fill, markeredgecolor=INK, zorder=3)
        _tell(axes, max(ends), at, row)
    if measure.startswith("pearson"):
        axes.set_xlim(-1.05, 1.35)
        axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
    else:
        axes.set_xlim(-0.02, 1.3)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])


def _tell(axes: Axes, x: float, at: float, row: Mapping[str, Any]) -> None:
    words = Status.UNDECIDED if row["p_holm"] is None else f"p = {row['p_holm']:.2g}"
    axes.annotate(words, (x, at), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8, color=MUTED)
