"""Figures of a study of latents, for a paper: PNG and PDF. Tables in, figures out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from longtake.figures import style
from longtake.figures.save import save
from longtake.figures.style import GRID, INK, MUTED, Look, shorten
from longtake.latents import tables
from longtake.latents.names import metrics, texts
from longtake.latents.options import Options
from longtake.store.tables import read_table

Rows = list[dict[str, Any]]
_MOST_EFFECTS = 30
_FEWEST_POINTS = 20
_FREQUENCIES = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
# A family is shown by what is most often asked of it.
_CURVES = (
    "spatial_variance",
    "motion",
    "channel_correlation_abs",
    "mutual_information",
    "spectral_slope",
    "exit_distance",
)


def draw_study(
    *,
    given: Mapping[str, Any],
    out: Sequence[str],
    options: Mapping[str, Any],
    baseline: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw every figure of the study into the paths of `out`, whose names say which; return how many."""
    chosen = Options(**options)
    names = metrics(chosen.families, chosen.patch_sizes)
    rows = {
        name: read_table(given[name], schema).to_pylist()
        for name, schema in (("videos", tables.VIDEOS), ("metrics", tables.metrics_table(names)),
                             ("spectra", tables.SPECTRA), ("channels", tables.CHANNELS),
                             ("group_steps", tables.GROUP_STEPS), ("tests", tables.TESTS),
                             ("separability", tables.SEPARABILITY))
    }  # fmt: skip
    compared = {row["video"] for row in rows["videos"] if row["compared"]}
    rows |= {
        name: [row for row in rows[name] if row["video"] in compared] for name in ("metrics", "spectra", "channels")
    }
    paths = [given["steps"]] if isinstance(given["steps"], str) else list(given["steps"])
    places = [row for path in paths for row in read_table(path, tables.STEP_VIDEOS).to_pylist()]
    known = style.looks({row["group"] for row in rows["videos"]})
    made: dict[str, Callable[[], Figure]] = {
        "curves": lambda: curves(rows["group_steps"], known, names),
        "effects": lambda: effects(rows["tests"], known),
        "slopes": lambda: slopes(rows["metrics"], rows["tests"], known, baseline),
        "spectra": lambda: spectra(rows["spectra"], known),
        "channels": lambda: channels(rows["channels"]),
        "corridors": lambda: corridors(rows["group_steps"], known),
        "map": lambda: step_map(places, known),
        "separability": lambda: separability(rows["separability"]),
    }
    for done, (name, build) in enumerate(made.items()):
        figure = build()
        for path in out:
            if Path(path).stem == name:
                save(figure, Path(path))
        if progress is not None:
            progress(done + 1, len(made))
    return {"figures": len(made)}


def _legend(made: Figure, known: Mapping[str, Look]) -> None:
    made.legend(handles=style.species_handles(known, known), loc="outside right upper", title="Group")


def _unit(name: str) -> str:
    sizes = [int(size) for size in re.findall(r"^patch(\d+)_", name)]
    return texts(patch_sizes=sizes).get(name, ("RMS", ""))[0]


