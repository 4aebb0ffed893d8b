"""Folders of tiny models with random weights, as the library itself writes them."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

CLASSES = ("cod", "eel", "ray")
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
_WIDTH = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_BLOCKS = {**_WIDTH, "intermediate_size": 32, "image_size": 16}
_SWIN = {
    "model_type": "swin",
    "image_size": 32,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 2,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_DECODER = {"encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 2, "num_queries": 5}
_FEATURES = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 32}


@dataclass(frozen=True)
class Kind:
    """A family: its class in the library, a small configuration, and clips that it takes."""

    class_name: str
    config: dict
    argument: str
    n_frames: int
    size: tuple[int, int]


KINDS = {
    "videomae": Kind(
        "VideoMAEForVideoClassification",
        {**_BLOCKS, "patch_size": 8, "num_frames": 16},
        "pixel_values",
        16,
        (16, 16),
    ),
    "timesformer": Kind(
        "TimesformerForVideoClassification",
        {**_BLOCKS, "patch_size": 8, "num_frames": 5},
        "pixel_values",
        5,
        (16, 16),
    ),
    "vivit": Kind(
        "VivitForVideoClassification",
        {**_BLOCKS, "tubelet_size": [2, 8, 8], "num_frames": 6},
        "pixel_values",
        6,
        (16, 16),
    ),
    "vjepa2": Kind(
        "VJEPA2ForVideoClassification",
        {**_WIDTH, "crop_size": 16, "patch_size": 8, "frames_per_clip": 6, "num_pooler_layers": 1}
        | {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1},
        "pixel_values_videos",
        6,
        (16, 16),
    ),
    "videomt": Kind(
        "VideomtForUniversalSegmentation",
        {**_WIDTH, "num_hidden_layers": 3, "num_blocks": 1, "image_size": 16, "patch_size": 8, "num_queries": 5},
        "pixel_values_videos",
        7,
        (16, 16),
    ),
    "mask2former": Kind(
        "Mask2FormerForUniversalSegmentation",
        {**_DECODER, **_FEATURES, "dim_feedforward": 32, "backbone_config": _SWIN},
        "pixel_values",
        4,
        (32, 64),
    ),
}


def write_folder(kind, folder):
    """Save a tiny model of a kind with its processor's file."""
    import transformers

    model_class = getattr(transformers, KINDS[kind].class_name)
    torch.manual_seed(7)
    names = dict(enumerate(CLASSES))
    model = model_class(model_class.config_class.from_dict({**KINDS[kind].config, "id2label": names})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # As initialised, such models say nearly the same of every clip, and tests could not tell what they see.
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    processor = {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255, "image_mean": MEAN}
    if kind == "vivit":
        processor |= {"rescale_factor": 1 / 127.5, "offset": True}
    if kind == "mask2former":
        processor |= {"size": {"shortest_edge": 32, "longest_edge": 64}, "size_divisor": 32}
    write_json(folder / "preprocessor_config.json", processor | {"image_std": STD})


def write_json(path, values):
    Path(path).write_text(json.dumps(values))


def change_json(path, **changes):
    write_json(path, json.loads(Path(path).read_text()) | changes)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Kind -> its folder, written when first asked for; not to be changed."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            write_folder(kind, made[kind])
        return made[kind]

    return folder


@pytest.fixture
def own_folder(folders, tmp_path):
    """A function: kind -> a copy of its folder that a test may spoil."""
    import shutil

    return lambda kind: Path(shutil.copytree(folders(kind), tmp_path / kind))


@pytest.fixture(scope="session")
def kinds():
    return KINDS


@pytest.fixture(scope="session")
def change():
    """A function: change entries of a JSON file."""
    return change_json
