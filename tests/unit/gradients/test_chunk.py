"""As many frames at a time as fit, and the same numbers whatever that is."""

import numpy as np
import pytest
import torch

from longtake.errors import BudgetError
from longtake.gradients.attribution import attribute_clip
from longtake.gradients.planner import Budget, Planner
from longtake.gradients.window import asked
from longtake.models.classifier import ClassifierConfig, ClipClassifier, ClipClassifierModel

T, SIDE = 9, 48


@pytest.fixture
def adapter():
    torch.manual_seed(2)
    config = ClassifierConfig(("a", "b"), n_frames=T, size=SIDE, channels=(8,) * 5, width=16, depth=1)
    return ClipClassifierModel(ClipClassifier(config).eval())


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 255, (T, SIDE, SIDE, 3), dtype=np.uint8)


def explain(planner, pixels):
    return attribute_clip(planner.model, pixels, [None] * T, target=1, planner=planner)


@pytest.mark.slow
def test_the_largest_chunk_that_fits_and_predicted_is_measured(adapter, pixels):
    shape = (T, 3, SIDE, SIDE)
    found = list(Planner(adapter).ways(shape))[:5]
    assert [each.way.chunk_size for each in found] == [None, 5, 3, 2, 1]
    assert [each.peak for each in found] == sorted((each.peak for each in found), reverse=True)
    whole = explain(Planner(adapter), pixels)
    for each in found:
        planner = Planner(adapter, Budget(each.peak))
        part = explain(planner, pixels)
        told = planner.record()
        assert told["gradient_chunk"] == (each.way.chunk_size or T)
        assert told["gradient_predicted_bytes"] == each.peak
        # In clips as small as this one, sums of one frame in float64 may take more than the gradient.
        sums = 6 * 8 * 3 * SIDE**2
        assert 0.98 * each.peak <= told["gradient_measured_bytes"] <= max(1.02 * each.peak, sums)
        np.testing.assert_allclose(part.maps, whole.maps, rtol=1e-3, atol=1e-5 * whole.maps.max())
        tighter = Planner(adapter, Budget(each.peak - 1, firm=False)).strategy(shape)
        assert (tighter == each.way) == (each.way.chunk_size == 1)


def test_what_was_asked_is_the_most(adapter, pixels):
    planner = Planner(adapter, Budget(10**9, chunk_size=4))
    explain(planner, pixels)
    assert (planner.record()["gradient_way"], planner.record()["gradient_chunk"]) == ("split", 4)


@pytest.mark.slow
def test_less_than_any_way_takes(adapter, pixels):
    with pytest.raises(BudgetError, match="memory_gb"):
        explain(Planner(adapter, Budget(1000)), pixels)
    loose = Planner(adapter, Budget(1000, firm=False))
    explain(loose, pixels)
    assert loose.record()["gradient_predicted_bytes"] > 1000


def test_what_changes_no_number_comes_from_resources():
    params = {"model": "m", "chunk_size": 0, "memory_gb": 0}
    assert asked(params, {}).chunk_size == 0
    given = asked(params, {"chunk": 8, "gradient_mb": 512, "mem_mb": 4000})
    assert (given.chunk_size, given.memory_gb) == (8, 0.5)
