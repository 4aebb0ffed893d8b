import cv2
import numpy as np
import pytest

from longtake.gradients.clips import Region
from longtake.gradients.motion import mean_over_mask, mean_over_region, motion_field


@pytest.fixture
def texture():
    noise = np.random.default_rng(4).integers(0, 255, (160, 240, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


@pytest.mark.parametrize("width", [240, 120])
def test_a_shift_is_measured_in_source_pixels(texture, width):
    field = motion_field(texture, np.roll(texture, 3, axis=1), width)
    assert field.shape == (width * 160 // 240, width)
    assert field.mean() == pytest.approx(3, rel=0.15)
    assert motion_field(texture, texture, width).mean() == pytest.approx(0, abs=1e-3)


def test_the_animal_moves_and_the_water_does_not(texture):
    animal = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 255, (40, 60, 3), dtype=np.uint8), (0, 0), 2)
    before, after = texture.copy(), texture.copy()
    before[60:100, 80:140] = animal
    after[62:102, 84:144] = animal
    mask = np.zeros(texture.shape[:2], bool)
    mask[62:102, 84:144] = True
    field = motion_field(before, after, 240)
    within = mean_over_mask(field, mask)
    assert within == pytest.approx(20**0.5, rel=0.25)
    assert field.mean() < within / 3
    assert field.mean() < mean_over_region(field, Region(70, 50, 160, 110), 160, 240) < within


def test_means_by_hand():
    field = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    mask = np.zeros((4, 8), bool)
    mask[0:2, 0:3] = True  # one grid cell whole, half of the next
    assert mean_over_mask(field, mask) == pytest.approx((1 + 0.5 * 2) / 1.5)
    assert mean_over_mask(field, np.zeros((4, 8), bool)) is None
    assert mean_over_region(field, Region(4, 2, 8, 4), 4, 8) == 7.5
    assert mean_over_region(field, Region(7, 3, 8, 4), 4, 8) == 8
    assert mean_over_region(field, Region(0, 0, 8, 4), 4, 8) == 4.5


def test_a_pixel_of_mask_is_not_lost_in_the_scaling():
    mask = np.zeros((160, 240), bool)
    mask[81, 101] = True
    assert mean_over_mask(np.full((40, 60), 3, np.float32), mask) == pytest.approx(3)
