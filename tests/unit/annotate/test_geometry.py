"""Frames, boxes and masks through one geometry: planted pixels come back where they were."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from longtake import masks
from longtake.annotate.geometry import Preprocessing, model_box, model_frame, model_prompt, source_mask
from longtake.annotate.prompts import Placed
from longtake.annotate.session import BoundedSession, track
from longtake.errors import SheetError

PLAIN = Preprocessing(64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
DOCUMENTED = Preprocessing(64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def noise(height, width):
    return np.random.Generator(np.random.Philox(key=7)).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(144, 256), (48, 40), (64, 64), (500, 33)])
def test_resize_is_pillows_bilinear_within_one_level(size):
    pixels = noise(*size)
    levels = model_frame(pixels, PLAIN).permute(1, 2, 0).numpy() * 255
    expected = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(levels - expected).max() <= 1.01
    assert np.array_equal(levels.round(), levels.round(3))


def test_normalisation_by_hand():
    pixels = np.full((10, 20, 3), (255, 0, 51), dtype=np.uint8)
    frame = model_frame(pixels, DOCUMENTED)
    assert frame.shape == (3, 64, 64)
    assert frame.dtype == torch.float32
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    for channel, value in enumerate(expected):
        torch.testing.assert_close(frame[channel], torch.full((64, 64), value), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_box_and_frame_share_one_geometry_at_any_decoded_size(scale):
    """A bright rectangle in a non-square source lies inside its own box in the model's square, at every scale."""
    width, height, box = 320, 128, (80, 32, 240, 96)
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    decoded = np.array(Image.fromarray(pixels).resize((int(width * scale), int(height * scale)), Image.Resampling.BOX))
    bright = model_frame(decoded, PLAIN)[0].numpy() > 0.5
    (x_min, y_min), (x_max, y_max) = model_box(box, width, height, 64).tolist()
    assert (x_min, y_min, x_max, y_max) == (16, 16, 48, 48)
    assert masks.box(bright) == (16, 16, 48, 48)


def placed(prompt, mask=None, **shape):
    made = prompt(box=None, **shape) if "box" not in shape else prompt(**shape)
    return Placed(made, 0, 0, made.box, False, mask="" if mask is None else masks.encode(mask))


def test_a_box_with_points_has_its_corners_first(prompt):
    it = placed(prompt, box=(80, 32, 240, 96), points=((160.0, 64.0), (100.0, 40.0)), negative_points=((0.0, 0.0),))
    made = model_prompt(it, 320, 128, 64)
    assert made.points.tolist() == [[16, 16], [48, 48], [32, 32], [20, 20], [0, 0]]
    assert made.labels.tolist() == [2, 3, 1, 1, 0]
    assert (made.points.dtype, made.labels.dtype, made.mask) == (torch.float32, torch.int32, None)


def test_points_alone(prompt):
    made = model_prompt(placed(prompt, points=((160.0, 64.0),)), 320, 128, 64)
    assert (made.points.tolist(), made.labels.tolist()) == ([[32, 32]], [1])


def rectangle(height, width, x_min, y_min, x_max, y_max):
    mask = np.zeros((height, width), dtype=bool)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


def test_a_mask_falls_on_its_place_in_the_square(prompt):
    """A pixel of the square is 4 x 2 of the source; the one that is half full, at the lower edge, is the object's."""
    made = model_prompt(placed(prompt, rectangle(128, 256, 80, 32, 200, 97)), 256, 128, 64)
    assert made.points.shape == (0, 2)
    assert made.mask.shape == (64, 64)
    assert made.mask.dtype == torch.float32
    assert set(made.mask.unique().tolist()) == {0, 1}
    assert masks.box(made.mask.numpy() > 0) == (20, 16, 50, 49)


def test_a_mask_of_the_square_s_own_size_is_taken_as_it_is(prompt):
    mask = np.random.Generator(np.random.Philox(key=5)).random((64, 64)) > 0.5
    assert np.array_equal(model_prompt(placed(prompt, mask), 64, 64, 64).mask.numpy() > 0, mask)


def test_a_mask_that_vanishes_is_refused(prompt):
    with pytest.raises(SheetError, match=r"row 2: the mask of object 'a' vanishes in the model's square of 64 x 64"):
        model_prompt(placed(prompt, rectangle(128, 320, 100, 0, 101, 128)), 320, 128, 64)


def test_a_mask_comes_back_from_the_model_where_it_was(prompt, tracker):
    """Through the model's square, the tracker, its logits of 20 x 8 source pixels, and back: nothing is shifted."""
    shifts, overlaps = [], []
    for x, y in zip(range(41, 60, 2), [24, 31, 25, 30, 26, 29, 27, 28, 24, 31], strict=True):
        mask = rectangle(128, 320, x, y, x + 140, y + 72)
        given = model_prompt(placed(prompt, mask), 320, 128, 64)
        found = track(tracker, BoundedSession(tracker, 1), 0, torch.zeros(3, 64, 64), {"a": given})["a"]
        assert found.score_logit == 10
        # As the library makes it, resized over the whole frame at once, and from the crop alone.
        drawn, (crop, left, top) = whole_frame(found.logits, 320, 128) > 0.01, source_mask(found.logits, 320, 128)
        assert not drawn[top : top + crop.shape[0], left : left + crop.shape[1]][~crop].any()
        overlaps.append(masks.iou(drawn, mask))
        shifts.append([np.mean(np.nonzero(drawn)[axis]) - np.mean(np.nonzero(mask)[axis]) for axis in (0, 1)])
    assert min(overlaps) > 0.85
    assert np.mean(overlaps) > 0.92, overlaps
    assert np.abs(np.mean(shifts, axis=0)).max() < 1.0, shifts


def whole_frame(logits, width, height):
    resized = functional.interpolate(torch.from_numpy(logits)[None, None], (height, width), mode="bilinear")[0, 0]
    return resized.numpy()


@pytest.mark.parametrize("size", [(320, 128), (97, 211), (16, 16), (9, 5)])
@pytest.mark.parametrize("kind", ["blob", "noise", "corner", "everywhere", "one sample"])
def test_source_mask_equals_the_whole_frame_upsampled(size, kind):
    width, height = size
    generator = np.random.Generator(np.random.Philox(key=3))
    logits = generator.normal(-4, 1, (16, 16)).astype(np.float32)
    if kind == "blob":
        logits[4:9, 6:12] += 8
    elif kind == "noise":
        logits += 4
    elif kind == "corner":
        logits[-3:, -3:] += 8
    elif kind == "everywhere":
        logits += 20
    elif kind == "one sample":
        logits[7, 3] = 9
    resized = whole_frame(logits, width, height)
    found = np.zeros((height, width), dtype=bool)
    drawn = source_mask(logits, width, height)
    if drawn is not None:
        crop, x, y = drawn
        found[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    decided = np.abs(resized) > 1e-4
    assert np.array_equal(found[decided], resized[decided] > 0)
    assert decided.mean() > 0.95


def test_source_mask_looks_at_the_crop_alone():
    logits = np.full((16, 16), -5, dtype=np.float32)
    logits[4:6, 8:10] = 5
    crop, x, y = source_mask(logits, 1600, 800)
    assert crop.shape[0] <= 5 * 50
    assert crop.shape[1] <= 5 * 100
    assert (x + crop.shape[1] / 2, y + crop.shape[0] / 2) == pytest.approx((900, 250), abs=60)


def test_nothing_positive_is_no_mask():
    assert source_mask(np.full((16, 16), -1024, dtype=np.float32), 320, 128) is None
