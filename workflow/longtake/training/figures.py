"""Figures of training: the leaderboard beside its controls, curves, confusion, learning, reliability, contact sheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from longtake.figures import style
from longtake.figures.style import INK, MUTED, OKABE_ITO
from longtake.store.atomic import atomic_path
from longtake.store.tables import read_table
from longtake.training.curves import GRID, banded
from longtake.training.dataset import class_names, read_folds
from longtake.training.evaluate import scored
from longtake.training.metrics import confusion
from longtake.training.store import get_clip
from longtake.training.tables import ALL_PREDICTIONS, CALIBRATION, CLIPS, HISTORY

_CONTROL = {
    "permuted": "labels permuted (chance)",
    "metadata": "container's data alone",
    "middle": "middle frame alone",
    "shuffled": "frames shuffled",
}
SHOWN_VIDEOS, SHOWN_FRAMES = 4, 6


def training_figures(results: str | Path, store: str | Path, out: str | Path, seed: int = 0) -> dict[str, Any]:
    """Draw all figures of a finished study into the folder `out`, as PNG and PDF; return how many."""
    base, target = Path(results), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    placed = read_folds(base / "folds.parquet")
    names = class_names(placed)
    groups = {row["video"]: row["group"] for row in placed}
    rows = [row | {"threshold": 0.5} for row in read_table(base / "predictions.parquet", ALL_PREDICTIONS).to_pylist()]
    outer = [row for row in rows if row["part"] == "outer" and row["repeat"] == 0]
    with (base / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        board = list(csv.DictReader(file))
    models = [line["model"] for line in board if line["control"] == "" and line["accuracy"]]
    made: dict[str, Figure] = {"leaderboard": leaderboard(board)}
    for model in models:
        own = [row for row in outer if (row["model"], row["control"]) == (model, "")]
        part = scored(own, names, groups)
        made[f"curves-{model}"] = curves(part, names, model, seed=seed)
        made[f"confusion-{model}"] = confusions(confusion(part, len(names)), names, model)
    reliability = read_table(base / "calibration.parquet", CALIBRATION).to_pylist()
    made["reliability"] = calibration(reliability, models)
    histories = {model: read_histories(base / model) for model in models}
    made["learning"] = learning({model: found for model, found in histories.items() if found})
    made["augmentations"] = contact_sheet(read_table(base / "clips.parquet", CLIPS).to_pylist(), store)
    for name, picture in made.items():
        for suffix in (".png", ".pdf"):
            with atomic_path(target / f"{name}{suffix}") as path:
                picture.savefig(path)
    return {"figures": len(made)}


def read_histories(folder: Path) -> list[list[dict[str, Any]]]:
    """Return the epochs of each fold of a model that has any."""
    found = [read_table(path, HISTORY).to_pylist() for path in sorted(folder.glob("fold-*/history.parquet"))]
    return [rows for rows in found if rows]


@style.styled
def leaderboard(board: Sequence[Mapping[str, str]]) -> Figure:
    """Accuracy of every model with its interval over groups, and what the controls reach as grey lines.

    Parameters
    ----------
    board
        Rows of leaderboard.csv, the best model first.
    """
    models = [line for line in board if line["control"] == "" and line["accuracy"]]
    if not models:
        return style.nothing("Leaderboard", "no fold of any model is finished")
    made = style.figure(1.4 + 0.62 * len(models))
    style.title(made, "Leaderboard: accuracy on videos that a model did not see")
    axes = made.add_subplot()
    for place, line in enumerate(models):
        value = float(line["accuracy"])
        if line["accuracy_low"]:
            axes.plot(
                [float(line["accuracy_low"]), float(line["accuracy_high"])], [place, place], color=OKABE_ITO[0], lw=3
            )
        axes.plot(value, place, "o", color=OKABE_ITO[0], markeredgecolor=INK, markersize=8, zorder=3)
        own = [each for each in board if each["model"] == line["model"] and each["control"] in ("middle", "shuffled")]
        for each in own:
            if each["accuracy"]:
                mark = "s" if each["control"] == "middle" else "x"
                axes.plot(float(each["accuracy"]), place + 0.22, mark, color=MUTED, markersize=6)
    heights = 0.02
    for each in board:
        if each["control"] in ("permuted", "metadata") and each["accuracy"]:
            value = float(each["accuracy"])
            axes.axvline(value, color="#9AA5B1", lw=1.4, ls="--" if each["control"] == "permuted" else ":", zorder=0)
            axes.text(
                value + 0.005,
                heights,
                _CONTROL[each["control"]],
                color=MUTED,
                fontsize=8,
                transform=axes.get_xaxis_transform(),
            )
            heights += 0.12
    words = [f"{line['model']}\n{line['folds']}" for line in models]
    axes.set_yticks(range(len(models)), words)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("Accuracy (share of videos)")
    axes.grid(axis="x")
    note = "Line: 95 % interval by drawing groups. Below: the middle frame alone (square), frames shuffled (cross)."
    style.footnote(made, note)
    return made


@style.styled
def curves(part: Any, names: Sequence[str], model: str, *, seed: int = 0) -> Figure:
    """ROC and precision-recall of each class, the mean of the folds' own curves, with bands over groups."""
    made = style.figure(4.4)
    style.title(made, f"{model}: one class against the rest")
    panels = made.subplots(1, 2)
    for axes, kind in zip(panels, ("roc", "pr"), strict=True):
        for number, name in enumerate(names):
            line, low, high = banded(part, number, kind, seed=seed, unit=f"{model} {name}")
            if np.isnan(line).any():
                continue
            color = OKABE_ITO[number % len(OKABE_ITO)]
            axes.plot(GRID, line, color=color, ls=style.LINES[number % len(style.LINES)], label=style.shorten(name, 24))
            axes.fill_between(GRID, low, high, color=color, alpha=0.14, lw=0)
            if kind == "pr":
                axes.axhline(float((part.labels == number).mean()), color=color, lw=0.8, ls=":")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.grid()
    panels[0].plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    panels[0].set(xlabel="False positive rate", ylabel="True positive rate", title="ROC")
    panels[1].set(xlabel="Recall", ylabel="Precision", title="Precision and recall")
    panels[1].legend(loc="lower left")
    style.footnote(made, "Dotted: chance. Bands: 95 % pointwise, by drawing groups.")
    return made


