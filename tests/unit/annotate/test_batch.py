"""Objects in batches: the library's numbers, and a video cut into windows the uncut one's to the last bit."""

import pytest
import torch

from longtake.annotate.session import BoundedSession, track
from longtake.annotate.tracker import load_tracker

FRAMES = 14


@pytest.fixture(scope="module")
def scenario(square, clicks):
    """Seven objects with memories of several lengths; one is prompted again among others that are tracked."""
    prompts = {
        0: {name: square(4 + 5 * place, 4, 30 + 5 * place, 30) for place, name in enumerate("abcde")},
        5: {"f": clicks([(25, 30)], [(60, 5)]), "b": square(9, 4, 36, 30)},
        9: {"g": square(1, 30, 30, 60)},
    }
    return prompts, {"c": 10}


def mirrored(prompts, ends):
    last = FRAMES - 1
    return {last - at: given for at, given in prompts.items()}, {name: last - at for name, at in ends.items()}


def assert_close(found, expected):
    """To 1e-4 of the largest logit: rounding enters the memories, which are kept in half precision, and stays there."""
    assert found.keys() == expected.keys()
    largest = max(logits.abs().max().item() for logits, score in expected.values() if score > 0)
    for key, (logits, score_logit) in expected.items():
        torch.testing.assert_close(torch.from_numpy(found[key].logits), logits, rtol=0, atol=1e-4 * largest)
        assert found[key].score_logit == pytest.approx(score_logit, abs=1e-4 * largest)


@pytest.mark.parametrize(
    ("family", "size", "reverse"),
    [
        ("Sam2Video", 3, False),
        ("Sam2Video", 8, True),
        ("EdgeTamVideo", 3, True),
        ("Sam3TrackerVideo", 3, False),
    ],
)
def test_batches_give_the_stock_sessions_numbers(
    family_dirs, family, size, reverse, stock, bounded, drifting_pixels, scenario
):
    pixels = drifting_pixels(FRAMES)
    prompts, ends = mirrored(*scenario) if reverse else scenario
    tracker = load_tracker(family_dirs[family], object_batch=size)
    found = bounded(tracker, pixels, prompts, ends, (4, 8), reverse=reverse)
    assert_close(found, stock(tracker, pixels, prompts, ends, reverse=reverse))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cut_equals_uncut_to_the_last_bit(
    family_dirs, bounded, assert_equal, drifting_pixels, scenario, precision, blob
):
    tracker = load_tracker(family_dirs["Sam2Video"], precision=precision, object_batch=3)
    prompts, ends = scenario
    prompts = prompts | {9: {"g": blob(1, 30, 30, 60)}}
    pixels = drifting_pixels(FRAMES)
    uncut = bounded(tracker, pixels, prompts, ends)
    cut = bounded(tracker, pixels, prompts, ends, (4, 9, 13))
    assert_equal(cut, {key: (torch.from_numpy(it.logits), it.score_logit) for key, it in uncut.items()})


def test_the_model_is_called_once_a_batch(family_dirs, drifting_pixels, square, monkeypatch):
    tracker = load_tracker(family_dirs["Sam2Video"], object_batch=4)
    pixels, session, sizes = drifting_pixels(2), BoundedSession(tracker, 2), []
    given = {str(place): square(4 + place, 4, 30 + place, 30) for place in range(10)}
    track(tracker, session, 0, pixels[0], given)
    handle = tracker.model.memory_attention.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(kwargs["memory"].shape[1]), with_kwargs=True
    )
    track(tracker, session, 1, pixels[1], {})
    handle.remove()
    assert sizes == [4, 4, 2]


def test_two_hundred_objects_in_bounded_state(family_dirs, drifting_pixels, square):
    """The state of each is that of one alone, whatever the batch held beside it."""
    tracker = load_tracker(family_dirs["Sam2Video"], object_batch=50)
    pixels, states = drifting_pixels(4), {}
    for count in (1, 200):
        session = BoundedSession(tracker, 4)
        given = {str(place): square(4, 4, 30 + place % 30, 30) for place in range(count)}
        for frame in range(4):
            assert len(track(tracker, session, frame, pixels[frame], {} if frame else given)) == count
        states[count] = session.live_bytes() - session.positions[0].nbytes
    assert states[200] == 200 * states[1]
