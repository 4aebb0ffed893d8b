from dataclasses import replace

import pytest
import torch
from trainers.lessons import Stage
from trainers.train_tracker import Cycle, shortened, train
from transformers import Sam2VideoModel

from trainers import train_tracker

STAGE = Stage("test", 1, 1, 2, (2, 2), (0, 0), (3, 5), (1.0, 2.0), followed=1)
YOUNG = Cycle((STAGE,), side=192, memories=5, peak=1e-4, warm_up=1, settle=0, decay=0.5)
LATE = Cycle(
    (replace(STAGE, name="recall", recall=1.0, aside=1.0), replace(STAGE, name="lives", steps=2, parts=(2, 2))),
    side=192,
    memories=3,
    peak=1e-4,
    warm_up=1,
    settle=2,
    decay=0.5,
    from_file=True,
    woven=True,
)


@pytest.fixture
def unexercised(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(train_tracker, "_exercise", lambda model, seed: None)


def test_a_training_that_was_cut_goes_on_to_the_same_weights(unexercised, tmp_path):
    train(tmp_path / "whole", tmp_path / "whole.pt", seed=1, cycles=(YOUNG, LATE))
    train(tmp_path / "cut", tmp_path / "cut.pt", seed=1, cycles=(YOUNG,))
    first = Sam2VideoModel.from_pretrained(tmp_path / "cut")
    train(tmp_path / "cut", tmp_path / "cut.pt", seed=1, cycles=(YOUNG, LATE))
    whole, cut = (Sam2VideoModel.from_pretrained(tmp_path / name) for name in ("whole", "cut"))
    assert (whole.config.image_size, first.num_maskmem, whole.num_maskmem) == (192, 5, 3)
    assert all(value.equal(cut.state_dict()[name]) for name, value in whole.state_dict().items())
    moved = [name for name, value in first.named_parameters() if not value.equal(dict(whole.named_parameters())[name])]
    assert any(name.startswith("vision_encoder") for name in moved)
    assert any(name.startswith("memory_attention") for name in moved)


def test_woven_stages_take_turns_in_proportion():
    names = [stage.name for stage, _ in LATE.plan]
    assert names == ["lives", "recall", "lives"]
    assert [stage.name for stage, _ in replace(LATE, woven=False).plan] == ["recall", "lives", "lives"]


def test_the_rate_rises_stays_and_falls():
    cycle = replace(YOUNG, stages=(replace(STAGE, steps=100),), warm_up=10, settle=40, peak=1e-3)
    rates = [train_tracker._rate(step, cycle) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == rates[60] == 1e-3
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[99] < 1e-4


def test_a_trial_run_keeps_every_stage():
    assert [stage.steps for stage in shortened(LATE, 0.01).stages] == [1, 1]
