"""The committed species classifier, on scenes that it was not trained on."""

from pathlib import Path

import pytest
import torch
from trainers.train_classifier import accuracy, confusion, held_out_clips

from longtake.bounded.split import plain_gradient, split_gradient
from longtake.demo.scenes import SPECIES
from longtake.models import load_model

FOLDER = Path(__file__).parents[2] / "workflow" / "models" / "clip31-pond"


@pytest.fixture(scope="module")
def adapter():
    torch.set_num_threads(1)
    return load_model(FOLDER)


@pytest.fixture(scope="module")
def clips(adapter):
    return held_out_clips(40, adapter.module.config)


def test_it_is_small_and_knows_the_demo(adapter):
    assert adapter.class_names == SPECIES
    assert adapter.n_frames == 31
    assert (FOLDER / "model.safetensors").stat().st_size < 3_000_000
    assert (FOLDER / "README.md").is_file()


def test_species_accuracy_on_held_out_scenes(adapter, clips):
    table = confusion(adapter, clips)
    assert accuracy(table) >= 0.9, table


def test_its_gradients_are_exact_for_every_chunk(adapter, clips):
    adapter = load_model(FOLDER)
    adapter.module.double()
    frames = torch.from_numpy(clips[0].frames).permute(0, 3, 1, 2).double() / 255
    truth, _ = plain_gradient(adapter.scores, frames, torch.max, module=adapter.module)
    for chunk_size in (1, 4, 8):
        split = split_gradient(adapter.encode, adapter.head, frames, torch.max, chunk_size, module=adapter.module)
        torch.testing.assert_close(split.gradient, truth, rtol=1e-9, atol=1e-12 * truth.abs().max().item())
