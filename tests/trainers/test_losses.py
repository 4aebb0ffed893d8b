import numpy as np
import pytest
import torch
from trainers.exercises import follow, paint
from trainers.lessons import Aside, Lesson
from trainers.losses import aside_loss, mask_loss, tracking_loss
from trainers.tracker import new_tracker
from trainers.unroll import Step


def test_the_mask_loss_of_a_perfect_and_of_a_shifted_mask():
    target = torch.zeros(1, 8, 8)
    target[0, 2:6, 2:6] = 1
    perfect, iou = mask_loss(40 * target - 20, target)
    assert float(perfect) < 0.01
    assert iou.tolist() == [1.0]
    moved = torch.roll(target, 2, dims=2)
    worse, iou = mask_loss(40 * moved - 20, target)
    # 8 of 16 pixels shared: IoU 8 / 24; dice 1 - (2 * 8 + 1) / (16 + 16 + 1), plus the focal part.
    assert iou.tolist() == [pytest.approx(1 / 3)]
    assert float(worse) > 16 / 33


def lesson(visible):
    n = len(visible)
    return Lesson(
        pixels=np.zeros((1, 1, 2, 2, 3), np.uint8),
        owner=np.zeros(n, np.int64),
        targets=np.full((n, 1, 96, 96), 255, np.uint8),
        visible=np.array(visible, np.int8)[:, None],
        points=np.zeros((n, 2, 2), np.float32),
        labels=np.array([2, 3], np.int32),
        indices=[0],
    )


def step(scores):
    n = len(scores)
    return Step(torch.full((n, 1, 48, 48), 30.0), torch.tensor(scores), torch.ones(n))


def test_an_absent_animal_costs_its_score_and_not_its_mask():
    right, _ = tracking_loss([step([20.0, -20.0])], lesson([1, 0]))
    wrong, _ = tracking_loss([step([20.0, 20.0])], lesson([1, 0]))
    assert float(right) < 0.01
    # One absence of two animals claimed with a logit of 20, at three times the weight of a presence.
    assert float(wrong) == pytest.approx(30.0, abs=0.05)


def test_a_point_on_nothing_costs_its_score_only():
    targets = np.stack([np.full((96, 96), 255, np.uint8), np.zeros((96, 96), np.uint8)])
    aside = Aside(np.zeros(2, np.int64), np.zeros((2, 1, 2), np.float32), targets)
    assert float(aside_loss(step([20.0, -20.0]), aside)) < 0.01
    # One of two points claims what is not there, with a logit of 20.
    assert float(aside_loss(step([20.0, 20.0]), aside)) == pytest.approx(10.0, abs=0.05)
    assert float(aside_loss(step([-20.0, -20.0]), aside)) == pytest.approx(10.0, abs=0.05)


def test_a_sliver_counts_neither_way():
    for score in (-20.0, 20.0):
        loss, _ = tracking_loss([step([20.0, score])], lesson([1, -1]))
        assert float(loss) < 0.01


def test_painting_moves_only_the_decoder_and_the_prompt_encoder():
    model = new_tracker(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    paint(model, seed=1, steps=2, batch=2)
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert moved == {"mask_decoder", "prompt_encoder"}
    follow(model, seed=1, steps=1, batch=2)
    untouched = {name for name, value in model.state_dict().items() if value.equal(before[name])}
    assert any(name.startswith("vision_encoder") for name in untouched)
    assert not model.state_dict()["memory_encoder.projection.weight"].equal(before["memory_encoder.projection.weight"])
