"""Features of a shard of videos, and a fold of a model on features; two of the controls are such fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import MediaError, TrainingError
from longtake.media.index import index_video
from longtake.store.tables import read_table, write_table
from longtake.training import calibrate
from longtake.training.classical import fit_features, save_features
from longtake.training.dataset import class_names, part_of
from longtake.training.features import METADATA_NAMES, NAMES, video_features
from longtake.training.fit import prediction_rows
from longtake.training.leaks import permuted_labels
from longtake.training.loop import ClipOf
from longtake.training.tables import FEATURES, HISTORY, PREDICTIONS

log = logging.getLogger(__name__)
_PARTS = ("outer", "inner", "test")


def features_of_shard(
    videos: Sequence[tuple[str, str]],
    *,
    frames: int,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the features of `videos` (id, path); one that cannot be read has none, and is told in the table of clips.

    Memory: two frames in source resolution.
    """
    rows = []
    for number, (video, path) in enumerate(videos):
        try:
            values = video_features(index_video(path), frames)
        except (MediaError, OSError) as error:
            log.warning("%s: no features: %s", video, error)
            continue
        rows.append({"video": video, "names": list(NAMES), "values": values.tolist()})
        if progress:
            progress(number + 1, len(videos))
    write_table(out, rows, FEATURES)
    return {"videos": len(rows)}


def read_features(paths: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Return the features of each video, (n,) float64 in the order of `NAMES`."""
    rows = [row for path in paths for row in read_table(path, FEATURES).to_pylist()]
    return {row["video"]: np.array(row["values"]) for row in rows}


def fit_baseline(
    kind: str,
    features: Mapping[str, np.ndarray],
    folds: Sequence[Mapping[str, Any]],
    *,
    repeat: int,
    fold: int,
    folder: str | Path,
    class_weights: str,
    seed: int,
    control: str = "",
) -> dict[str, Any]:
    """Fit a model on features on one fold and write its folder; return facts.

    Parameters
    ----------
    control
        ``permuted``: groups exchange their labels before training, so accuracy should be chance. ``metadata``: only
        what the container says is used, so accuracy above chance means that files tell the class.

    Raises
    ------
    TrainingError
        No video with features is left for a part of the fold.
    """
    names = class_names(folds)
    used = [NAMES.index(name) for name in METADATA_NAMES] if control == "metadata" else list(range(len(NAMES)))
    parts: dict[str, list[Mapping[str, Any]]] = {"train": [], "inner": [], "outer": [], "test": []}
    for row in sorted(folds, key=lambda row: str(row["video"])):
        if row["repeat"] == repeat and row["video"] in features:
            parts[part_of(row, fold)].append(row)
    for part in ("train", "inner", "outer"):
        if not parts[part]:
            raise TrainingError(f"repeat {repeat}, fold {fold}: no video with features is left for its {part} part.")

    dealt: dict[str, str] = {}
    for part in ("train", "inner") if control == "permuted" else ():
        # Each part by itself, so that every class stays in both.
        dealt |= permuted_labels(parts[part], seed, f"repeat {repeat}, fold {fold}, {part}")

    def values(part: str) -> np.ndarray:
        found: np.ndarray = np.stack([features[row["video"]][used] for row in parts[part]])
        return found

    def labels(part: str) -> list[int]:
        return [names.index(dealt.get(str(row["video"]), str(row["label"]))) for row in parts[part]]

    inner = values("inner"), labels("inner")
    model = fit_features(kind, values("train"), labels("train"), inner, names, class_weights=class_weights, seed=seed)
    answers = model.scores(inner[0])
    temperature = calibrate.temperature(answers, np.array(inner[1]))
    cut = 0.5
    if len(names) == 2:
        cut = calibrate.threshold(calibrate.softmax(answers, temperature)[:, 1], np.array(inner[1]))
    rows = []
    for part in _PARTS:
        if parts[part]:
            clips = [ClipOf(f"{row['video']}#0", names.index(str(row["label"])), _unread) for row in parts[part]]
            rows += prediction_rows(clips, model.scores(values(part)), names, temperature, part)
    target = Path(folder)
    about = {
        "temperature": temperature,
        "threshold": cut,
        "status": "ok",
        "reason": "",
        "features": [NAMES[place] for place in used],
    }
    save_features(model, target, training=about)
    write_table(target / "history.parquet", [], HISTORY)
    write_table(target / "predictions.parquet", rows, PREDICTIONS)
    return {"status": "ok", "reason": "", "strength": model.strength}


def _unread() -> np.ndarray:
    raise TrainingError("a model on features reads no clips")
