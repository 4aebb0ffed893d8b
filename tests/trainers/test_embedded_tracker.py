from pathlib import Path

import numpy as np
import pytest
import torch
from trainers.evaluate_tracker import HELD_OUT_SEED, evaluate_prompts, evaluate_scene, identity_f1
from trainers.lessons import TRAINING_SEED
from transformers import Sam2VideoModel

from longtake.demo.render import PONDS
from longtake.demo.scenes import make_scene

FOLDER = Path(__file__).parents[2] / "workflow" / "models" / "sam2-pond"


@pytest.fixture(scope="module")
def tracker():
    torch.set_num_threads(1)
    return Sam2VideoModel.from_pretrained(FOLDER).eval()


def test_the_embedded_tracker_is_small_and_loads_as_float32(tracker):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 9_000_000
    assert {parameter.dtype for parameter in tracker.parameters()} == {torch.float32}


def test_the_embedded_tracker_follows_held_out_animals_from_one_box_each(tracker):
    scene = make_scene(HELD_OUT_SEED + 1000, duration_s=12, n_animals=3, species=["darter", "jelly", "eel"])
    followed, identities = evaluate_scene(tracker, scene)
    assert len(followed) == 3
    assert np.concatenate([animal.iou for animal in followed]).mean() >= 0.8
    assert identity_f1([identities]) >= 0.95


def test_the_embedded_tracker_finds_an_animal_at_a_point_and_nothing_on_water(tracker):
    singles = evaluate_prompts(tracker, make_scene(HELD_OUT_SEED + 1001, duration_s=20, n_animals=3), interval=200)
    assert np.mean([single.iou for single in singles if single.kind == "point"]) >= 0.75
    assert np.mean([single.is_empty for single in singles if single.kind == "nothing"]) >= 0.8


def test_evaluation_and_demo_scenes_were_never_trained_on():
    assert max(pond.seed for pond in PONDS.values()) < HELD_OUT_SEED < TRAINING_SEED
