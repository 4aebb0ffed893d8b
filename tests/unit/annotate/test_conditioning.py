"""Prompted frames: kept as long as the model can read them, and no longer; fewer where the settings say so."""

import json
import shutil

import pytest
import torch

from longtake.annotate.session import CONDITIONING, FEATURES
from longtake.annotate.tracker import load_tracker
from longtake.annotate.window import annotate_window
from longtake.errors import ModelError
from longtake.media.windows import Window

FRAMES = 26
# Of frames 0, 1, 2, ... those on which the object is prompted; two neighbours, and gaps longer than the memory of
# tracked frames (6).
PROMPTED = (0, 1, 3, 4, 12, 13, 14, 23)


@pytest.fixture(scope="module")
def prompts(square, blob):
    many = {at: {"a": square(4 + at, 4, 30 + at, 30)} for at in PROMPTED}
    many[0]["b"] = blob(20, 20, 60, 50)
    return many


def stock_of(folder, limit):
    """The tracker whose own configuration says `limit`."""
    tracker = load_tracker(folder)
    tracker.model.config.max_cond_frame_num = limit
    return tracker


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("limit", [1, 3])
def test_a_bound_is_the_models_own_rule(
    model_dir, stock, bounded, assert_equal, drifting_pixels, prompts, limit, reverse
):
    pixels, last = drifting_pixels(FRAMES), FRAMES - 1
    given = {last - at if reverse else at: it for at, it in prompts.items()}
    expected = stock(stock_of(model_dir, limit), pixels, given, reverse=reverse)
    tracker = load_tracker(model_dir, max_conditioning_frames=limit)
    for cuts in (), (2, 5, 13, 20):
        sessions = {}
        assert_equal(bounded(tracker, pixels, given, cuts=cuts, reverse=reverse, sessions=sessions), expected)
        assert list(sessions[0 if reverse else last].shortened) == ["a"]


def test_the_scenario_needs_every_prompted_frame(tracker, stock, drifting_pixels, prompts, model_dir):
    pixels = drifting_pixels(FRAMES)
    unbound, three = stock(tracker, pixels, prompts), stock(stock_of(model_dir, 3), pixels, prompts)
    tracked = [at for at in range(FRAMES) if at not in PROMPTED]
    differs = [at for at in tracked if unbound[at, "a"][1] != three[at, "a"][1]]  # the scores; masks out of view agree
    assert differs == [at for at in tracked if at > 4]
    assert all(torch.equal(unbound[at, "b"][0], three[at, "b"][0]) for at in range(12))


@pytest.mark.parametrize(
    ("frames", "kept"),
    [(6, [0, 1, 3, 4]), (9, [1, 3, 4]), (FRAMES, [13, 14, 23])],
    ids=["as a recent frame, not a chosen one", "the nearest three", "the nearest three of eight"],
)
def test_features_that_no_frame_reads_are_dropped_and_pointers_kept(
    model_dir, bounded, drifting_pixels, prompts, frames, kept
):
    sessions = {}
    tracker = load_tracker(model_dir, max_conditioning_frames=3)
    bounded(tracker, drifting_pixels(FRAMES)[:frames], prompts, sessions=sessions)
    outputs = sessions[frames - 1].output_dict_per_obj[0][CONDITIONING]
    assert tuple(outputs) == tuple(at for at in PROMPTED if at < frames)
    assert [at for at, output in outputs.items() if FEATURES in output] == kept


def test_the_session_does_not_grow_with_prompts_but_by_pointers(model_dir, drifting_pixels, square):
    from longtake.annotate.session import BoundedSession, track

    tracker = load_tracker(model_dir, max_conditioning_frames=2)
    pixels, session, sizes = drifting_pixels(20), BoundedSession(tracker, 60), []
    for frame in range(60):
        given = {"a": square(4, 4, 30, 30)} if frame % 10 == 0 else {}
        track(tracker, session, frame, pixels[frame % 20], given)
        sizes.append(session.live_bytes())
    pointer = 4 * tracker.model.hidden_dim
    assert sizes[59] - sizes[39] == 2 * pointer


@pytest.mark.parametrize(("own", "setting", "rule", "bites"), [(-1, 5, 5, 5), (4, 5, 4, None), (4, 2, 2, 2)])
def test_the_tighter_of_model_and_setting_counts(model_dir, tmp_path, own, setting, rule, bites):
    folder = shutil.copytree(model_dir, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_cond_frame_num": own}))
    tracker = load_tracker(folder, max_conditioning_frames=setting)
    assert (tracker.model.config.max_cond_frame_num, tracker.max_conditioning_frames) == (rule, bites)
    assert load_tracker(folder).model.config.max_cond_frame_num == own


def test_nothing_is_noted_where_the_bound_does_not_bite(model_dir, bounded, drifting_pixels, square):
    """Two prompted frames and a bound of two; a third on the last frame is read by none."""
    given = {at: {"a": square(4, 4, 30, 30)} for at in (0, 4, 8)}
    sessions = {}
    bounded(load_tracker(model_dir, max_conditioning_frames=2), drifting_pixels(9), given, sessions=sessions)
    assert sessions[8].shortened == {}


@pytest.mark.parametrize("name", ["max_conditioning_frames", "object_batch"])
def test_less_than_one(model_dir, name):
    with pytest.raises(ModelError, match=f"{name} is 0; give 1 or more"):
        load_tracker(model_dir, **{name: 0})


def test_a_window_says_where_the_bound_bites(model_dir, make_video, prompt, tmp_path):
    video, where, _ = make_video("bound", 24)
    rows = [prompt("a", frame, (8, 8, 40, 40), row=row) for row, frame in enumerate((0, 4, 12, 14), start=2)]
    rows.append(prompt("b", 0, (30, 4, 90, 50), row=9))
    state, records = None, []
    for number, (start, stop) in enumerate([(0, 12), (12, 24)]):
        after = tmp_path / f"{number}.safetensors"
        terms = {"state_in": state, "state_out": after, "detections_out": tmp_path / "rows.parquet"}
        window = Window("pond", number, start, stop, start, stop, start / 10, (stop - 1) / 10)
        records.append(
            annotate_window(
                video_path=video,
                index_path=where,
                window=window,
                prompts=rows,
                model_dir=model_dir,
                scale=1.0,
                frame_interval=2,
                max_conditioning_frames=2,
                **terms,
            )
        )
        state = after
    assert [(record["status"], record["conditioning_frames_hidden_for"]) for record in records] == [
        ("ok", []),
        ("approximate", ["a"]),
    ]
    assert records[1]["reason"] == "of more prompted frames only max_conditioning_frames = 2 are read for 'a'"
