import numpy as np
import pytest
import torch

from longtake.gradients.importance import frame_importance, gradient_change, gradient_map, pattern, peaks


@pytest.fixture
def gradient():
    """One frame of 1 x 2 pixels: red (3, -1), green (4, 0), blue (0, 2)."""
    return torch.tensor([[[[3.0, -1.0]], [[4.0, 0.0]], [[0.0, 2.0]]]])


def test_map_is_the_norm_over_channels(gradient):
    assert gradient_map(gradient)[0, 0].tolist() == pytest.approx([5, 5**0.5])


def test_measures_by_hand(gradient):
    frames = torch.tensor([[[[1.0, 1.0]], [[0.5, 1.0]], [[1.0, 0.25]]]])
    (found,) = frame_importance(gradient, frames, [np.array([[True, False]])])
    assert found.magnitude == pytest.approx((3 + 1 + 4 + 0 + 0 + 2) / 6)
    assert found.l2_norm == pytest.approx((9 + 1 + 16 + 4) ** 0.5)
    assert found.max_pool == 4
    assert found.weighted_magnitude == pytest.approx(2**2 + 2**2 + 1**2)
    assert found.magnitude_inside == pytest.approx(7 / 3)
    assert found.magnitude_outside == pytest.approx(3 / 3)
    assert found.gradient_x_input == pytest.approx((3 + 1 + 2 + 0 + 0 + 0.5) / 6)


def test_frames_are_never_mixed(gradient):
    both = torch.cat([gradient, 10 * gradient])
    found = frame_importance(both, torch.ones_like(both), [None, None])
    assert found[1].l2_norm == pytest.approx(10 * found[0].l2_norm)
    assert (found[0].max_pool, found[1].max_pool) == (4, 40)
    assert found[1].weighted_magnitude == pytest.approx(100 * found[0].weighted_magnitude)


def test_no_mask_and_empty_and_full_masks(gradient):
    frames = torch.ones_like(gradient)
    (none,) = frame_importance(gradient, frames, [None])
    assert none.magnitude_inside is None
    assert none.magnitude_outside is None
    (empty,) = frame_importance(gradient, frames, [np.zeros((1, 2), bool)])
    assert empty.magnitude_inside is None
    assert empty.magnitude_outside == pytest.approx(10 / 6)
    (full,) = frame_importance(gradient, frames, [np.ones((1, 2), bool)])
    assert full.magnitude_outside is None


def test_change_between_maps():
    maps = np.array([[[1, 1]], [[2, 0]], [[2, 4]]], np.float32)
    assert gradient_change(maps).tolist() == [1, 2]


def test_pattern_by_hand():
    found = pattern(np.array([1.0, 3, 1, 3, 2]))
    assert found.mean == 2
    assert found.std == pytest.approx((4 / 5) ** 0.5)
    assert (found.minimum, found.maximum, found.range) == (1, 3, 2)
    assert found.variation == pytest.approx((4 / 5) ** 0.5 / 2)
    assert found.skewness == pytest.approx(0)
    # Deviations -1, 1, -1, 1, 0: products -1, -1, -1, 0 over 4.
    assert found.autocorrelation == pytest.approx(-3 / 4)
    assert found.n_peaks == 2


def test_skewness_by_hand():
    # Mean 1, deviations -1, -1, -1, 3: m2 = 3, m3 = 6.
    assert pattern(np.array([0.0, 0, 0, 4])).skewness == pytest.approx(6 / 3**1.5)


def test_constant_series_have_no_shape():
    found = pattern(np.full(5, 0.1))
    assert found.std == pytest.approx(0, abs=1e-15)
    assert found.skewness is None
    assert found.autocorrelation is None
    assert found.n_peaks == 0
    assert pattern(np.zeros(4)).variation is None


@pytest.mark.parametrize(
    ("series", "places"),
    [
        ([0, 2, 0, 1, 0, 1.1, 0], [1, 5]),  # 1 is not above half of 2
        ([0, 2, 2, 2, 0], [2]),  # a level top is one peak, in its middle
        ([3, 1, 2, 1, 3], [2]),  # the ends are none
        ([0, 1, 2], []),
        ([1], []),
    ],
)
def test_peaks(series, places):
    assert peaks(np.array(series, float)).tolist() == places
