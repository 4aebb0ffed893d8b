"""Models of which it is known what they use, from their gradients to the word of a video."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("planted", Path(__file__).parents[3] / "benchmarks/planted.py")
planted = importlib.util.module_from_spec(spec)
spec.loader.exec_module(planted)


@pytest.mark.parametrize("name", planted.MODELS)
def test_the_planted_use_is_never_told_wrong(name):
    found = planted.measured(name, "pond", 2)
    assert found["uses"] in planted.RIGHT[name], found
    if name in ("average", "gain 1", "gain 3", "maximum"):
        # Frames alone: no order changes anything, so it is no motion whatever is kept of frozen clips.
        assert found["kept_shuffle"] == pytest.approx(1, abs=1e-4)
    if name == "gain 3":
        # Scatter of what saturates, which would look like motion; two motionless clips keep as little of each other.
        assert found["kept_still"] < 0.5
