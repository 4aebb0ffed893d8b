"""Mean and median of numbers on disk are NumPy's of the same numbers in memory, to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from longtake.statistics.spilled import mean, median
from longtake.store import spill as spills
from longtake.store.spill import ArraySpill


@pytest.mark.parametrize("n", [1, 2, 7, 8, 129, 1000, 4097, 30_001])
@pytest.mark.parametrize("chunk", [256, 65_536])
def test_mean_and_median(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, chunk: int) -> None:
    monkeypatch.setattr(spills, "CHUNK", chunk)
    monkeypatch.setattr(spills, "WAITING_BYTES", 999)
    draws = np.random.default_rng(n)
    values = {key: (draws.normal(size=n) * 10 ** draws.normal(size=n)).astype(np.float32) for key in "ab"}
    with ArraySpill(np.float32, tmp_path) as held:
        for start in range(0, n, 100):
            for key in values:
                held.add(key, values[key][start : start + 100])
        for key, all_of_it in values.items():
            assert held.count(key) == n
            assert mean(held, key) == float(np.mean(all_of_it.astype(np.float64)))
            assert median(held, key) == float(np.median(all_of_it.astype(np.float64)))
        assert mean(held, "c") is None
        assert median(held, "c") is None


def test_ties_zeros_and_signs(tmp_path: Path) -> None:
    with ArraySpill(np.float32, tmp_path) as held:
        for key, values in {"ties": [2, 2, 2, 1], "signs": [-3, -1, 0, 2], "small": [1e-40, 3e-40]}.items():
            held.add(key, np.array(values, np.float32))
            assert median(held, key) == float(np.median(np.array(values, np.float32).astype(np.float64)))


def test_rows_of_several_columns_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spills, "WAITING_BYTES", 10)
    monkeypatch.setattr(spills, "CHUNK", 3)
    dtype = [("frame", "i8"), ("seen", "?")]
    rows = np.array([(frame, frame % 2) for frame in range(10)], dtype)
    with ArraySpill(dtype, tmp_path) as held:
        for row in rows:
            held.add("a", row[None])
        assert [len(chunk) for chunk in held.chunks("a")] == [3, 3, 3, 1]
        assert np.concatenate(list(held.chunks("a"))).tolist() == rows.tolist()
    assert list(tmp_path.iterdir()) == []
