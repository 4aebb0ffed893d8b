from dataclasses import replace

import numpy as np
import pytest

from longtake.demo.lessons import TARGET_SIZE, Stage, make_lesson
from longtake.demo.tracker import IMAGE_SIZE

STAGE = Stage("test", 1, 2, 3, (2, 3), (0, 1), (3, 8), (1.0, 3.0))


def test_a_lesson_is_the_same_bytes_whatever_was_drawn_before():
    make_lesson(0, 3, STAGE)
    one, other = make_lesson(0, 5, STAGE), make_lesson(0, 5, STAGE)
    for name in ("pixels", "owner", "targets", "visible", "boxes"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert not np.array_equal(one.pixels, make_lesson(0, 6, STAGE).pixels)


def test_targets_lie_in_their_boxes_on_the_first_frame():
    lesson = make_lesson(1, 0, STAGE)
    assert lesson.pixels.shape == (2, 3, IMAGE_SIZE, IMAGE_SIZE, 3)
    assert lesson.targets.shape == (len(lesson.owner), 3, TARGET_SIZE, TARGET_SIZE)
    for target, box in zip(lesson.targets[:, 0], lesson.boxes, strict=True):
        rows, columns = np.nonzero(target > 127)
        scale = TARGET_SIZE / IMAGE_SIZE
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
