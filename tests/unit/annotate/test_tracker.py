"""Loading SAM 2 from a folder: complete, safe, with its own constants, or an error that says what to do."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.sam2_video.video_processing_sam2_video import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from longtake.annotate.geometry import model_frame
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


@pytest.mark.parametrize("size", [64, {"height": 64, "width": 64}, None])
def test_a_size_in_one_number_is_a_square(folder, size):
    edit(folder / "preprocessor_config.json", size=size)
    assert load_tracker(folder).preprocessing.image_size == 64


@pytest.mark.parametrize("size", [256, "64", [64, 64], {"shortest_edge": 64}, {"height": "64", "width": 64}])
def test_a_size_of_another_kind(folder, size):
    edit(folder / "preprocessor_config.json", size=size)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json: size is .*image_size in config\.json is 64"):
        load_tracker(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda levels, mean, std: (levels / 255 - mean) / std),
        ({"do_normalize": False}, lambda levels, mean, std: levels / 255),
        ({"rescale_factor": 1}, lambda levels, mean, std: (levels - mean) / std),
        ({"do_rescale": False}, lambda levels, mean, std: (levels - mean) / std),
        ({"do_normalize": False, "rescale_factor": 1}, lambda levels, mean, std: levels),
        ({"rescale_factor": 0.00392156862745098}, lambda levels, mean, std: (levels / 255 - mean) / std),
        ({"rescale_factor": 1 / 127.5}, lambda levels, mean, std: (levels / 127.5 - mean) / std),
    ],
)
def test_frames_are_rescaled_and_normalised_as_the_folder_says(folder, changes, expected):
    edit(folder / "preprocessor_config.json", **changes)
    pixels = np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    levels = torch.from_numpy(pixels).permute(2, 0, 1).double()
    mean, std = (torch.tensor(three).view(3, 1, 1).double() for three in ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    found = model_frame(pixels, load_tracker(folder).preprocessing)
    torch.testing.assert_close(found.double(), expected(levels, mean, std), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"rescale_factor": 0},
        {"rescale_factor": "1"},
        {"image_std": [0.2, 0, 0.3]},
        {"image_mean": [float("nan"), 0, 0]},
    ],
)
def test_constants_that_are_none(folder, changes):
    edit(folder / "preprocessor_config.json", **changes)
    with pytest.raises(ModelError, match=next(iter(changes))):
        load_tracker(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "someone/something"}, "sets backbone"),
        ({"quantization_config": {"a": 1}}, "sets quantization_config"),
        (
            {"vision_config": {"backbone_config": {"model_type": "timm_wrapper", "architecture": "hf-hub:a/b"}}},
            "architecture",
        ),
        ({"vision_config": {"backbone_config": {"model_type": "nonsense"}}}, "SAM 2"),
        ({"vision_config": 5}, "SAM 2"),
        (
            {"memory_attention_hidden_size": 2**15},
            "describes a model of 12899468034 numbers, and the weights hold 1168098",
        ),
        ({"memory_attention_num_layers": 10**6}, "memory_attention_num_layers is 1000000"),
        ({"max_cond_frame_num": "all"}, "max_cond_frame_num"),
        ({"model_type": ["sam2_video"]}, "model_type is"),
    ],
)
def test_a_configuration_that_asks_for_something_else(folder, changes, message):
    edit(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=message):
        load_tracker(folder)


def test_a_configuration_nested_deeper_than_any(folder):
    (folder / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        load_tracker(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_pointer_of_git_lfs(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n")
    with pytest.raises(ModelError, match=rf"{name} is a pointer of git-lfs"):
        load_tracker(folder)


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
