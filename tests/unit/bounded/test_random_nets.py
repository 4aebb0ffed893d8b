"""Nets that nobody chose: whatever they are made of, the gradient is plain autograd's or there is none and a reason.

`make bench` tries many more (`benchmarks/random_nets.py`).
"""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from longtake.bounded import spill

pytestmark = pytest.mark.slow

spec = importlib.util.spec_from_file_location("random_nets", Path(__file__).parents[3] / "benchmarks/random_nets.py")
random_nets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(random_nets)


@pytest.fixture
def small_files(monkeypatch):
    """Every tensor that is saved may go to a file, and what was set before is put back."""
    monkeypatch.setattr(spill, "SMALLEST", 0)


@pytest.mark.parametrize("group", range(4))
def test_no_gradient_is_wrong_and_no_error_raw(small_files, group):
    counts = Counter()
    for seed in range(6 * group, 6 * group + 6):
        for kind, what in random_nets.trials(seed, budgets=seed % 3 == 0, ways=3):
            assert what in ("equal", "refused"), (seed, kind, what)
            counts[kind, what] += 1
    assert counts["plain", "equal"] == 6
    assert counts["way", "equal"] >= 6
