"""All folds of all models: predictions, metrics with intervals, comparisons, calibration and the leaderboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from longtake.statistics.inference import against_zero, holm
from longtake.store.atomic import write_csv
from longtake.store.tables import read_table, write_table
from longtake.streams import stream
from longtake.training import calibrate, metrics
from longtake.training.dataset import class_names, read_folds
from longtake.training.metrics import Interval, Scored
from longtake.training.tables import ALL_PREDICTIONS, CALIBRATION, COMPARISONS, METRICS, PREDICTIONS

CONTROLS = ("permuted", "metadata", "middle", "shuffled")
LEADERBOARD = (
    "model",
    "control",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "balanced_accuracy",
    "balanced_accuracy_low",
    "balanced_accuracy_high",
    "macro_f1",
    "roc_auc",
    "log_loss",
    "ece",
    "folds",
    "n_videos",
    "n_groups",
    "status",
    "reason",
)


@dataclass(frozen=True)
class Piece:
    """One fold's predictions of a model, or why there are none."""

    model: str
    control: str
    repeat: int
    fold: int
    path: Path
    status: str = "ok"
    reason: str = ""
    threshold: float = 0.5


def gather(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """Return the rows of `ALL_PREDICTIONS`, of the pieces that exist."""
    rows = []
    for piece in pieces:
        if piece.status != "failed" and piece.path.exists():
            about = {"model": piece.model, "control": piece.control, "repeat": piece.repeat, "fold": piece.fold}
            rows += [about | row for row in read_table(piece.path, PREDICTIONS).to_pylist()]
    return rows


def scored(rows: Sequence[Mapping[str, Any]], names: Sequence[str], groups: Mapping[str, str]) -> Scored:
    """Return predictions as arrays; the class called is the likeliest, of two classes by the threshold of its fold."""
    probabilities = np.array([row["calibrated"] for row in rows], float).reshape(len(rows), -1)
    called = probabilities.argmax(1)
    if len(names) == 2:
        called = (probabilities[:, 1] >= np.array([row["threshold"] for row in rows])).astype(np.int64)
    return Scored(
        np.array([names.index(str(row["label"])) for row in rows]),
        called,
        probabilities,
        np.array([groups[str(row["video"])] for row in rows]),
        np.array([int(row["fold"]) for row in rows]),
    )


def evaluate(
    pieces: Sequence[Piece],
    folds_table: str | Path,
    *,
    out: Mapping[str, str | Path],
    folds: int,
    seed: int,
    draws: int = 2000,
) -> dict[str, Any]:
    """Write the tables of all models together; return counts.

    Parameters
    ----------
    out
        Paths of ``predictions``, ``predictions_csv``, ``metrics``, ``comparisons``, ``calibration``, ``leaderboard``.
    folds
        Of one repeat: a model with fewer is "3 of 5 folds", and never a mean of three as of five.

    Memory: the predictions of all models, some hundred bytes each.
    """
    placed = read_folds(folds_table)
    names = class_names(placed)
    groups = {row["video"]: row["group"] for row in placed}
    cuts = {(piece.model, piece.control, piece.repeat, piece.fold): piece.threshold for piece in pieces}
    rows = gather(pieces)
    write_table(out["predictions"], rows, ALL_PREDICTIONS)
    for row in rows:
        row["threshold"] = cuts[row["model"], row["control"], row["repeat"], row["fold"]]
    outer = [row for row in rows if row["part"] == "outer"]
    _write_csv(out["predictions_csv"], outer, names)
    found: list[dict[str, Any]] = []
    board: list[dict[str, Any]] = []
    reliability: list[dict[str, Any]] = []
    by_model: dict[str, dict[str, Mapping[str, Any]]] = {}
    for model, control in dict.fromkeys((piece.model, piece.control) for piece in pieces):
        own = [piece for piece in pieces if (piece.model, piece.control) == (model, control)]
        here = [row for row in outer if (row["model"], row["control"]) == (model, control)]
        measured, line = _model(own, here, names, groups, seed=seed, draws=draws)
        found += measured
        board.append(line)
        if control == "" and here:
            reliability += list(_reliability(model, here, names))
            # Comparisons are of the first repeat: others show the same videos again, and are no further evidence.
            by_model[model] = {str(row["video"]): row for row in here if row["repeat"] == 0}
    found += _ensembles(rows, names, groups, seed=seed, draws=draws)
    write_table(out["metrics"], found, METRICS)
    write_table(out["calibration"], reliability, CALIBRATION)
    write_table(out["comparisons"], compare(by_model, names, groups, seed=seed), COMPARISONS)
    board.sort(key=lambda line: (line["control"] != "", -(line["accuracy"] or -1.0), line["model"]))
    write_csv(out["leaderboard"], LEADERBOARD, board)
    return {"models": len(by_model), "predictions": len(rows), "folds": folds}


def _model(
    pieces: Sequence[Piece],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    groups: Mapping[str, str],
    *,
    seed: int,
    draws: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Metrics of every fold and of all, and the line of the leaderboard."""
    first = pieces[0]
    found = []
    for piece in pieces:
        own = [row for row in rows if (row["repeat"], row["fold"]) == (piece.repeat, piece.fold)]
        about = {"model": piece.model, "control": piece.control, "repeat": piece.repeat, "fold": str(piece.fold)}
        if own:
            found += list(_metrics(scored(own, names, groups), names, about, piece.status, piece.reason))
    done = sum(1 for piece in pieces if any(_same(row, piece) for row in rows))
    complete = done == len(pieces)
    reasons = list(dict.fromkeys(piece.reason for piece in pieces if piece.reason))
    status = "ok" if complete and not reasons else "approximate" if complete else "failed" if not done else "partial"
    words = f"{done} of {len(pieces)} folds"
    line: dict[str, Any] = {
        "model": first.model,
        "control": first.control,
        "folds": words,
        "status": status,
        "reason": "; ".join(reasons[:3]),
    }
    if not rows:
        return found, line | dict.fromkeys(LEADERBOARD[2:12]) | {"n_videos": 0, "n_groups": 0}
    # Each repeat predicts every video once; the value is the mean of repeats, the interval that of the first.
    repeats = sorted({row["repeat"] for row in rows})
    each = [scored([row for row in rows if row["repeat"] == repeat], names, groups) for repeat in repeats]
    unit = f"{first.model} {first.control}"
    value = _mean([metrics.overall(one, len(names)) for one in each])
    spans = metrics.intervals(
        each[0], lambda part: metrics.overall(part, len(names)), seed=seed, unit=unit, draws=draws
    )
    about = {"model": first.model, "control": first.control, "repeat": 0, "fold": "all"}
    found += _all_rows(each[0], value, spans, about, names, status=status, words=words)
    line |= {name: value[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "ece")}
    for name in ("accuracy", "balanced_accuracy"):
        line |= {f"{name}_low": spans[name].low, f"{name}_high": spans[name].high}
    line |= {"n_videos": len(each[0].labels), "n_groups": len(set(each[0].groups.tolist()))}
    return found, line


def _same(row: Mapping[str, Any], piece: Piece) -> bool:
    return bool((row["repeat"], row["fold"]) == (piece.repeat, piece.fold))


def _mean(values: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in values[0]:
        known = [value for each in values if (value := each[name]) is not None]
        found[name] = float(np.mean(known)) if len(known) == len(values) else None
    return found


def _metrics(
    part: Scored, names: Sequence[str], about: Mapping[str, Any], status: str, reason: str
) -> Iterator[dict[str, Any]]:
    """The rows of one fold: no interval, for one fold's groups are few and folds share what they train on."""
    counts = {"n_videos": len(part.labels), "n_groups": len(set(part.groups.tolist()))}
    for metric, value in metrics.overall(part, len(names)).items():
        yield _row(about, counts, "all", metric, value, status=status, reason=reason)
    for number, name in enumerate(names):
        absent = not (part.labels == number).any()
        for metric, value in metrics.per_class(part, number).items():
            why = f"{name!r} is absent from this fold" if absent and value is None else reason
            yield _row(about, counts, name, metric, value, status=status, reason=why)


def _row(
    about: Mapping[str, Any],
    counts: Mapping[str, int],
    name: str,
    metric: str,
    value: float | None,
    *,
    status: str,
    reason: str,
    span: Interval | None = None,
) -> dict[str, Any]:
    low, high = (span.low, span.high) if span else (None, None)
    why = reason or (span.reason if span else "")
    if value is None and not why:
        why = "not defined for these predictions"
    return {
        **about,
        **counts,
        "class": name,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "status": status,
        "reason": why,
    }


def _all_rows(
    one: Scored,
    value: Mapping[str, float | None],
    spans: Mapping[str, Interval],
    about: Mapping[str, Any],
    names: Sequence[str],
    *,
    status: str,
    words: str,
) -> list[dict[str, Any]]:
    counts = {"n_videos": len(one.labels), "n_groups": len(set(one.groups.tolist()))}
    reason = "" if status == "ok" else words
    rows = [
        _row(about, counts, "all", name, value[name], status=status, reason=reason, span=spans[name])
        for name in metrics.OVERALL
    ]
    few = metrics.cluster_t(one) if counts["n_groups"] < metrics.FEW_GROUPS else None
    if few is not None:
        span = Interval(*few, "ok", f"few groups ({counts['n_groups']}): t over groups")
        rows.append(
            _row(about, counts, "all", "accuracy_cluster_t", value["accuracy"], status=status, reason=reason, span=span)
        )
    for number, name in enumerate(names):
        for metric, found in metrics.per_class(one, number).items():
            rows.append(_row(about, counts, name, metric, found, status=status, reason=reason))
    table = metrics.confusion(one, len(names))
    rows += [
        _row(about, counts, name, f"called {names[other]}", float(table[number, other]), status=status, reason=reason)
        for number, name in enumerate(names)
        for other in range(len(names))
    ]
    return rows


def _reliability(model: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    own = [row for row in rows if row["repeat"] == 0]
    labels = np.array([names.index(str(row["label"])) for row in own])
    for kind in ("probabilities", "calibrated"):
        values = np.array([row[kind] for row in own], float)
        for number, confidence, accuracy, count in calibrate.reliability(values, labels):
            yield {
                "model": model,
                "repeat": 0,
                "kind": kind,
                "bin": number,
                "confidence": confidence,
                "accuracy": accuracy,
                "n_videos": count,
            }


def _ensembles(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], groups: Mapping[str, str], *, seed: int, draws: int
) -> list[dict[str, Any]]:
    """Metrics on the test set of the mean probability of a model's folds, none of which has seen it."""
    found: list[dict[str, Any]] = []
    test = [row for row in rows if row["part"] == "test" and row["control"] == ""]
    for model in dict.fromkeys(str(row["model"]) for row in test):
        own = [row for row in test if row["model"] == model]
        videos = sorted({str(row["video"]) for row in own})
        mean = []
        for video in videos:
            answers = [row for row in own if row["video"] == video]
            together = np.mean([row["calibrated"] for row in answers], 0).tolist()
            cut = float(np.mean([row["threshold"] for row in answers]))
            mean.append({**answers[0], "calibrated": together, "threshold": cut, "fold": 0})
        part = scored(mean, names, groups)
        spans = metrics.intervals(
            part, lambda each: metrics.overall(each, len(names)), seed=seed, unit=f"{model} test", draws=draws
        )
        about = {"model": model, "control": "", "repeat": 0, "fold": "test"}
        found += _all_rows(part, metrics.overall(part, len(names)), spans, about, names, status="ok", words="")
    return found


def compare(
    by_model: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Sequence[str],
    groups: Mapping[str, str],
    *,
    seed: int,
    draws: int = 10_000,
) -> list[dict[str, Any]]:
    """Compare the accuracy of every two models by flipping the signs of groups; Holm over all pairs.

    On the videos that both have predicted: of each model its rows by video. McNemar's test over videos calls 28 % of
    equal models different where groups are alike; signs of groups 6 to 9 %.
    """
    rows = []
    for one, other in combinations(by_model, 2):
        both = sorted(by_model[one].keys() & by_model[other].keys())
        if both:
            pair = (scored([by_model[name][video] for video in both], names, groups) for name in (one, other))
            rows.append(_compared(one, other, *pair, seed=seed, draws=draws))
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def _compared(name_a: str, name_b: str, a: Scored, b: Scored, *, seed: int, draws: int) -> dict[str, Any]:
    unit = f"{name_a} against {name_b}"
    sums = metrics.group_sums(a, b)
    test = against_zero(sums, stream(seed, unit, "signs of groups"), draws=draws, what="group")
    span = metrics.difference_interval(a, b, seed=seed, unit=unit)
    return {
        "model_a": name_a,
        "model_b": name_b,
        "metric": "accuracy",
        "difference": sum(sums.values()) / len(a.labels),
        "low": span.low,
        "high": span.high,
        "p": test.p if test.status == "ok" else None,
        "p_least": test.p_least,
        "n_groups": len(sums),
        "status": test.status,
        "reason": test.reason,
    }


def _write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    columns = ("model", "repeat", "fold", "video", "label", "predicted", *(f"p_{name}" for name in names))
    lines = []
    for row in rows:
        if row["control"] == "":
            probabilities = row["calibrated"]
            called = int(np.argmax(probabilities))
            if len(names) == 2:
                called = int(probabilities[1] >= row["threshold"])
            shares = {f"p_{name}": value for name, value in zip(names, probabilities, strict=True)}
            about = {key: row[key] for key in ("model", "repeat", "fold", "video", "label")}
            lines.append(about | {"predicted": names[called]} | shares)
    write_csv(path, columns, lines)
