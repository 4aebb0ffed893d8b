"""Seeded tables of the kinds that figures are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from longtake.annotate.timelines import WindowState

SPECIES = ("perch", "carp", "tench", "roach")


def make_windows(n: int, length: float = 60.0, overlap: float = 10.0) -> list[WindowState]:
    statuses = ["ok", "approximate", "failed", "missing"]
    step = length - overlap
    return [
        WindowState(
            k, k * step, k * step + length, k * step, (k + 1) * step if k < n - 1 else k * step + length,
            statuses[k % 4] if n > 3 else "ok",
        )
        for k in range(n)
    ]  # fmt: skip


def make_visits(
    n_objects: int, stop: float, species: tuple[str, ...] = SPECIES, seed: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    visits, prompts = [], []
    for k in range(n_objects):
        edges = np.sort(generator.uniform(0, stop, 4))
        name, kind = f"animal {k + 1}", species[k % len(species)]
        key = {"video": "pond", "object": name, "species": kind}
        prompts.append({**key, "frame": 0, "time_s": float(edges[0])})
        for start, end in (edges[:2], edges[2:]):
            visits.append({**key, "start_s": float(start), "stop_s": float(end)})
    return visits, prompts


def make_curves(
    n_clips: int, species: tuple[str, ...] = SPECIES, frames: int = 31, seed: int = 2
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of CURVES and CLIPS; the importance of every other species follows its motion."""
    generator = np.random.default_rng(seed)
    curves: list[dict[str, Any]] = []
    clips: list[dict[str, Any]] = []
    for k in range(n_clips):
        kind = species[k % len(species)]
        key = {"video": f"v{k % 5}", "window": 0, "object": f"animal {k + 1}", "label": kind, "clip": k}
        phase = generator.uniform(0, 6)
        motion = 3 + 2 * np.sin(np.arange(frames) / 4 + phase) + generator.normal(0, 0.2, frames)
        follow = 0.5 if k % 2 else 0.0
        importance = 1e-3 * np.exp(follow * (motion - 3) + generator.normal(0, 0.3, frames))
        curves += [
            {
                **key, "offset": t, "frame": 30 * k + t, "time_s": 1.5 * k + t / 20,
                "magnitude": float(importance[t]), "motion_frame": float(motion[t]) if t else None,
                "motion_object": None,
            }
            for t in range(frames)
        ]  # fmt: skip
        r = float(np.corrcoef(importance[1:], motion[1:])[0, 1])
        clips.append({**key, "status": "ok", "pearson": r, "spearman": r, "first_frame": 30 * k})
    return curves, clips


@pytest.fixture
def tables() -> Any:
    class Tables:
        windows = staticmethod(make_windows)
        visits = staticmethod(make_visits)
        curves = staticmethod(make_curves)

    return Tables
