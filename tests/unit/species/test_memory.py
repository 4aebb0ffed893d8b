"""Ten times the frames cost four bytes for each more frame, and nothing for its detections."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longtake import masks
from longtake.media.windows import Window
from longtake.species.plan import Processed
from longtake.species.tracks import VISIT, read_tracks
from longtake.store import spill
from longtake.store.schemas import DETECTIONS
from longtake.store.spill import ArraySpill

ROWS = 1000


def batches(n_rows: int) -> Iterator[pa.RecordBatch]:
    square = np.zeros((64, 64), dtype=bool)
    square[10:20, 10:20] = True
    counts = masks.encode(square)
    for start in range(0, n_rows, ROWS):
        frame = np.arange(start, start + ROWS)
        columns = {
            "video": ["v"] * ROWS, "frame": frame, "time_s": frame / 10, "object": ["a"] * ROWS,
            "label": ["carp"] * ROWS, "x_min": np.full(ROWS, 10.0), "y_min": np.full(ROWS, 10.0),
            "x_max": np.full(ROWS, 20.0), "y_max": np.full(ROWS, 20.0), "mask": [counts] * ROWS,
            "height": np.full(ROWS, 64), "width": np.full(ROWS, 64), "score": np.ones(ROWS),
            "visible": np.ones(ROWS, dtype=bool), "prompted": np.zeros(ROWS, dtype=bool),
            "window": np.zeros(ROWS), "status": ["ok"] * ROWS, "direction": ["forward"] * ROWS,
            "agreement": [None] * ROWS,
        }  # fmt: skip
        arrays = [pa.array(columns[field.name]).cast(field.type) for field in DETECTIONS]
        yield pa.RecordBatch.from_arrays(arrays, schema=DETECTIONS)


def peak(n_rows: int, folder: Path) -> int:
    windows = (Window("v", 0, 0, n_rows, 0, n_rows, 0.0, n_rows / 10),)
    tracemalloc.start()
    with ArraySpill(np.float32, folder) as values, ArraySpill(VISIT, folder) as visits:
        scene = read_tracks(batches(n_rows), Processed("v", windows, 1, {}), values, visits)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert scene.tracks["a"].n_visible == n_rows
        assert values.count(("a", "area")) == n_rows
    return highest


@pytest.mark.slow
def test_memory_per_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "HELD_BYTES", 2**16)
    monkeypatch.setattr(spill, "WAITING_BYTES", 2**14)
    few, many = 4 * ROWS, 40 * ROWS
    peak(ROWS, tmp_path)
    assert peak(many, tmp_path) - peak(few, tmp_path) < 5 * (many - few)
