"""Index maps and ratios that can be worked out on paper, and models of which it is known what they use."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from longtake.gradients.attribution import attribute_clip
from longtake.gradients.motion import motion_field
from longtake.gradients.perturbations import (
    answer_left,
    cosine_similarity,
    disturb,
    frozen_at,
    joined,
    magnitudes,
    median_ratio,
    perturbation_rows,
    short_windows,
    stalled,
    still,
    total_ratio,
)
from longtake.gradients.relation import relate
from longtake.streams import stream
from longtake.verdicts import relation_class

ALL = ("shuffle", "drop-50", "drop-75", "reverse", "static", "middle")
T, SIDE = 31, 16


def draws(purpose):
    return stream(5, "clip", purpose)


def test_what_is_shown_where():
    found = {(clip.name, clip.repeat): clip for clip in disturb(6, ALL, 2, draws)}
    assert list(found) == [
        ("shuffle", 0), ("shuffle", 1), ("drop-50", 0), ("drop-75", 0), ("reverse", 0),
        *(("static", frame) for frame in range(5)), ("middle", 0),
    ]  # fmt: skip
    assert found["reverse", 0].shown.tolist() == [5, 4, 3, 2, 1, 0]
    assert [found["static", repeat].shown.tolist() for repeat in range(5)] == [[n] * 6 for n in (0, 1, 2, 4, 5)]
    assert found["middle", 0].shown.tolist() == [3] * 6
    for repeat in (0, 1):
        assert sorted(found["shuffle", repeat].shown) == list(range(6))
    assert found["shuffle", 0].shown.tolist() != found["shuffle", 1].shown.tolist()


@pytest.mark.parametrize(("lost", "kept"), [(0.5, 15), (0.75, 8)])
def test_what_is_lost_is_held(lost, kept):
    shown = stalled(T, lost, draws("x"))
    assert shown[0] == 0
    assert len(set(shown.tolist())) == kept
    own = shown == np.arange(T)
    assert own.sum() == kept
    assert (shown[1:][~own[1:]] == shown[:-1][~own[1:]]).all()


def test_a_draw_does_not_depend_on_the_others():
    alone = next(disturb(T, ("drop-75",), 5, draws))
    among = [clip for clip in disturb(T, ALL, 3, draws) if clip.name == "drop-75"]
    assert alone.shown.tolist() == among[0].shown.tolist()


def test_ratio_and_cosine_by_hand():
    # Ratios 2, 1/2, 3; the frame without gradient has none.
    assert median_ratio(np.array([2.0, 1.0, 9.0, 3.0]), np.array([1.0, 2.0, 0.0, 1.0])) == 2.0
    assert median_ratio(np.ones(3), np.zeros(3)) is None
    assert cosine_similarity(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(24 / 25)
    assert cosine_similarity(np.array([1.0, -1.0]), np.array([-2.0, 2.0])) == pytest.approx(-1)
    assert cosine_similarity(np.array([1.0, 0.0]), np.zeros(2)) == 0.0
    assert cosine_similarity(np.zeros(2), np.ones(2)) is None


def test_what_is_left_of_an_answer_by_hand():
    # Less their means: (2, -1, -1) and (1, 0, -1): 3 / 6.
    assert answer_left(np.array([3.0, 0, 0]), np.array([6.0, 5, 4])) == pytest.approx(0.5)
    assert answer_left(np.array([1.0, -1]), np.array([-2.0, 2])) == pytest.approx(-2)
    assert answer_left(np.array([1.0, 0]), np.array([7.0, 7])) == 0
    assert answer_left(np.array([2.0, 2]), np.array([7.0, 1])) is None


def test_short_windows_cover_every_frame_and_none_is_padded():
    assert short_windows(31, 5) == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 25), (25, 30), (26, 31)]
    assert short_windows(10, 5) == [(0, 5), (5, 10)]


def test_where_windows_overlap_the_earlier_one_counts():
    curves = [np.array([1.0, 2, 3]), np.array([7.0, 8, 9])]
    assert joined([(0, 3), (1, 4)], curves).tolist() == [1, 2, 3, 9]


class Model:
    """A model of frames (T, 3, h, w) -> one number; the other class scores its opposite."""

    class_names = ("moves", "rests")
    n_frames = None

    def __init__(self, number):
        self.module, self.number = nn.Linear(1, 1).eval(), number

    def input_size(self, height, width):
        return height, width

    def scores(self, frames):
        number = self.number(frames)
        return torch.stack([number, -number])


def colour(frames):
    """Appearance only, each frame by itself, and not linear."""
    return (frames[:, 0].square() - 0.2 * frames[:, 2]).mean() + 1


def energy(frames):
    """Motion only: a frame repeated gives nothing."""
    return (frames[1:] - frames[:-1]).square().mean()


def drift(frames):
    """Motion only, and linear: how far right things are later on, against earlier. One gradient for all clips."""
    time = torch.linspace(-1, 1, len(frames))[:, None, None, None]
    place = torch.linspace(-1, 1, frames.shape[-1])
    return (time * place * frames).mean() * 10


def sixth(frames):
    """The sixth frame, whichever it is."""
    return frames[5].square().mean() if len(frames) > 5 else frames.sum() * 0


def swimming(seed=1):
    """A textured square moves to the right as it gets light: pixels (T, SIDE, SIDE, 3) uint8."""
    texture = stream(seed, "texture", "pixels").integers(60, 255, (6, 6, 3), dtype=np.uint8)
    pixels = np.full((T, SIDE, SIDE, 3), 60, np.uint8) + (np.arange(T, dtype=np.uint8) // 2)[:, None, None, None]
    for t, x in enumerate(np.linspace(0, 9.9, T).astype(int)):
        pixels[t, 4:10, x : x + 6] = np.roll(texture, t // 3, axis=0)
    return pixels


def rows_of(number, pixels=None, **changes):
    pixels = swimming() if pixels is None else pixels
    model = Model(number)
    found = attribute_clip(model, pixels, [None] * len(pixels), target=0)
    options = {"names": ALL, "shuffles": 5, "short": 0, "draws": draws, **changes}
    return perturbation_rows(model, pixels, found, **options)


def test_appearance_alone_survives_any_order_exactly():
    for row in rows_of(colour):
        if row["perturbation"] in ("shuffle", "reverse"):
            assert row["ratio"] == pytest.approx(1, abs=1e-6)
            assert row["logit_cosine"] == pytest.approx(1)
            assert row["importance_r"] == pytest.approx(1)
            assert (row["band"], row["agrees"]) == ("appearance", 1.0)


def test_motion_alone_leaves_no_gradient_of_a_frozen_clip():
    found = {row["perturbation"]: row for row in rows_of(energy)}
    for name in ("static", "middle"):
        assert found[name]["ratio"] == 0
        assert found[name]["total"] == found[name]["score"] == 0
        assert found[name]["band"] == "motion"
    # Energy does not know the direction of time.
    assert found["reverse"]["ratio"] == pytest.approx(1, rel=1e-5)


def test_a_gradient_that_never_changes_is_told_by_the_answer():
    found = {row["perturbation"]: row for row in rows_of(drift)}
    assert found["static"]["total"] == pytest.approx(1)
    assert found["static"]["kept"] < 0.5


def test_a_frozen_clip_is_compared_with_the_frame_that_it_shows():
    """A model of single frames, averaged: where frame t is shown everywhere, each place has the gradient of frame t."""
    rows = [row for row in rows_of(colour) if row["perturbation"] in ("static", "middle")]
    assert len(rows) == 6
    assert [row["ratio"] for row in rows] == pytest.approx([1.0] * 6, abs=1e-5)
    # Against all frames of the clip one alone may be more or less; the mean over those that were shown is not.
    assert np.mean([row["total"] for row in rows[:5]]) == pytest.approx(1, abs=0.1)


def test_what_motionless_clips_keep_of_each_other_by_hand():
    # Totals 1, 2, 4: |log2| of the pairs 1, 2, 1. Answers of the products 4, 2, 4 and the powers 2, 8, 2.
    answers = [np.array([1.0, -1.0]), np.array([2.0, -2.0]), np.array([1.0, -1.0])]
    found = still(list(zip([1.0, 2.0, 4.0], answers, strict=True)), answers[0])
    assert found["ratio"] == pytest.approx(2 ** (-4 / 3))
    assert found["answer"] == pytest.approx(2 * (4 + 2 + 4) / (2 * 12))
    # A model of motion has nothing to say of them.
    assert still([(0.0, np.zeros(2))] * 3, answers[0]) == {"status": "ok", "ratio": None, "answer": None, "kept": None}
    (row,) = (row for row in rows_of(energy) if row["perturbation"] == "still")
    assert row["kept"] is None


def test_frames_at_which_a_clip_is_frozen():
    assert frozen_at(31) == [0, 8, 15, 22, 30]
    assert frozen_at(3) == [0, 1, 2]
    assert total_ratio(np.ones(3), np.full(3, 2.0)) == 0.5
    assert total_ratio(np.ones(3), np.zeros(3)) is None


def test_a_gradient_that_is_not_finite_is_no_result():
    def broken(frames):
        return frames.mean() / (0.0 if (frames == frames[:1]).all() else 1.0)

    rows = rows_of(broken, names=("reverse", "static"))
    assert {row["status"] for row in rows if row["perturbation"] == "static"} == {"failed"}
    assert [row["status"] for row in rows if row["perturbation"] == "reverse"] == ["ok"]


def test_frames_are_found_again_where_they_went():
    """A model that counts the second half ten times: a reversed frame is compared where it now stands."""

    def late(frames):
        weights = torch.where(torch.arange(len(frames)) < 15, 1.0, 10.0)
        return (weights[:, None, None, None] * frames).mean()

    (row,) = rows_of(late, names=("reverse",))
    # Each place is compared with the frame that it shows.
    # 15 frames move from weight 1 to 10, as many the other way, and the middle stays: the median is 1.
    assert row["ratio"] == pytest.approx(1)
    assert row["importance_r"] < -0.8


def test_windows_of_five_frames_see_the_same_clip():
    (row,) = rows_of(colour, names=(), short=5)
    assert (row["perturbation"], row["n_frames"], row["status"]) == ("short", 5, "ok")
    assert row["importance_r"] == pytest.approx(1)
    assert row["agrees"] == 1
    (whole,) = rows_of(energy, names=(), short=5)
    assert whole["importance_r"] > 0.5


def test_a_model_of_one_length_says_so_and_loses_nothing_else():
    def fixed(frames):
        if len(frames) != T:
            raise ValueError(f"takes {T} frames")
        return frames.mean()

    rows = rows_of(fixed, names=("reverse",), short=5)
    assert [(row["perturbation"], row["status"]) for row in rows] == [("reverse", "ok"), ("short", "failed")]
    assert "takes 31 frames" in rows[1]["reason"]
    assert rows_of(fixed, names=(), short=T)[0]["reason"] == "31 frames are no shorter than the clip"


def test_running_out_of_memory_is_no_property_of_the_model():
    def hungry(frames):
        if len(frames) != T:
            raise torch.OutOfMemoryError
        return frames.mean()

    with pytest.raises(torch.OutOfMemoryError):
        rows_of(hungry, names=(), short=5)


def scrolling(seed, side=48):
    """A texture drifts by at a speed between 0 and 3 px a frame that comes and goes: pixels (T, side, side, 3)."""
    noise = stream(seed, "texture", "pixels").integers(0, 255, (side, 4 * side, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    way = np.cumsum(1.5 * (1 + np.sin(np.arange(T) / 31 * 4 * np.pi + seed)))
    moves = (np.array([[1, 0, -10 - x], [0, 1, 0]], np.float32) for x in way)
    return np.stack([cv2.warpAffine(texture, move, (side, side)) for move in moves])


def relations_of(number, seeds):
    found = []
    for seed in seeds:
        pixels = scrolling(seed)
        motion = np.array([motion_field(a, b, 48).mean() for a, b in itertools.pairwise(pixels)])
        clip = attribute_clip(Model(number), pixels, [None] * T, target=0)
        found.append(relate(magnitudes(clip)[1:], motion))
    return found


def test_a_model_of_motion_looks_where_things_move_and_one_of_appearance_does_not():
    moving = relations_of(energy, range(4))
    assert {relation_class(r.pearson, r.spearman) for r in moving} == {"strong"}
    assert all(r.detrended_p < 0.05 for r in moving)
    # What scrolls into view has colours that rise and fall with the speed by chance: one clip may look related.
    still = relations_of(colour, range(8))
    assert np.mean([r.detrended_p < 0.05 for r in still]) < 0.3