def _grid(n: int, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    rows = -(-n // 3)
    made = style.figure(height * rows + 0.6)
    panels = list(made.subplots(rows, min(3, n), squeeze=False).flat)
    for axes in panels[n:]:
        axes.set_axis_off()
    return made, panels[:n]


@style.styled
def curves(rows: Rows, known: Mapping[str, Look], names: Sequence[str]) -> Figure:
    """Means of the groups by step, with bands that hold over all steps at once."""
    shown = [name for name in _CURVES if any(row["metric"] == name and row["mean"] is not None for row in rows)]
    shown = shown or list(names[:6])
    if not rows or not shown:
        return style.nothing("Latents over the denoising steps", "no group has a compared video")
    made, panels = _grid(len(shown))
    for axes, name in zip(panels, shown, strict=True):
        for group, look in known.items():
            mine = [r for r in rows if r["metric"] == name and r["group"] == group and r["mean"] is not None]
            _curve(axes, mine, look)
        axes.set_title(name.replace("_", " "))
        axes.set_ylabel(_unit(name))
        axes.set_xlabel("Step")
        axes.grid(axis="y")
    style.title(made, "Latents over the denoising steps")
    _legend(made, known)
    style.footnote(made, "Mean over videos; the band holds over all steps at once.")
    return made


def _curve(axes: Axes, rows: Rows, look: Look) -> None:
    rows = sorted(rows, key=lambda row: row["step"])
    steps = [row["step"] for row in rows]
    axes.plot(
        steps, [row["mean"] for row in rows], color=look.color, linestyle=look.line, marker=look.marker, markersize=3
    )
    if rows and all(row["band_low"] is not None for row in rows):
        low, high = ([row[end] for row in rows] for end in ("band_low", "band_high"))
        axes.fill_between(steps, low, high, color=look.color, alpha=0.18, linewidth=0)


@style.styled
def effects(rows: Rows, known: Mapping[str, Look]) -> Figure:
    """The largest differences from the baseline, as Hedges' g, with their adjusted p."""
    heading = "Largest differences between groups"
    decided = [
        row for row in rows if row["test"] == "contrast" and row["hedges_g"] is not None and row["p"] is not None
    ]
    if not decided:
        return style.nothing(heading, "no comparison could be made")
    shown = sorted(decided, key=lambda row: (row["p_maxt"] or 1.0, -abs(row["hedges_g"])))[:_MOST_EFFECTS]
    made = style.figure(1.4 + 0.24 * len(shown))
    axes = made.add_subplot()
    for at, row in enumerate(shown):
        look = style.look_of(row["group"], known)
        sure = (row["p_maxt"] or 1.0) < 0.05
        axes.plot([0.0, row["hedges_g"]], [at, at], color=look.color, linewidth=1.4)
        axes.plot([row["hedges_g"]], [at], marker=look.marker, markersize=7, markeredgecolor=INK, linestyle="none",
                  color=look.color if sure else "white", markeredgewidth=0.7)  # fmt: skip
        axes.text(1.01, at, f"p = {row['p_maxt'] or 1.0:.3g}", transform=axes.get_yaxis_transform(), va="center",
                  color=INK if sure else MUTED, fontsize=8)  # fmt: skip
    others = sorted({row["baseline"] for row in decided})
    words = [_contrast(row, pairs=len(others) > 1) for row in shown]
    axes.set_yticks(range(len(shown)), words, fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.axvline(0.0, color=MUTED, linewidth=0.8)
    axes.set_xlabel(f"Hedges' g against {shorten(others[0], 30) if len(others) == 1 else 'the second group'}")
    axes.grid(axis="x")
    style.title(made, heading)
    style.footnote(made, "Filled: p < 0.05, adjusted for all measures and groups (max-T). Hollow: not decided.")
    return made


def _contrast(row: dict[str, Any], *, pairs: bool) -> str:
    """Words for a comparison; with `pairs` the other group, too, since it is not the same in all of them."""
    groups = [row["group"], row["baseline"]] if pairs else [row["group"]]
    named = " against ".join(shorten(group, 14) for group in groups)
    return f"{named}: {row['metric'].replace('_', ' ')} ({row['summary']})"


@style.styled
def slopes(rows: Rows, tests: Rows, known: Mapping[str, Look], baseline: str) -> Figure:
    """The videos of one seed in the baseline and another group, for the surest measures of the last step."""
    heading = "Videos of one seed, side by side (last step)"
    sure = sorted(
        (row for row in tests if row["test"] == "contrast" and row["summary"] == "last" and row["n_paired"]
         and row["p_maxt"] is not None and rows and row["metric"] in rows[0]),
        key=lambda row: (row["p_maxt"], -abs(row["hedges_g"] or 0.0)),
    )[:6]  # fmt: skip
    if not sure:
        return style.nothing(heading, "no videos are matched by seed")
    final: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["video"] not in final or final[row["video"]]["step"] < row["step"]:
            final[row["video"]] = row
    at = {(row["group"], row["seed"]): row for row in final.values()}
    made, panels = _grid(len(sure))
    for axes, test in zip(panels, sure, strict=True):
        look = style.look_of(test["group"], known)
        for (group, seed), row in at.items():
            other = at.get((baseline, seed))
            pair = [other and other[test["metric"]], row[test["metric"]]]
            if group == test["group"] and None not in pair:
                axes.plot([0, 1], pair, color=look.color, marker=look.marker, markersize=4, linewidth=1.0, alpha=0.8)
        axes.set_xticks([0, 1], [shorten(baseline, 14), shorten(test["group"], 14)])
        axes.set_xlim(-0.3, 1.3)
        axes.set_title(test["metric"].replace("_", " "))
        axes.set_ylabel(_unit(test["metric"]))
    style.title(made, heading)
    return made


@style.styled
def spectra(rows: Rows, known: Mapping[str, Look]) -> Figure:
    """Radial power of each group at the first, a middle and the last step."""
    heading, rows = "Spatial spectra by step", [row for row in rows if row["kind"] == "radial" and row["power"]]
    if not rows:
        return style.nothing(heading, "no spectrum was measured")
    steps = sorted({row["step"] for row in rows})
    shown = sorted({steps[0], steps[len(steps) // 2], steps[-1]})
    made, panels = _grid(len(shown), 3.2)
    for axes, step in zip(panels, shown, strict=True):
        for group, look in known.items():
            powers: dict[float, list[float]] = {}
            for row in rows:
                if row["step"] == step and row["group"] == group:
                    powers.setdefault(row["frequency"], []).append(row["power"])
            points = sorted(powers)
            axes.plot(points, [np.mean(powers[f]) for f in points], color=look.color, linestyle=look.line,
                      marker=look.marker, markersize=3)  # fmt: skip
        for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            scale("log")
            # Numbers in plain text: the style reads no formulas, since names come from users.
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        # Powers of ten alone would leave one number on the axis.
        axes.xaxis.set_major_locator(FixedLocator(_FREQUENCIES))
        axes.set_title(f"Step {step}")
        axes.set_xlabel("Cycles per latent pixel")
        axes.grid()
    panels[0].set_ylabel("Power (latent units squared)")
    # One scale for all steps: that of noise alone would magnify nothing.
    ends = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    style.title(made, heading)
    _legend(made, known)
    return made


@style.styled
def channels(rows: Rows) -> Figure:
    """Mean correlation of channels at the first and the last step, over all videos."""
    heading = "Correlation of channels, mean over all videos"
    if not rows:
        return style.nothing(heading, "no channel was measured")
    steps = sorted({row["step"] for row in rows})
    shown = sorted({steps[0], steps[-1]})
    made = style.figure(3.9)
    means = [_between_channels(rows, step) for step in shown]
    most = max([0.05, *(float(np.nanmax(np.abs(mean))) for mean in means if np.isfinite(mean).any())])
    image = None
    for axes, step, mean in zip(made.subplots(1, len(shown), squeeze=False).flat, shown, means, strict=True):
        image = axes.imshow(mean, vmin=-most, vmax=most, cmap="RdBu_r", interpolation="nearest")
        axes.set_facecolor(GRID)
        axes.set_title(f"Step {step}")
        axes.set_xlabel("Channel")
        axes.set_ylabel("Channel")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    if image is not None:
        made.colorbar(image, ax=made.axes, label="Pearson r")
    style.title(made, heading)
    style.footnote(made, "Grey: a channel with itself, or one that is constant in every video.")
    return made


def _between_channels(rows: Rows, step: int) -> np.ndarray:
    """[C, C] mean correlation of two channels at a step, over the videos that have it; NaN on the diagonal."""
    of_step = [row for row in rows if row["step"] == step]
    channels_ = sorted({row["channel"] for row in of_step})
    mean = np.full((len(channels_), len(channels_)), np.nan)
    for at, channel in enumerate(channels_):
        values = np.array([row["correlation"] for row in of_step if row["channel"] == channel], dtype=np.float64)
        known = np.isfinite(values)
        some = known.any(0)
        mean[at, some] = np.where(known, values, 0.0).sum(0)[some] / known.sum(0)[some]
        mean[at, at] = np.nan
    return mean


@style.styled
def corridors(rows: Rows, known: Mapping[str, Look]) -> Figure:
    """How wide each group is at every step, how far its centre is from the baseline's, and its dimension."""
    heading = "Corridors of the groups, and how they part from the baseline"
    once = {(row["group"], row["step"]): row for row in rows if row["corridor_width"] is not None}
    if not once:
        return style.nothing(heading, "no two videos of a group were compared")
    shown = [
        (name, words, unit)
        for name, words, unit in (
            ("corridor_width", "Corridor width", "RMS"),
            ("divergence", "Divergence from the baseline", "RMS"),
            ("dimension_twonn", "Intrinsic dimension (TwoNN)", "dimensions"),
        )
        if any(row[name] is not None and _enough(name, row) for row in once.values())
    ]
    made, panels = _grid(len(shown), 3.2)
    for axes, (name, words, unit) in zip(panels, shown, strict=True):
        for group, look in known.items():
            mine = sorted(
                (step, row[name])
                for (of, step), row in once.items()
                if of == group and row[name] is not None and _enough(name, row)
            )
            axes.plot([s for s, _ in mine], [v for _, v in mine], color=look.color, linestyle=look.line,
                      marker=look.marker, markersize=3)  # fmt: skip
        axes.set_title(words)
        axes.set_ylabel(unit)
        axes.set_xlabel("Step")
        axes.set_ylim(bottom=0.0)
        axes.grid(axis="y")
    style.title(made, heading)
    _legend(made, known)
    style.footnote(made, f"Dimensions of fewer than {_FEWEST_POINTS} videos are not shown: they say nothing.")
    return made


def _enough(name: str, row: dict[str, Any]) -> bool:
    return not name.startswith("dimension") or (row["n_dimension"] or 0) >= _FEWEST_POINTS


@style.styled
def step_map(rows: Rows, known: Mapping[str, Look]) -> Figure:
    """All videos at the first, a middle and the last step, by classical scaling of their distances."""
    heading, rows = "Maps of all videos by step", [row for row in rows if row["map_x"] is not None]
    if not rows:
        return style.nothing(heading, "fewer than three videos were compared")
    steps = sorted({row["step"] for row in rows})
    shown = sorted({steps[0], steps[len(steps) // 2], steps[-1]})
    made, panels = _grid(len(shown), 3.4)
    for axes, step in zip(panels, shown, strict=True):
        for n, (group, look) in enumerate(known.items()):
            mine = [row for row in rows if row["step"] == step and row["group"] == group]
            # Videos of one seed begin on one place: none hides another.
            axes.plot([row["map_x"] for row in mine], [row["map_y"] for row in mine], linestyle="none",
                      marker=look.marker, color=look.color, markeredgecolor=INK, markeredgewidth=0.4,
                      markersize=max(3.5, 9.0 - 2.0 * n))  # fmt: skip
        axes.set_title(f"Step {step}")
        axes.set_aspect("equal", adjustable="datalim")
        axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
        axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    style.title(made, heading)
    _legend(made, known)
    style.footnote(
        made, "Axes: RMS along the two main directions of each step; distances as far as two directions show them."
    )
    return made


@style.styled
def separability(rows: Rows) -> Figure:
    """How often a forest names the group of a video that it was not trained on, by step and from all measures."""
    heading, of_steps = "Can the groups be told apart?", [row for row in rows if row["features"] == "step"]
    told = [row for row in rows if row["features"] == "all" and row["accuracy"] is not None]
    if not told:
        return style.nothing(heading, rows[0]["reason"] if rows else "it was not asked for")
    made = style.figure(3.4)
    left, right = made.subplots(1, 2, width_ratios=[1.6, 1.0])
    left.plot([row["step"] for row in of_steps], [row["accuracy"] for row in of_steps], color=INK, marker="o",
              markersize=3, label="each step")  # fmt: skip
    left.axhline(told[0]["accuracy"], color=style.OKABE_ITO[0], label=f"all measures (p = {told[0]['p']:.2g})")
    left.axhline(told[0]["chance"], color=MUTED, linestyle=":", label="chance")
    left.set_ylim(0.0, 1.05)
    left.set_xlabel("Step")
    left.set_ylabel("Accuracy")
    left.legend(loc="lower right")
    pairs = [row for row in rows if row["features"] == "confusion"]
    names = sorted({row["group"] for row in pairs})
    table = np.array([[next(r["count"] for r in pairs if (r["group"], r["predicted"]) == (a, b)) for b in names]
                      for a in names])  # fmt: skip
    right.imshow(table, cmap="Blues", vmin=0)
    for a, b in np.ndindex(*table.shape):
        right.text(b, a, table[a, b], ha="center", va="center", color="white" if table[a, b] > table.max() / 2 else INK)
    labels = [shorten(name, 12) for name in names]
    right.set_xticks(range(len(names)), labels, rotation=30, ha="right")
    right.set_yticks(range(len(names)), labels)
    right.set_xlabel("Predicted group")
    right.set_ylabel("Group")
    right.set_title("From all measures")
    left.set_title("By step")
    style.title(made, heading)
    style.footnote(made, f"Forest of 500 trees; {told[0]['folds']} folds by {told[0]['folds_by']}.")
    return made
