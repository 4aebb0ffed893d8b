"""As many frames at a time as fit, and the same numbers whatever that is."""

import numpy as np
import pytest
import torch

from longtake.errors import BudgetError
from longtake.gradients.attribution import ClipFrames, Grant, attribute_clip, planned, ways_for
from longtake.gradients.window import asked
from longtake.models.classifier import ClassifierConfig, ClipClassifier, ClipClassifierModel
from longtake.models.targets import FixedTarget

T, SIDE = 9, 48


@pytest.fixture
def adapter():
    torch.manual_seed(2)
    config = ClassifierConfig(("a", "b"), n_frames=T, size=SIDE, channels=(8,) * 5, width=16, depth=1)
    return ClipClassifierModel(ClipClassifier(config).eval())


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 255, (T, SIDE, SIDE, 3), dtype=np.uint8)


def explain(adapter, pixels, grant):
    return attribute_clip(adapter, pixels, [None] * T, target=1, grant=grant)


@pytest.mark.slow
def test_the_largest_chunk_that_fits_and_predicted_is_measured(adapter, pixels):
    frames, score = ClipFrames(pixels, torch.device("cpu")), FixedTarget(1, adapter.class_names)
    found = list(ways_for(adapter, frames, score, Grant(splits=True)))[:5]
    assert [each.way.chunk_size for each in found] == [None, 5, 3, 2, 1]
    assert [each.peak for each in found] == sorted((each.peak for each in found), reverse=True)
    whole = explain(adapter, pixels, Grant())
    for each in found:
        grant = Grant(each.peak)
        part = explain(adapter, pixels, grant)
        told = grant.record()
        assert told["gradient_chunk"] == (each.way.chunk_size or T)
        assert told["gradient_predicted_bytes"] == each.peak
        # In clips as small as this one, sums of one frame in float64 may take more than the gradient.
        sums = 6 * 8 * 3 * SIDE**2
        assert 0.98 * each.peak <= told["gradient_measured_bytes"] <= max(1.02 * each.peak, sums)
        np.testing.assert_allclose(part.maps, whole.maps, rtol=1e-3, atol=1e-5 * whole.maps.max())
        tighter = planned(adapter, frames, score, Grant(each.peak - 1, firm=False))
        assert (tighter == each.way) == (each.way.chunk_size == 1)


def test_what_was_asked_is_the_most(adapter, pixels):
    grant = Grant(10**9, chunk_size=4)
    explain(adapter, pixels, grant)
    assert (grant.record()["gradient_way"], grant.record()["gradient_chunk"]) == ("split", 4)


@pytest.mark.slow
def test_less_than_any_way_takes(adapter, pixels):
    with pytest.raises(BudgetError, match="memory_gb"):
        explain(adapter, pixels, Grant(1000))
    loose = Grant(1000, firm=False)
    explain(adapter, pixels, loose)
    assert loose.record()["gradient_predicted_bytes"] > 1000


def test_what_changes_no_number_comes_from_resources():
    params = {"model": "m", "chunk_size": 0, "memory_gb": 0}
    assert asked(params, {}).chunk_size == 0
    given = asked(params, {"chunk": 8, "gradient_mb": 512, "mem_mb": 4000})
    assert (given.chunk_size, given.memory_gb) == (8, 0.5)
