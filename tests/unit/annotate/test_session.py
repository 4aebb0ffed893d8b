"""The bounded session against the stock one that forgets nothing: equal to the last bit, and flat."""

import os

import numpy as np
import pytest
import torch

from longtake.annotate.handover import load_state, save_state
from longtake.annotate.session import BoundedSession, track
from longtake.annotate.tracker import load_tracker

FRAMES = 44
IDENTITY = {"model": "m"}


@pytest.fixture(scope="module")
def scenario(square):
    """Several objects, two that appear later, one prompted twice, two that end (one of them begun anew)."""
    prompts = {
        0: {"a": square(4, 4, 30, 30), "b": square(20, 20, 60, 50)},
        13: {"c": square(1, 30, 30, 60)},
        20: {"a": square(10, 10, 40, 40)},
        31: {"b": square(2, 2, 20, 60), "d": square(40, 40, 60, 60)},
    }
    return prompts, {"b": 25, "c": 38}


def bounded_logits(tracker, pixels, prompts, ends, cuts, tmp_path):
    """Track with bounded sessions that are written and read back before every frame in `cuts`."""
    session = BoundedSession(tracker, len(pixels))
    found = {}
    for frame, pixel in enumerate(pixels):
        if frame in cuts:
            path = tmp_path / f"{frame}.safetensors"
            save_state(path, session, identity=IDENTITY, history="h", next_frame=frame)
            session = load_state(path, tracker, identity=IDENTITY, history="h", next_frame=frame)
        # `b` begins anew at 31, after its end.
        session.end({name for name, last in ends.items() if last + 1 == frame} & set(session.obj_ids))
        for name, prediction in track(tracker, session, frame, pixel, prompts.get(frame, {})).items():
            found[frame, name] = prediction
    return found


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, (logits, score_logit) in expected.items():
        assert torch.equal(torch.from_numpy(found[key].logits), logits), key
        assert found[key].score_logit == score_logit, key


@pytest.mark.parametrize(
    "cuts",
    [(), (13, 26), (7, 14, 21, 28, 35, 42), tuple(range(1, FRAMES))],
    ids=["uncut", "two cuts at prompts and ends", "windows that do not divide", "a cut before every frame"],
)
def test_logits_equal_one_stock_session(tracker, stock, drifting_pixels, scenario, cuts, tmp_path):
    prompts, ends = scenario
    pixels = drifting_pixels(FRAMES)
    expected = stock(tracker, pixels, prompts, {"b": 25, "c": 38})
    assert_equal(bounded_logits(tracker, pixels, prompts, ends, cuts, tmp_path), expected)


def test_the_scenario_tells_objects_and_memories_apart(tracker, stock, drifting_pixels, scenario):
    prompts, ends = scenario
    expected = stock(tracker, drifting_pixels(FRAMES), prompts, ends)
    scores = np.array([score for _, score in expected.values()])
    assert (scores > 0).any()
    assert (scores < 0).any()
    assert len({score for _, score in expected.values()}) == len(expected)


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


def test_a_video_shorter_than_the_pointer_memory(tracker, stock, drifting_pixels, square, tmp_path):
    pixels, prompts = drifting_pixels(9), {2: {"a": square(4, 4, 30, 30)}}
    expected = stock(tracker, pixels, prompts)
    assert_equal(bounded_logits(tracker, pixels, prompts, {}, (4, 7), tmp_path), expected)


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


def test_the_session_does_not_grow_with_frames(tracker, drifting_pixels, square):
    pixels = drifting_pixels(20)
    session = BoundedSession(tracker, 120)
    boxes = {"a": square(4, 4, 30, 30), "b": square(20, 20, 60, 50)}
    sizes = []
    for frame in range(120):
        track(tracker, session, frame, pixels[frame % 20], boxes if frame == 0 else {})
        sizes.append((session.live_bytes(), entries(vars(session))))
    assert sizes[19] == sizes[60] == sizes[119]
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


def test_bfloat16_is_close_and_chains(model_dir, drifting_pixels, square, tmp_path):
    half = load_tracker(model_dir, precision="bfloat16")
    pixels, prompts = drifting_pixels(8), {0: {"a": square(4, 4, 30, 30)}}
    uncut = bounded_logits(half, pixels, prompts, {}, (), tmp_path)
    cut = bounded_logits(half, pixels, prompts, {}, (3, 6), tmp_path)
    for key, prediction in uncut.items():
        assert np.array_equal(prediction.logits, cut[key].logits)


def test_on_a_gpu_cut_and_uncut_agree(model_dir, drifting_pixels, scenario, tmp_path):
    if not torch.cuda.is_available():
        if os.environ.get("LONGTAKE_REQUIRE_CUDA") == "1":
            pytest.fail("LONGTAKE_REQUIRE_CUDA is 1, but torch sees no GPU")
        pytest.skip("no GPU")
    gpu = load_tracker(model_dir, device="cuda")
    prompts, ends = scenario
    pixels = drifting_pixels(FRAMES)
    uncut = bounded_logits(gpu, pixels, prompts, ends, (), tmp_path)
    cut = bounded_logits(gpu, pixels, prompts, ends, (7, 14, 21, 28, 35, 42), tmp_path)
    for key, prediction in uncut.items():
        assert np.array_equal(prediction.logits, cut[key].logits), key
