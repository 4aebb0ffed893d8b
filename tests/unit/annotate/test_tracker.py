"""Loading SAM 2 from a folder: complete, safe, with its own constants, or an error that says what to do."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.sam2_video.video_processing_sam2_video import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from longtake.annotate.tracker import load_tracker
from longtake.errors import ModelError


@pytest.fixture
def folder(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "model")


def test_constants_of_the_folder(tracker):
    assert tracker.preprocessing.image_size == 64
    assert tracker.preprocessing.mean == (0.5, 0.4, 0.3)
    assert tracker.preprocessing.std == (0.2, 0.25, 0.3)


def test_without_a_processor_file_the_documented_constants(folder):
    (folder / "preprocessor_config.json").unlink()
    found = load_tracker(folder).preprocessing
    assert list(found.mean) == list(IMAGENET_DEFAULT_MEAN)
    assert list(found.std) == list(IMAGENET_DEFAULT_STD)


def test_the_model_is_ready_to_track(tracker):
    assert not tracker.model.training
    assert not any(parameter.requires_grad for parameter in tracker.model.parameters())
    assert {parameter.dtype for parameter in tracker.model.parameters()} == {torch.float32}


def test_digest_follows_weights_and_constants_not_the_path(folder, model_dir, other_model_dir, tracker):
    assert load_tracker(folder).digest == tracker.digest
    assert load_tracker(other_model_dir).digest != tracker.digest
    edit(folder / "preprocessor_config.json", image_mean=[0.5, 0.4, 0.31])
    assert load_tracker(folder).digest != tracker.digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "config.json is missing. Give the folder of a SAM 2 video model"),
        ("model.safetensors", "model.safetensors is missing. Weights must be safetensors"),
    ],
)
def test_a_missing_file(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=message) as error:
        load_tracker(folder)
    assert str(folder) in str(error.value)


def test_another_kind_of_model(folder):
    edit(folder / "config.json", model_type="clip")
    with pytest.raises(ModelError, match="model_type is 'clip', but annotation needs one of sam2_video, edgetam_video"):
        load_tracker(folder)


def test_weights_that_would_be_random(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["no_memory_embedding"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .* 'no_memory_embedding'; they would be random"):
        load_tracker(folder)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        load_tracker(folder)


def test_a_processor_file_of_another_size(folder):
    edit(folder / "preprocessor_config.json", size={"height": 1024, "width": 1024})
    with pytest.raises(ModelError, match=r"image_size in config.json is 64"):
        load_tracker(folder)


def test_colours_that_are_not_three_numbers(folder):
    edit(folder / "preprocessor_config.json", image_std=[0.2])
    with pytest.raises(ModelError, match=r"image_std is .* three numbers"):
        load_tracker(folder)


def test_unknown_precision(folder):
    with pytest.raises(ModelError, match="precision is 'float16'; give one of float32, bfloat16"):
        load_tracker(folder, precision="float16")


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
