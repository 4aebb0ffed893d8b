"""The processed frames of a plan, without a list of them."""

import pytest

from longtake.export.rows import processed_frames
from longtake.media.windows import Window


def test_frames_are_a_sequence() -> None:
    windows = [Window("v", k, start, stop, start, stop, 0.0, 1.0) for k, (start, stop) in
               enumerate([(0, 7), (7, 8), (8, 20), (20, 31)])]  # fmt: skip
    frames, listed = processed_frames(windows, 3), list(range(0, 31, 3))
    assert list(frames) == listed
    assert len(frames) == len(listed)
    assert [frames[at] for at in range(-len(listed), len(listed))] == listed * 2
    assert frames[2:5] == listed[2:5]
    assert [frames.place(frame) for frame in listed] == list(range(len(listed)))
    for missing in (1, 33, -3):
        with pytest.raises(KeyError):
            frames.place(missing)
    with pytest.raises(IndexError):
        frames[len(listed)]
    assert list(processed_frames([], 3)) == []
