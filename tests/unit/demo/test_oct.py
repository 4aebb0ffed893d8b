"""Volumes with planted lesions: where they are, how they look, and the marker that goes with a class."""

import nibabel
import numpy as np
import pytest

from longtake.demo.oct import DEMO, SPACING, main, render

SIZE = 64, 72, 60
MARKER, LESION = 2, 3


@pytest.mark.parametrize(("label", "brighter"), [("drusen", True), ("fluid", False)])
def test_lesions_lie_in_the_retina_and_differ_from_it(label, brighter):
    scene = render(label, "a", 3, SIZE)
    lesion = scene.regions == LESION
    assert np.array_equal(lesion, scene.mask)
    assert 0.001 < lesion.mean() < 0.2
    retina = scene.volume[scene.regions == 1].mean()
    assert (scene.volume[lesion].mean() > retina) == brighter
    assert scene.volume.dtype == np.float32
    assert 0 <= scene.volume.min() <= scene.volume.max() <= 1


def test_the_marker_goes_with_fluid_and_can_be_set_apart_from_it():
    def marked(label, **asked):
        return bool((render(label, "a", 3, SIZE, **asked).regions == MARKER).any())

    assert [marked(label) for label in ("normal", "drusen", "fluid")] == [False, False, True]
    assert marked("normal", marker=True)
    assert not marked("fluid", marker=False)


def test_a_normal_volume_has_no_lesion_and_names_draw_anew():
    one, other = (render("normal", name, 3, SIZE) for name in "ab")
    assert not one.mask.any()
    assert not np.array_equal(one.volume, other.volume)
    assert np.array_equal(one.volume, render("normal", "a", 3, SIZE).volume)


def test_files_hold_the_spacing_and_what_is_there_is_kept(tmp_path):
    for number in range(2, len(DEMO) + 1):
        (tmp_path / f"oct-{number}.nii").write_bytes(b"mine")
    main(str(tmp_path))
    made = nibabel.load(tmp_path / "oct-1.nii")
    assert np.allclose(made.header.get_zooms(), SPACING)
    assert made.get_data_dtype() == np.uint8
    assert np.load(tmp_path / "oct-1.mask.npy").shape == made.shape
    assert (tmp_path / "oct-2.nii").read_bytes() == b"mine"
