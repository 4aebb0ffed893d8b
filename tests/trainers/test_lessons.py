from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from trainers.lessons import Stage, make_lesson, turns

SIDE = 192
STAGE = Stage("test", 1, 2, 3, (2, 3), (0, 1), (3, 8), (1.0, 3.0), side=SIDE)
LONG = replace(STAGE, name="long", steps=9, clips=1, frames=2, parts=(2, 4), watched=2)


def test_a_lesson_is_the_same_bytes_whatever_was_drawn_before():
    make_lesson(0, 3, STAGE)
    one, other = make_lesson(0, 5, STAGE), make_lesson(0, 5, STAGE)
    for name in ("pixels", "owner", "targets", "visible", "points"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert not np.array_equal(one.pixels, make_lesson(0, 6, STAGE).pixels)


def test_targets_lie_in_their_boxes_on_the_first_frame():
    lesson = make_lesson(1, 0, STAGE)
    assert lesson.pixels.shape == (2, 3, SIDE, SIDE, 3)
    assert lesson.targets.shape == (len(lesson.owner), 3, SIDE // 2, SIDE // 2)
    for target, box in zip(lesson.targets[:, 0], lesson.points.reshape(-1, 4), strict=True):
        rows, columns = np.nonzero(target > 127)
        scale = 1 / 2
        inside = (
            (columns >= box[0] * scale - 4)
            & (columns <= box[2] * scale + 4)
            & (rows >= box[1] * scale - 4)
            & (rows <= box[3] * scale + 4)
        )
        assert rows.size > 20
        assert inside.mean() > 0.95
    assert (lesson.visible[:, 0] == 1).all()


def test_a_gap_moves_the_prompt_into_the_past():
    never, always = replace(STAGE, gap=0.0), replace(STAGE, gap=1.0)
    assert make_lesson(2, 0, never).indices == [0, 1, 2]
    far = [make_lesson(2, number, always).indices for number in range(4)]
    assert all(indices[0] == 0 and indices[2] == indices[1] + 1 for indices in far)
    assert max(indices[1] for indices in far) > 1


@pytest.mark.parametrize("followed", [1, 2])
def test_no_more_animals_are_followed_than_asked(followed):
    lesson = make_lesson(3, 1, replace(STAGE, followed=followed, frames=1))
    assert np.bincount(lesson.owner).max() <= followed


def test_a_recalled_frame_lies_far_behind_its_prompt_and_nothing_between_is_known():
    lessons = [make_lesson(4, number, replace(STAGE, recall=1.0)) for number in range(3)]
    assert all(lesson.indices[0] == 0 and lesson.indices[1] >= 12 for lesson in lessons)
    assert all(lesson.indices[2] == lesson.indices[1] + 1 for lesson in lessons)


def test_batches_take_turns_and_each_life_is_watched_from_its_beginning_without_a_break():
    table = turns(5, replace(LONG, steps=60))
    for life in {life for life, _, _ in table}:
        parts = [part for other, part, _ in table if other == life]
        assert parts == list(range(len(parts)))
        assert {count for other, _, count in table if other == life} <= {2, 3, 4}
    assert all(one[0] != next_[0] for one, next_ in pairwise(table))
    assert turns(5, LONG) == table[: LONG.steps]


def test_the_parts_of_a_life_show_the_prompted_frame_again_and_then_go_on():
    first, second = (make_lesson(6, number, LONG) for number in (0, 2))
    assert (first.life, first.part, second.life, second.part) == (0, 0, 0, 1)
    assert (first.indices, second.indices) == ([0, 1, 2], [0, 3, 4])
    assert np.array_equal(first.targets[:, 0], second.targets[:, 0])
    assert not np.array_equal(first.targets[:, 1:], second.targets[:, 1:])
    # One clip without a gap: frame 2 and frame 3 are as far apart as frame 1 and frame 2.
    moved = [
        np.abs(a.astype(int) - b).mean()
        for a, b in ((first.targets[:, 1], first.targets[:, 2]), (first.targets[:, 2], second.targets[:, 1]))
    ]
    assert moved[1] < 4 * moved[0] + 1


def test_points_lie_on_their_animals_and_beside_them():
    lesson = make_lesson(7, 0, replace(STAGE, by_point=1.0))
    assert set(lesson.labels.tolist()) <= {0, 1}
    assert lesson.points.shape == (len(lesson.owner), len(lesson.labels), 2)
    for target, points in zip(lesson.targets[:, 0], lesson.points, strict=True):
        for (x, y), label in zip(points, lesson.labels, strict=True):
            assert (target[int(y / 2), int(x / 2)] > 127) == (label == 1)


def test_points_aside_lie_on_an_animal_or_on_nothing():
    lesson = make_lesson(8, 0, replace(STAGE, aside=1.0))
    aside = lesson.aside
    assert aside.owner.tolist() == [0] * 4 + [1] * 4
    has_animal = aside.targets.reshape(8, -1).any(1)
    assert has_animal.tolist() == [False, False, True, True] * 2
    for target, ((x, y),) in zip(aside.targets[has_animal], aside.points[has_animal], strict=True):
        assert target[int(y / 2), int(x / 2)] > 0
    # Nothing means nothing: no followed animal is under these points either.
    for owner, ((x, y),) in zip(aside.owner[~has_animal], aside.points[~has_animal], strict=True):
        assert (lesson.targets[lesson.owner == owner, 0, int(y / 2), int(x / 2)] == 0).all()
