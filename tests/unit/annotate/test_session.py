"""The bounded session against the stock one that forgets nothing: equal to the last bit, and flat."""

import os

import numpy as np
import pytest
import torch

from longtake.annotate.session import BoundedSession, track
from longtake.annotate.tracker import load_tracker
from longtake.errors import StateError

FRAMES = 30


@pytest.fixture(scope="module")
def scenario(square, clicks, blob):
    """Every kind of prompt; objects that begin later, that are prompted twice, that end, and one that begins anew."""
    prompts = {
        0: {"a": square(4, 4, 30, 30), "b": clicks([(25, 30)], [(60, 5)])},
        6: {"c": blob(1, 30, 30, 60)},
        18: {"a": clicks([(20, 20)], [(44, 44)], box=(10, 10, 40, 40))},
        22: {"b": square(2, 2, 20, 60), "d": clicks([(50, 50)])},
    }
    return prompts, {"b": 20, "c": 24}


def mirrored(prompts, ends):
    """Turn a scenario around in time."""
    last = FRAMES - 1
    return {last - at: given for at, given in prompts.items()}, {name: last - at for name, at in ends.items()}


@pytest.fixture(scope="module")
def expected(tracker, stock, drifting_pixels, scenario):
    """What the stock session says of the scenario, forward and backward."""
    pixels = drifting_pixels(FRAMES)
    found = {False: stock(tracker, pixels, *scenario), True: stock(tracker, pixels, *mirrored(*scenario), reverse=True)}
    assert len(found[False]) == len(found[True]) == 30 + 21 + 8 + 19 + 8
    return found


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(
    "cuts",
    [(), (6, 21), (4, 11, 19, 26), tuple(range(FRAMES))],
    ids=["uncut", "two cuts at a prompt and an end", "windows that do not divide", "a cut before every frame"],
)
def test_logits_equal_one_stock_session(
    tracker, expected, bounded, assert_equal, drifting_pixels, scenario, cuts, reverse
):
    """Among the windows some hold no prompt, and in some an object begins long after the first."""
    prompts, ends = mirrored(*scenario) if reverse else scenario
    found = bounded(tracker, drifting_pixels(FRAMES), prompts, ends, cuts, reverse=reverse)
    assert_equal(found, expected[reverse])


def test_backward_is_not_forward(tracker, bounded, drifting_pixels, square):
    pixels, prompts = drifting_pixels(9), {4: {"a": square(4, 4, 30, 30)}}
    forward, backward = (bounded(tracker, pixels, prompts, reverse=reverse) for reverse in (False, True))
    assert [frame for frame, _ in forward] == [4, 5, 6, 7, 8]
    assert [frame for frame, _ in backward] == [4, 3, 2, 1, 0]


def test_a_session_goes_one_way(tracker, drifting_pixels, square):
    pixels, session = drifting_pixels(2), BoundedSession(tracker, 2)
    track(tracker, session, 0, pixels[0], {"a": square(4, 4, 30, 30)})
    with pytest.raises(StateError, match="this session tracks forward; begin another one to go backward"):
        track(tracker, session, 1, pixels[1], {}, reverse=True)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_the_scenario_tells_objects_and_memories_apart(expected, reverse):
    scores = np.array([score for _, score in expected[reverse].values()])
    assert (scores > 0).any()
    assert (scores < 0).any()
    masks_of_c = 1  # its score is that of a mask given, the same wherever one is given
    assert len(set(scores)) >= len(scores) - masks_of_c


@pytest.mark.parametrize("forgetful", ["_memories", "_pointers"])
def test_forgetting_one_frame_too_early_is_seen(tracker, stock, drifting_pixels, square, forgetful):
    pixels, prompts = drifting_pixels(20), {0: {"a": square(4, 4, 30, 30)}}
    session = BoundedSession(tracker, len(pixels))
    setattr(session, forgetful, getattr(session, forgetful) - 1)
    expected = stock(tracker, pixels, prompts)
    with pytest.raises((AssertionError, KeyError)):  # the library itself trips over a missing memory
        for frame, pixel in enumerate(pixels):
            found = track(tracker, session, frame, pixel, prompts.get(frame, {}))
            assert found["a"].score_logit == expected[frame, "a"][1]


