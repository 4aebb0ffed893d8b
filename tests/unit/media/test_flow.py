"""Optical flow measures a known shift, in source pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from longtake.errors import ConfigError
from longtake.media.flow import METHODS, flow, flow_magnitude, flow_method


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4).astype(float)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.repeat((255 * smooth).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(("size", "shift"), [((240, 320), (3, 0)), ((240, 320), (-2, 4)), ((480, 640), (6, -4))])
def test_a_known_shift_is_measured(size, shift):
    scene = texture(size[0] + 40, size[1] + 40)
    before = scene[20:-20, 20:-20]
    after = scene[20 - shift[1] : size[0] + 20 - shift[1], 20 - shift[0] : size[1] + 20 - shift[0]]
    vectors = flow(before, after)
    assert vectors.shape == (240, 320, 2)
    assert vectors.dtype == np.float32
    inner = vectors[20:-20, 20:-20].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx(shift, abs=0.4)
    magnitude = flow_magnitude(before, after)
    assert magnitude.dtype == np.float32
    assert np.median(magnitude[20:-20, 20:-20]) == pytest.approx(np.hypot(*shift), abs=0.4)


def test_stillness_has_no_motion():
    scene = texture(120, 160)
    assert flow_magnitude(scene, scene).max() < 0.1
    assert flow_magnitude(scene, scene).shape == (120, 160)


def test_width_and_grey_are_honoured():
    scene = texture(90, 160)
    assert flow_magnitude(scene, scene, width=80).shape == (45, 80)
    assert flow_magnitude(scene[..., 0], scene[..., 0], width=80).shape == (45, 80)


def test_floats_and_other_shapes_are_refused():
    scene = texture(60, 80)
    with pytest.raises(ValueError, match="uint8"):
        flow_magnitude(scene / 255, scene / 255)
    with pytest.raises(ValueError, match="one shape"):
        flow_magnitude(scene, scene[:-1])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_measures_a_known_shift(name):
    scene = texture(280, 360)
    before, after = scene[20:-20, 20:-20], scene[18:-22, 17:-23]
    vectors = flow(before, after, method=flow_method(name))[30:-30, 30:-30].reshape(-1, 2)
    assert np.median(vectors, axis=0) == pytest.approx((3, 2), abs=0.4)


def test_a_method_of_ones_own(monkeypatch, tmp_path):
    (tmp_path / "my_flow.py").write_text(
        "import numpy as np\n\n\ndef sideways(before, after):\n    return np.dstack([0 * before + 1.0, 0 * before])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    scene = texture(90, 160)
    # One pixel at a width of 80 is two of the source.
    assert np.allclose(flow_magnitude(scene, scene, 80, flow_method("my_flow:sideways")), 2)
    with pytest.raises(ValueError, match="not \\(h, w, 2\\)"):
        flow(scene, scene, method=lambda before, after: before)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"'farnebak'\. Did you mean 'farneback'"):
        flow_method("farnebak")
    with pytest.raises(ConfigError, match="on PYTHONPATH"):
        flow_method("no_such_module_anywhere:flow")
