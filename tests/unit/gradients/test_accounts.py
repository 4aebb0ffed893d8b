"""A gradients job in the ledger: who holds what, in which stage, and no number changes by it."""

import json

import pytest
import torch

from longtake.gradients.options import Options
from longtake.gradients.window import analyse_window
from longtake.memory.ledger import Ledger, MemoryPolicy
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import save_classifier
from longtake.store.arrays import read_arrays

MIB = 2**20
OUT = ("curves", "clips", "maps", "perturbations")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(6)
    config = ClassifierConfig(("eel", "cod"), n_frames=9, size=48, channels=(8, 16, 32, 64, 64), width=64, depth=1)
    made = tmp_path_factory.mktemp("classifier")
    save_classifier(ClipClassifier(config), made)
    return made


def analyse(pond, out, folder):
    options = Options(model=str(folder), max_frames=9, perturbations=["reverse"], short_windows=0)
    out.mkdir()
    analyse_window(
        video_path=pond.video, index_path=pond.index, window=pond.window, detections_path=pond.detections,
        species="eel", seed=3, options=options,
        **{f"{name}_out": out / name for name in OUT},
    )  # fmt: skip
    return {name: (out / name).read_bytes() for name in OUT}


def test_the_ledger_knows_the_stages_and_changes_no_number(pond, folder, tmp_path):
    plain = analyse(pond, tmp_path / "plain", folder)
    with Ledger(MemoryPolicy(host=MIB)) as kept:
        assert analyse(pond, tmp_path / "kept", folder) == plain
    facts = kept.facts()
    stages = facts["stages"]
    assert set(stages) == {"start", "gather", "load", "gradient", "flow"}
    maps, metadata = read_arrays(tmp_path / "kept" / "maps")
    clips = len(json.loads(metadata["clips"]))
    assert facts["steps"] == facts["counted_steps"] == 2 * clips  # each once, and once reversed
    held = stages["gradient"]["host"]
    assert held["activations"] > 0.5
    assert held["parameters"] == stages["flow"]["host"]["parameters"] > 0
    assert "activations" not in stages["gather"]["host"]
    waiting = sum(each.nbytes for each in maps.values()) / MIB
    assert stages["gather"]["host"]["frames"] >= waiting - 0.06
    assert facts["clean_ups"]["times"] >= 1
