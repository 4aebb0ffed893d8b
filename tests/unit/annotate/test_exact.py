"""`make exact` says what it compared, and that there was something to compare."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

spec = importlib.util.spec_from_file_location("exact", Path(__file__).parents[3] / "benchmarks/exact.py")
exact = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exact)
SMALL = np.array([[2**-23, -3e-9], [0.0, 2e-8]], np.float32)
FACTS = {
    "video": {"name": "pond", "frames": 2, "frame_interval": 1},
    "objects": 1, "prompts": 1, "windows": 2, "model": "m", "precision": "float32",
}  # fmt: skip


def test_small_logits_are_told_in_full(capsys):
    found = exact.difference({0: {"a": SMALL}}, {0: {"a": SMALL}})
    assert found["largest_logit"] == 2**-23
    assert found["largest_difference"] == 0
    exact.show(FACTS | {"cut_against_uncut": [{"direction": "forward"} | found]})
    assert "(largest logit 1.1920928955078125e-07)" in capsys.readouterr().out
    other = exact.difference({0: {"a": SMALL}}, {0: {"a": SMALL + np.float32(1e-8)}})
    assert 0 < other["largest_difference"] < 2e-8


@pytest.mark.parametrize("logits", [{}, {0: {}}, {0: {"a": np.full((2, 2), -1024.0)}, 1: {"a": np.zeros((2, 2))}}])
def test_a_comparison_of_nothing_is_refused(logits):
    with pytest.raises(SystemExit, match="nothing was compared"):
        exact.difference(logits, logits)
