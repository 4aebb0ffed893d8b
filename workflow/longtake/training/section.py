"""What the report shows of training: the leaderboard, folds as a grid of statuses, duplicates as pairs of pictures."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.errors import LongtakeError
from longtake.store.tables import read_table
from longtake.training.jobs import pieces
from longtake.training.options import Options
from longtake.training.tables import CLIPS, COMPARISONS, DUPLICATES
from longtake.unit import Study

log = logging.getLogger(__name__)
SHOWN_PAIRS = 12
_FIGURES = ("leaderboard", "learning", "reliability", "augmentations")


def training_section(study: Study) -> Mapping[str, Any] | None:
    """Return the variables of the template; None where nothing of training is there yet."""
    base = study.results / "training"
    options = Options(**study.facts["options"])
    if not base.is_dir():
        return None
    return {
        "board_rows": [_line(row) for row in _board(base / "leaderboard.csv")],
        "grid_rows": _grid(options, base),
        "grid_head": ("Model", *(f"fold {number}" for number in range(options.folds * options.repeats))),
        "figures": [(name, base / "figures" / f"{name}.png") for name in _figures(base, options)],
        "pairs": list(_pairs(base)),
        "left_out": _left_out(base),
        "comparison_rows": [_compared(row) for row in _rows(base / "comparisons.parquet", COMPARISONS)],
    }


def _line(row: Mapping[str, str]) -> tuple[str, ...]:
    span = _span(row["accuracy_low"], row["accuracy_high"])
    numbers = (_share(row["accuracy"]), span, _share(row["balanced_accuracy"]), _share(row["roc_auc"]))
    status = row["status"] + (f": {row['reason']}" if row["reason"] else "")
    return (row["model"], row["control"], *numbers, row["folds"], row["n_videos"], row["n_groups"], status)


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    words = row["status"] + (f": {row['reason']}" if row["reason"] else "")
    p = "" if row["p_holm"] is None else f"{row['p_holm']:.3g}"
    return row["model_a"], row["model_b"], _share(row["difference"]), _span(row["low"], row["high"]), p, words


def _share(value: Any) -> str:
    return "" if value in (None, "") else f"{float(value):.3f}"


def _span(low: Any, high: Any) -> str:
    return "" if low in (None, "") else f"{float(low):.3f} to {float(high):.3f}"


def _figures(base: Path, options: Options) -> Iterator[str]:
    for name in (*_FIGURES, *(f"{kind}-{model}" for model in options.names for kind in ("curves", "confusion"))):
        if (base / "figures" / f"{name}.png").exists():
            yield name


def _board(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def _grid(options: Options, base: Path) -> list[tuple[str, ...]]:
    """Of each model and control, the status of every fold, with the reason of one that is approximate."""
    found: dict[str, list[str]] = {}
    for piece in pieces(options, base):
        name = f"{piece.model} ({piece.control})" if piece.control else piece.model
        words = "missing" if piece.status == "failed" else piece.status
        found.setdefault(name, []).append(f"{words}: {piece.reason}" if piece.status == "approximate" else words)
    return [(name, *statuses) for name, statuses in found.items()]


def _pairs(base: Path) -> Iterator[tuple[str, Any]]:
    """Near-duplicates, the nearest first, each with a picture of both."""
    rows = sorted(_rows(base / "duplicates.parquet", DUPLICATES), key=lambda row: row["distance"])
    clips = {row["video"]: row for row in _rows(base / "clips.parquet", CLIPS) if row["clip"] == 0 and row["key"]}
    for row in rows[:SHOWN_PAIRS]:
        videos = row["video_a"], row["video_b"]
        if all(video in clips for video in videos):
            kind = "the same bytes" if row["kind"] == "exact" else f"distance {row['distance']:.3f}"
            declared = "in one group" if row["declared"] else "in different groups"
            yield (
                f"{videos[0]} and {videos[1]}: {kind}, {declared}",
                pair([clips[video] for video in videos], base / "store"),
            )


def pair(rows: Sequence[Mapping[str, Any]], store: Path) -> Any:
    """Return a figure with the middle frame of two clips side by side."""
    from longtake.figures import style
    from longtake.training.store import get_clip

    made = style.figure(1.6, 3.4)
    for axes, row in zip(made.subplots(1, 2), rows, strict=True):
        pixels = get_clip(store, row["key"], row["sha256"])
        axes.imshow(pixels[len(pixels) // 2])
        axes.set_axis_off()
    return made


def _left_out(base: Path) -> list[tuple[str, str]]:
    rows = _rows(base / "clips.parquet", CLIPS)
    return list({row["video"]: row["reason"] for row in rows if row["status"] == "failed"}.items())


def _rows(path: Path, schema: Any) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = read_table(path, schema).to_pylist() if path.exists() else []
    except LongtakeError as error:
        log.warning("%s", error)
        return []
    return found