@style.styled
def confusions(counts: np.ndarray, names: Sequence[str], model: str) -> Figure:
    """Counts of videos by label and by what was called; shades are shares of the label."""
    made = style.figure(1.6 + 0.5 * len(names), 5.6)
    style.title(made, f"{model}: confusion")
    axes = made.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            ink = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink)
    short = [style.shorten(name, 16) for name in names]
    axes.set_xticks(range(len(names)), short, rotation=30 if len(names) > 3 else 0)
    axes.set_yticks(range(len(names)), short)
    axes.set(xlabel="Called", ylabel="Label")
    return made


@style.styled
def calibration(rows: Sequence[Mapping[str, Any]], models: Sequence[str]) -> Figure:
    """Accuracy against confidence, before and after the temperature of the inner split."""
    if not rows:
        return style.nothing("Reliability", "there are no predictions")
    made = style.figure(4.0)
    style.title(made, "Reliability: does a confidence of 80 % mean 80 % right?")
    panels = made.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, ("probabilities", "calibrated"), strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
        for number, model in enumerate(models):
            own = [row for row in rows if (row["model"], row["kind"]) == (model, kind)]
            x, y = [row["confidence"] for row in own], [row["accuracy"] for row in own]
            sizes = [12 + 4 * row["n_videos"] for row in own]
            color = OKABE_ITO[number % len(OKABE_ITO)]
            axes.plot(x, y, color=color, lw=1.2)
            axes.scatter(
                x, y, sizes, color=color, edgecolor=INK, linewidth=0.5, label=style.shorten(model, 24), zorder=3
            )
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="Mean confidence")
        axes.grid()
    panels[0].set(title="As the model says", ylabel="Share right")
    panels[1].set(title="With the temperature of the inner split")
    panels[0].legend(loc="upper left")
    style.footnote(made, "Size: number of videos in a bin.")
    return made


@style.styled
def learning(histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure:
    """Loss by epoch of every fold, on what is trained on and on the inner split, with the epoch that was kept."""
    if not histories:
        return style.nothing("Learning", "no network was trained")
    made = style.figure(0.8 + 2.6 * len(histories))
    style.title(made, "Learning: loss by epoch, one line a fold")
    panels = np.atleast_1d(made.subplots(len(histories), 1))
    for axes, (model, folds) in zip(panels, histories.items(), strict=True):
        for rows in folds:
            epochs = [row["epoch"] + 1 for row in rows]
            axes.plot(epochs, [row["train_loss"] for row in rows], color=OKABE_ITO[5], lw=1)
            axes.plot(epochs, [row["inner_loss"] for row in rows], color=OKABE_ITO[1], lw=1)
            best = max((row for row in rows if row["best"]), key=lambda row: row["epoch"])
            axes.plot(best["epoch"] + 1, best["inner_loss"], "v", color=OKABE_ITO[1], markeredgecolor=INK, markersize=7)
        axes.set(title=model, ylabel="Loss", xlabel="Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
    handles = [
        panels[0].plot([], [], color=OKABE_ITO[5], label="trained on")[0],
        panels[0].plot([], [], color=OKABE_ITO[1], label="inner split")[0],
        panels[0].plot([], [], "v", color=OKABE_ITO[1], markeredgecolor=INK, label="kept")[0],
    ]
    panels[0].legend(handles=handles, loc="upper right", ncols=3)
    return made


@style.styled
def contact_sheet(rows: Sequence[Mapping[str, Any]], store: str | Path) -> Figure:
    """Originals and their augmentations, a row each: what was done is the same in every frame of a row."""
    shown = list(_shown(rows))
    if not shown:
        return style.nothing("Augmentations", "no clip was made")
    made = style.figure(0.7 + 1.55 * len(shown))
    style.title(made, "Clips as they are trained on")
    grid = np.atleast_2d(made.subplots(len(shown), SHOWN_FRAMES, squeeze=False))
    for line, row in zip(grid, shown, strict=True):
        pixels = get_clip(store, row["key"], row["sha256"])
        places = np.linspace(0, len(pixels) - 1, SHOWN_FRAMES).round().astype(int)
        for axes, place in zip(line, places, strict=True):
            axes.imshow(pixels[place])
            axes.set_axis_off()
        words = "original" if row["clip"] == 0 else ", ".join(_words(row["parameters"])) or "nothing drawn"
        line[0].set_title(style.shorten(f"{row['video']}: {words}", 120), fontsize=8, loc="left")
    return made


def _shown(rows: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    videos = list(dict.fromkeys(row["video"] for row in rows if row["status"] != "failed"))[:SHOWN_VIDEOS]
    first = next((row["spec"] for row in rows if row["status"] != "failed"), "")
    for video in videos:
        yield from [row for row in rows if row["video"] == video and row["spec"] == first and row["key"]][:2]


def _words(parameters: str) -> list[str]:
    from longtake.training.augment import from_text

    found = []
    for name, value in from_text(parameters).items():
        found.append(f"{name} {value:.3g}" if isinstance(value, float) else name)
    return found
