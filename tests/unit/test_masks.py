"""Masks: the crop-scoped encoder against pycocotools on whole frames, and geometry one can check by hand."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from longtake import masks


def whole_frame_counts(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")


def planted(height, width, kind):
    generator = np.random.Generator(np.random.Philox(key=[height * width, len(kind)]))
    mask = np.zeros((height, width), dtype=bool)
    if kind == "blob":
        mask[3:7, 5:11] = generator.random((4, 6)) > 0.3
    elif kind == "speckle":
        mask = generator.random((height, width)) > 0.5
    elif kind == "full":
        mask[:] = True
    elif kind == "full columns":
        mask[:, 4:9] = True
    elif kind == "touching top and bottom":
        mask[:, 4:9] = generator.random((height, 5)) > 0.5
        mask[0], mask[-1] = True, True
    elif kind == "last pixel":
        mask[-1, -1] = True
    elif kind == "first pixel":
        mask[0, 0] = True
    return mask


@pytest.mark.parametrize(
    "kind",
    ["empty", "blob", "speckle", "full", "full columns", "touching top and bottom", "last pixel", "first pixel"],
)
@pytest.mark.parametrize("size", [(12, 20), (31, 13)])
def test_encode_equals_pycocotools_on_the_whole_frame(kind, size):
    mask = planted(*size, kind)
    counts = masks.encode(mask)
    assert counts == whole_frame_counts(mask)
    assert np.array_equal(masks.decode(counts, *size), mask)
    assert masks.area(counts, *size) == mask.sum()


def test_encode_crop_with_loose_borders_equals_the_whole_frame():
    mask = planted(12, 20, "blob")
    counts = masks.encode_crop(mask[1:9, 2:15], 2, 1, 12, 20)
    assert counts == whole_frame_counts(mask)


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (18, 0), (0, 10)])
def test_encode_crop_refuses_a_crop_outside_the_frame(x, y):
    with pytest.raises(ValueError, match="does not lie in a frame of 20 x 12"):
        masks.encode_crop(np.ones((4, 4), dtype=bool), x, y, 12, 20)


def test_box_has_exclusive_maxima():
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, 3:8] = True
    assert masks.box(mask) == (3, 2, 8, 5)
    assert masks.box(np.zeros((4, 4), dtype=bool)) is None


def test_iou_by_hand():
    a, b = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    a[:2], b[1:3] = True, True
    assert masks.iou(a, b) == pytest.approx(4 / 12)
    assert masks.iou(np.zeros_like(a), np.zeros_like(a)) == 1.0
    assert masks.box_iou((0, 0, 4, 2), (0, 1, 4, 3)) == pytest.approx(4 / 12)
    assert masks.box_iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0.0


def test_import_loads_no_torch():
    code = "import sys, longtake.masks; sys.exit('torch' in sys.modules)"
    path = str(__import__("pathlib").Path(masks.__file__).parents[1])
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["empty", "blob", "speckle", "full", "full columns", "last pixel", "first pixel"])
def test_the_checked_area_is_the_area(kind):
    for size in [(12, 20), (31, 13), (300, 400)]:
        mask = planted(*size, kind)
        assert masks.checked_area(masks.encode(mask), *size) == mask.sum()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("", "cover 0 pixels, the frame of 20 x 12 has 240"),
        ("12 34", r"character 2, ' '"),
        ("0P", "break off"),
        ("o" * 40, "none of COCO's run lengths"),
        ("é1", "character 0"),
        ("0O", "run 1 is -1 pixels long"),
    ],
)
def test_run_lengths_from_strangers(counts, words):
    """The C code writes beyond its memory for some of these."""
    with pytest.raises(ValueError, match=words):
        masks.checked_area(counts, 12, 20)


def test_run_lengths_of_another_size():
    with pytest.raises(ValueError, match="cover 240 pixels, the frame of 20 x 13 has 260"):
        masks.checked_area(masks.encode(planted(12, 20, "blob")), 13, 20)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "LA", "RGB", "RGBA"])
def test_a_mask_from_a_picture(mode, tmp_path):
    mask = planted(12, 20, "blob")
    if mode == "P":
        picture = Image.fromarray(mask.astype(np.uint8)).convert("P")
        picture.putpalette([9, 9, 9, 0, 0, 0])  # colours say nothing: the object is index 1
    elif mode == "I;16":
        picture = Image.fromarray(mask.astype(np.uint16) * 256)
    else:
        picture = Image.fromarray(mask.astype(np.uint8) * 255).convert(mode)
    picture.save(tmp_path / "it.png")
    assert np.array_equal(masks.read_png(tmp_path / "it.png", 12, 20), mask)


def test_what_is_transparent_is_no_object(tmp_path):
    picture = np.zeros((12, 20, 4), dtype=np.uint8)
    picture[..., :3] = 200
    picture[3:5, 6:9, 3] = 255
    Image.fromarray(picture).save(tmp_path / "it.png")
    assert masks.box(masks.read_png(tmp_path / "it.png", 12, 20)) == (6, 3, 9, 5)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("drawn", ["two objects", "smoothed edges"])
def test_a_picture_that_does_not_say_which_pixels_are_meant(mode, drawn, tmp_path):
    levels = np.zeros((12, 20), dtype=np.uint8)
    levels[3:8, 4:9], levels[5:8, 9:13] = (1, 2) if drawn == "two objects" else (255, 100)
    if mode == "I;16":
        picture = Image.fromarray(levels.astype(np.uint16) * 200)
    elif mode == "P":
        picture = Image.fromarray(levels).convert("P")
    elif mode in ("LA", "RGBA") and drawn == "smoothed edges":
        picture = Image.new("L" if mode == "LA" else "RGB", (20, 12), "white")
        picture.putalpha(Image.fromarray(levels))
    else:
        picture = Image.fromarray(levels).convert(mode)
    picture.save(tmp_path / "it.png")
    with pytest.raises(ValueError, match=r"it\.png has 2 values beside 0 \(.*several objects, or smoothed edges"):
        masks.read_png(tmp_path / "it.png", 12, 20)


def test_pictures_that_are_no_mask(tmp_path):
    mask = Image.fromarray(planted(12, 20, "blob"))
    mask.save(tmp_path / "it.png")
    with pytest.raises(ValueError, match=r"it\.png has 20 x 12 pixels"):
        masks.read_png(tmp_path / "it.png", 20, 12)
    (tmp_path / "torn.png").write_bytes((tmp_path / "it.png").read_bytes()[:-30])
    mask.save(tmp_path / "other.png", format="BMP")
    for name in ("torn.png", "other.png", "nowhere.png"):
        with pytest.raises(ValueError, match=rf"{name} is no whole PNG"):
            masks.read_png(tmp_path / name, 12, 20)
