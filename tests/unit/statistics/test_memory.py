"""Ten times the frames cost some twenty bytes for each more detection, and nothing else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from longtake import masks
from longtake.statistics.plan import Processed
from longtake.statistics.tracks import read_tracks
from longtake.store.schemas import DETECTIONS
from longtake.windows import Window

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


def peak(n_rows: int) -> int:
    windows = (Window("v", 0, 0, n_rows, 0, n_rows, 0.0, n_rows / 10),)
    tracemalloc.start()
    scene = read_tracks(batches(n_rows), Processed("v", windows, 1, {}))
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scene.tracks["a"].n_visible == n_rows
    return highest


def test_memory_per_detection() -> None:
    few, many = 4 * ROWS, 40 * ROWS
    peak(ROWS)
    assert peak(many) - peak(few) < 24 * (many - few)
