import json
import logging

import numpy as np
import pytest
import torch

from longtake.errors import ModelError
from longtake.models import load_model
from longtake.models.normalisation import Normalisation, read_normalisation
from longtake.models.video_classifiers import IMAGENET, VIDEO_CLASSIFIERS

GIVEN = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}


def folder_with(tmp_path, **files):
    for name, values in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    return tmp_path


def constants(found):
    return found.mean, found.std, found.scale, found.shift


def test_by_hand():
    frames = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert Normalisation((0.5, 0.5, 0.5), (0.5, 0.25, 2))(frames).flatten().tolist() == [-1, 0, 0.25]
    assert Normalisation((0.5,) * 3, (0.5,) * 3, scale=2, shift=-1)(frames).flatten().tolist() == [-3, -1, 1]


@pytest.mark.parametrize("name", ["preprocessor_config", "video_preprocessor_config"])
def test_read_from_either_file(tmp_path, name):
    found = read_normalisation(folder_with(tmp_path, **{name: {**GIVEN, "size": {"height": 3}}}), IMAGENET)
    assert constants(found) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1, 0)
    assert f"{name}.json" in str(found)


def test_a_file_of_several_processors(tmp_path):
    both = {"processor_class": "X", "video_processor": {**GIVEN, "do_normalize": True}, "image_processor": GIVEN}
    assert read_normalisation(folder_with(tmp_path, processor_config=both), IMAGENET).mean == (0.1, 0.2, 0.3)


def test_no_file_means_the_documented_constants_and_a_warning(tmp_path, caplog, own_folder):
    assert read_normalisation(tmp_path, IMAGENET) == IMAGENET
    assert "has none of preprocessor_config.json" in caplog.text
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (ImageNet's" in caplog.text
    caplog.clear()
    folder = own_folder("timesformer")
    (folder / "preprocessor_config.json").unlink()
    assert load_model(folder).normalisation.mean == (0.45, 0.45, 0.45)
    assert "TimeSformer's authors" in caplog.text


def test_files_that_contradict_each_other(tmp_path):
    same = {"image_mean": [0.1, 0.2, 0.30000001192], "image_std": [0.4, 0.5, 0.6]}
    folder = folder_with(tmp_path, preprocessor_config=GIVEN, video_preprocessor_config=same)
    read_normalisation(folder, IMAGENET)
    for other in ({**GIVEN, "image_std": [0.5, 0.5, 0.5]}, {**GIVEN, "do_normalize": False}):
        with pytest.raises(ModelError, match=r"contradict each other: mean 0\.1 0\.2 0\.3.* against "):
            read_normalisation(folder_with(tmp_path, video_preprocessor_config=other), IMAGENET)


def test_constants_other_than_the_documented_ones_are_set_beside_them(tmp_path, caplog):
    caplog.set_level(logging.INFO, "longtake")
    folder = folder_with(
        tmp_path, preprocessor_config={"image_mean": list(IMAGENET.mean), "image_std": [*IMAGENET.std]}
    )
    read_normalisation(folder, IMAGENET)
    assert not caplog.text
    read_normalisation(folder_with(tmp_path, preprocessor_config=GIVEN), IMAGENET)
    assert "mean 0.1 0.2 0.3" in caplog.text
    assert "for comparison mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (ImageNet's" in caplog.text


def test_what_is_switched_off_is_not_done(tmp_path):
    found = read_normalisation(folder_with(tmp_path, preprocessor_config={**GIVEN, "do_normalize": False}), IMAGENET)
    assert constants(found) == ((0, 0, 0), (1, 1, 1), 1, 0)
    in_bytes = {"do_rescale": False, "image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4]}
    found = read_normalisation(folder_with(tmp_path, preprocessor_config=in_bytes), IMAGENET)
    assert constants(found) == ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), 255, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_mean": [123.7, 116.3, 103.5]},  # in bytes, for pixels in [0, 1]
        {"image_std": [0.0171, 0.0175, 0.0174]},  # 1 / 58.4: for a multiplication
        {"image_std": [0.2, 0.0, 0.2]},
        {"do_rescale": False},  # [0, 1] constants for pixels in [0, 255]
    ],
)
def test_constants_that_do_not_fit_the_pixels_range(tmp_path, wrong):
    with pytest.raises(ModelError, match="contradicts itself"):
        read_normalisation(folder_with(tmp_path, preprocessor_config={**GIVEN, **wrong}), IMAGENET)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image_mean": None}, "image_mean is None"),
        ({"image_std": [0.5]}, r"image_std is \[0.5\]"),
        ({"image_mean": ["a", 1, 2]}, "image_mean"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
    ],
)
def test_constants_that_are_none(tmp_path, wrong, words):
    with pytest.raises(ModelError, match=words):
        read_normalisation(folder_with(tmp_path, preprocessor_config={**GIVEN, **wrong}), IMAGENET)
    (tmp_path / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(ModelError, match="no settings of a processor"):
        read_normalisation(tmp_path, IMAGENET)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        read_normalisation(tmp_path, IMAGENET)


def test_the_librarys_own_processor_gives_the_same_values(tmp_path):
    """Pixels through VideoMAE's processor, which also wrote the file, and through ours."""
    from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

    processor = VideoMAEImageProcessorPil(
        image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], do_resize=False, do_center_crop=False
    )
    processor.save_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    expected = processor([list(pixels)], return_tensors="pt")["pixel_values"][0]
    found = read_normalisation(tmp_path, IMAGENET)(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_vivits_pixels_lie_in_minus_one_to_one(tmp_path):
    from transformers.models.vivit.image_processing_vivit import VivitImageProcessor

    processor = VivitImageProcessor(do_resize=False, do_center_crop=False)
    processor.save_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    expected = processor([list(pixels)], return_tensors="pt")["pixel_values"][0]
    documented = VIDEO_CLASSIFIERS["vivit"].documented
    read = read_normalisation(tmp_path, documented)
    assert constants(read) == constants(documented)
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(read(frames), expected, rtol=1e-5, atol=1e-5)