def test_a_video_shorter_than_the_pointer_memory(tracker, stock, bounded, assert_equal, drifting_pixels, square):
    pixels, prompts = drifting_pixels(9), {2: {"a": square(4, 4, 30, 30)}}
    assert_equal(bounded(tracker, pixels, prompts, cuts=(4, 7)), stock(tracker, pixels, prompts))


def test_other_objects_do_not_notice_an_end(tracker, stock, drifting_pixels, square):
    """Up to the batch of the memory encoder, whose rounding may depend on how many objects there are."""
    pixels = drifting_pixels(30)
    prompts = {0: {"a": square(4, 4, 30, 30), "b": square(20, 20, 60, 50)}}
    never, ended = stock(tracker, pixels, prompts), stock(tracker, pixels, prompts, {"b": 12})
    for (frame, name), (logits, _) in ended.items():
        torch.testing.assert_close(logits, never[frame, name][0], rtol=1e-3, atol=1e-3)


def entries(value):
    """Everything in the session's nested tables, whatever its size."""
    if isinstance(value, dict):
        return len(value) + sum(entries(item) for item in value.values())
    return 0


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_the_session_does_not_grow_with_frames(tracker, drifting_pixels, square, blob, reverse):
    """Bytes per added frame: 0."""
    pixels = drifting_pixels(20)
    session = BoundedSession(tracker, 60)
    prompts = {"a": square(4, 4, 30, 30), "b": blob(20, 20, 60, 50)}
    sizes = []
    for number in range(60):
        frame = 59 - number if reverse else number
        track(tracker, session, frame, pixels[number % 20], {} if number else prompts, reverse=reverse)
        sizes.append((session.live_bytes(), entries(vars(session))))
    assert sizes[19] == sizes[37] == sizes[59]
    assert session.conditioning_frames() == 2


def test_a_prompted_frame_keeps_its_own_object_alone(tracker, drifting_pixels, square):
    """The memory encoder batches the objects of a frame; a view of one would keep the others' memories too."""
    pixels = drifting_pixels(20)
    boxes = {str(number): square(4, 4, 30 + number, 30) for number in range(6)}
    session = BoundedSession(tracker, 20)
    for frame in range(20):
        track(tracker, session, frame, pixels[frame], boxes if frame == 0 else {"3": boxes["3"]} if frame == 5 else {})
    distinct = {tensor.data_ptr(): tensor.nbytes for tensor in session.tensors()}
    assert session.live_bytes() == sum(distinct.values())


def test_no_object_no_work(tracker, drifting_pixels):
    session = BoundedSession(tracker, 5)
    assert track(tracker, session, 0, drifting_pixels(1)[0], {}) == {}
    assert session.live_bytes() == 0


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_bfloat16_chains(model_dir, stock, bounded, assert_equal, drifting_pixels, square, blob, reverse):
    """Autocast rounds a mask's positions otherwise than a box's; both are kept."""
    half = load_tracker(model_dir, precision="bfloat16")
    pixels = drifting_pixels(10)
    prompts = {
        9 - at if reverse else at: given
        for at, given in {0: {"a": square(4, 4, 30, 30)}, 4: {"c": blob(1, 30, 30, 60)}}.items()
    }
    uncut = stock(half, pixels, prompts, reverse=reverse)
    assert_equal(bounded(half, pixels, prompts, cuts=(3, 7), reverse=reverse), uncut)


def test_on_a_gpu_cut_and_uncut_agree(model_dir, bounded, drifting_pixels, scenario):
    if not torch.cuda.is_available():
        if os.environ.get("LONGTAKE_REQUIRE_CUDA") == "1":
            pytest.fail("LONGTAKE_REQUIRE_CUDA is 1, but torch sees no GPU")
        pytest.skip("no GPU")
    gpu = load_tracker(model_dir, device="cuda")
    prompts, ends = scenario
    pixels = drifting_pixels(FRAMES)
    uncut = bounded(gpu, pixels, prompts, ends)
    cut = bounded(gpu, pixels, prompts, ends, (4, 11, 19, 26))
    for key, prediction in uncut.items():
        assert np.array_equal(prediction.logits, cut[key].logits), key
