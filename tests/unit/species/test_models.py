"""Two models on the same clips: divergence worked out on paper, and tests whose truth is planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from longtake.errors import SchemaError
from longtake.species.models import compare_models, divergence_test, jensen_shannon
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import write_table
from longtake.streams import stream

RISING, FALLING = np.arange(1.0, 10), np.arange(9.0, 0, -1)
Run = Callable[..., Path]


def test_divergence_by_hand() -> None:
    p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    # Middle (3/4, 1/4): half of log2(4/3), and half of (log2(2/3) + log2(2)) / 2.
    expected = 0.5 * np.log2(4 / 3) + 0.25 * (np.log2(2 / 3) + 1)
    assert jensen_shannon(p, q) == pytest.approx(expected)
    assert jensen_shannon(q, p) == pytest.approx(expected)
    assert jensen_shannon(p, 1 - p) == 1.0
    assert jensen_shannon(q, q) == 0.0


def test_exchanges_are_counted() -> None:
    a = np.tile(RISING / RISING.sum(), (5, 1))
    b = np.tile(FALLING / FALLING.sum(), (5, 1))
    found, p, method = divergence_test(a, b, stream(1, "x", "y"))
    assert found == pytest.approx(jensen_shannon(a[0], b[0]))
    # Of 32 exchanges only none and all are as extreme.
    assert (p, method) == (2 / 32, "exact permutation, 32 exchanges")
    assert divergence_test(a, a, stream(1, "x", "y"))[:2] == (0.0, 1.0)


def test_p_is_honest_when_the_models_are_alike() -> None:
    draws = stream(3, "null", "curves")
    found = []
    for _ in range(60):
        a, b = draws.gamma(2.0, size=(2, 6, 9))
        a, b = a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)
        found.append(divergence_test(a, b, draws)[1])
    assert np.mean(np.array(found) <= 0.1) < 0.25
    assert np.median(found) > 0.25


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Write a run: every video has one clip of `shape` a species, and what is kept of it when frozen."""

    def write(name: str, n_videos: int, shape: np.ndarray, kept: float = 0.9, first: int = 0) -> Path:
        for number in range(n_videos):
            video, draws = f"v{number}", stream(number, name, "curve")
            clips, curves, disturbed = [], [], []
            for label in ("carp", "perch"):
                key = {"video": video, "window": 0, "object": f"{label}-1", "label": label, "clip": 0}
                numbers = {
                    "motion": "object",
                    "pearson": kept,
                    "spearman": kept,
                    "predicted_name": label,
                    "correct": True,
                }
                clips.append(
                    key | numbers | {"first_frame": first, "last_frame": first + 8, "stride": 1, "status": "ok"}
                )
                for t, value in enumerate(shape * draws.uniform(0.9, 1.1, 9)):
                    zero = dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude"), 0.0)
                    curves.append(key | zero | {"offset": t, "frame": first + t, "time_s": t / 10, "magnitude": value})
                for kind in ("static", "shuffle"):
                    row = {"perturbation": kind, "repeat": 0, "status": "ok", "n_frames": 9, "agrees": 1.0}
                    share = kept + number / 1000
                    answer = {"answer": 1.0, "answer_power": 1.0}
                    disturbed.append(key | row | answer | {"total": share, "ratio": share})
            folder = tmp_path / name / "gradients"
            for kind, rows, schema in (
                ("clips", clips, CLIPS), ("curves", curves, CURVES), ("perturbations", disturbed, PERTURBATIONS),
            ):  # fmt: skip
                write_table(folder / f"{video}.{kind}.parquet", rows, schema)
        return tmp_path / name

    return write


def compare(run_a: Path, run_b: Path, n_videos: int) -> dict[tuple[str, str], dict[str, Any]]:
    out = run_a.parent / "models.parquet"
    videos = [f"v{number}" for number in range(n_videos)]
    facts = compare_models(run_a=run_a, run_b=run_b, videos=videos, out=out, seed=1, level=0.95, draws=200)
    assert facts["clips"] == 2 * n_videos
    assert out.with_suffix(".csv").is_file()
    return {(row["species"], row["measure"]): row for row in pl.read_parquet(out).to_dicts()}


def test_another_model_is_told_apart(run: Run) -> None:
    found = compare(run("a", 6, RISING, kept=0.9), run("b", 6, FALLING, kept=0.2), 6)
    row = found["carp", "importance_divergence"]
    expected = jensen_shannon(RISING / RISING.sum(), FALLING / FALLING.sum())
    assert row["difference"] == pytest.approx(expected, rel=0.2)
    assert row["low"] <= row["difference"] <= row["high"]
    assert (row["p"], row["n_videos"], row["n_clips"], row["same_class"]) == (2 / 64, 6, 6, 1.0)
    kept = found["all species", "kept_static"]
    assert kept["difference"] == pytest.approx(0.7)
    assert (kept["value_a"] - kept["value_b"], kept["p"], kept["n_clips"]) == (pytest.approx(0.7), 2 / 64, 12)
    assert kept["p_holm"] >= kept["p"]


def test_the_same_model_with_other_noise_is_not(run: Run) -> None:
    found = compare(run("a", 6, RISING), run("b", 6, RISING), 6)
    assert found["carp", "importance_divergence"]["difference"] < 0.01
    assert found["carp", "kept_static"]["difference"] == pytest.approx(0)
    assert all(row["p"] is None or row["p"] > 0.05 for row in found.values())


def test_two_videos_decide_nothing(run: Run) -> None:
    found = compare(run("a", 2, RISING), run("b", 2, FALLING), 2)
    row = found["carp", "importance_divergence"]
    assert (row["p"], row["status"], row["reason"]) == (None, "undecided", "2 videos, at least 5 are needed")
    assert row["difference"] > 0.1


def test_clips_of_other_frames_are_not_compared(run: Run) -> None:
    with pytest.raises(SchemaError, match="no clip of the same frames in common"):
        compare(run("a", 3, RISING), run("b", 3, RISING, first=4), 3)
