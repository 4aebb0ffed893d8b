"""What a model keeps when the frames of its clips are disturbed: panels for a species' page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes

from longtake.figures.style import INK, MUTED, Look

Rows = Sequence[Mapping[str, Any]]
Table = Mapping[tuple[str, str], Mapping[str, Any]]

NAMES = (
    ("shuffle", "shuffled"),
    ("reverse", "reversed"),
    ("drop_50", "half lost"),
    ("drop_75", "¾ lost"),
    ("static", "one frame only"),
    ("middle", "middle frame only"),
    ("short", "short windows"),
)
BORDERS = (0.3, 0.5, 0.7, 0.9)
# Letters of a sentence that fit across a page.
_LINE = 150


def kept_panel(axes: Axes, name: str, rows: Rows, table: Table, look: Look) -> None:
    """Share of gradient and answer that a species' videos keep of each disturbed clip; dotted, the bands' borders."""
    kinds = [*(kind for kind in NAMES if kind[0] != "short"), ("still", "still: each other")]
    for border in BORDERS:
        axes.axvline(border, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0.5)
    _shares(axes, name, "kept", kinds, rows=rows, table=table, look=look)
    axes.set_title("Kept when frames are disturbed")
    axes.set_xlabel("share kept of gradient and answer\n(left of 0.5: needs motion or order; right of 0.7: does not)")


def agreement_panel(axes: Axes, name: str, rows: Rows, table: Table, look: Look) -> None:
    """Share of disturbed clips for which the model still names the same class."""
    _shares(axes, name, "agrees", NAMES, rows=rows, table=table, look=look)
    axes.set_title("Same class predicted")
    axes.set_xlabel("share of clips")
    axes.grid(axis="x")


def verdict_words(name: str, verdicts: Rows) -> str:
    """The verdict on a species as two sentences with their reasons, in lines that fit a page."""
    mine = next((row for row in verdicts if row["species"] == name), None)
    if mine is None:
        return ""
    sentences = (
        f"Importance and {_whose(mine)}: {mine['relation']} ({mine['relation_reason']})",
        f"The model uses: {mine['uses']} ({mine['uses_reason']})",
    )
    return "\n".join(fill(sentence, _LINE, subsequent_indent="    ") for sentence in sentences)


def _whose(row: Mapping[str, Any]) -> str:
    return "motion" if row["motion"] is None else f"the {row['motion']}'s motion"


def _shares(
    axes: Axes, name: str, measure: str, kinds: Sequence[tuple[str, str]], *, rows: Rows, table: Table, look: Look
) -> None:
    for at, (kind, _) in enumerate(kinds):
        column = f"{measure}_{kind}"
        values = [row[column] for row in rows if row.get(column) is not None]
        if not values:
            axes.text(0.5, at, "not measured", ha="center", va="center", color=MUTED, fontsize=8.5)
            continue
        axes.plot(
            values, [at + 0.16] * len(values), linestyle="none", marker=look.marker, markersize=5.5, color=look.color,
            alpha=0.8, markeredgecolor=INK, markeredgewidth=0.5, clip_on=False,
        )  # fmt: skip
        mean = table.get((name, column))
        if mean is not None and mean["mean"] is not None:
            axes.plot([mean["mean"]], [at - 0.2], marker="D", markersize=5, color=INK, linestyle="none", zorder=5)
            if mean["low"] is not None:
                axes.plot([mean["low"], mean["high"]], [at - 0.2] * 2, color=INK, linewidth=1.6, zorder=5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(kinds) - 0.45, -0.6)
    axes.set_yticks(range(len(kinds)), [words for _, words in kinds])
    axes.tick_params(axis="y", length=0)
