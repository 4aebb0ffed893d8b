"""Seeds: chosen by criteria that can be counted by hand, and tracked like any other object once they are grafted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from longtake import masks
from longtake.annotate import seeding
from longtake.annotate.seeding import CRITERIA, gone, graft, seed, seed_objects
from longtake.annotate.session import BoundedSession, ModelPrompt, Prediction, track
from longtake.annotate.tracker import load_tracker

# The random model of these tests is sure of nothing.
LOOSE = replace(
    CRITERIA, points_per_side=6, predicted_iou=0.0, stability=0.0, least_area=0.0, most_area=0.9, duplicate_iou=0.9
)
CELLS = 16  # the decoder's resolution of a square of 64 pixels


def blob(x_min, y_min, x_max, y_max, low=-8.0):
    logits = np.full((CELLS, CELLS), low, dtype=np.float32)
    logits[y_min:y_max, x_min:x_max] = 8
    return logits


@pytest.fixture
def planted(monkeypatch, tracker):
    """Let the model answer every point by the planted (logits, predicted IoU, score) whose mask it hits."""

    def plant(*answers):
        asked = []

        def ask(tracker, vision, points):
            asked.append(len(points))
            found = []
            for x, y in (points / 4).tolist():
                hit = [answer for answer in answers if answer[0][int(y), int(x)] > 0]
                found.append(hit[: len(answers)] + [(blob(0, 0, 0, 0), 0.99, -5.0)] * (len(answers) - len(hit)))
            logits = torch.tensor(np.array([[each[0] for each in row] for row in found]))
            predicted = torch.tensor([[each[1] for each in row] for row in found])
            return logits, predicted, torch.tensor([row[0][2] for row in found], dtype=torch.float32)

        monkeypatch.setattr(seeding, "ask", ask)
        return asked

    return plant


def boxes(tracker, covered=None, **given):
    covered = np.zeros((CELLS, CELLS), dtype=bool) if covered is None else covered
    found = seed_objects(
        tracker, torch.zeros(3, 64, 64), covered, replace(CRITERIA, **({"points_per_side": 8} | given))
    )
    assert all(mask.shape == (64, 64) for mask in found)
    return [masks.box(mask) for mask in found]


def test_each_object_once_from_the_largest_on(planted, tracker):
    planted((blob(9, 1, 12, 4), 0.9, 3.0), (blob(1, 8, 6, 14), 0.9, 3.0), (blob(10, 10, 13, 13), 0.9, 3.0))
    found = boxes(tracker)
    assert len(found) == 3
    assert [(x // 4, y // 4) for x, y, _, _ in found] == [(1, 8), (9, 1), (10, 10)]


@pytest.mark.parametrize(
    ("predicted_iou", "score", "seen"), [(0.8, 0.1, True), (0.79, 0.1, False), (0.9, 0.0, False), (0.9, -3, False)]
)
def test_what_the_model_doubts_is_no_seed(planted, tracker, predicted_iou, score, seen):
    planted((blob(4, 4, 9, 9), predicted_iou + 1e-6, score))
    assert bool(boxes(tracker)) == seen


def test_what_changes_with_the_threshold_is_no_seed(planted, tracker):
    """25 pixels surely inside; of the others, 1 or 2 are so at a logit of -0.5: 25 / 26 is stable, 25 / 27 is not."""
    for unsure, seen in [(1, True), (2, False)]:
        logits = blob(4, 4, 9, 9)
        logits[3, 4 : 4 + unsure] = -0.5
        planted((logits, 0.9, 3.0))
        assert bool(boxes(tracker)) == seen


@pytest.mark.parametrize(("least", "most", "seen"), [(0.09, 0.1, True), (0.1, 0.2, False), (0.01, 0.09, False)])
def test_specks_and_the_ground_are_no_seeds(planted, tracker, least, most, seen):
    planted((blob(4, 4, 9, 9), 0.9, 3.0))
    assert bool(boxes(tracker, least_area=least, most_area=most)) == seen


def test_of_two_nearly_equal_masks_the_one_of_better_prediction_stays(planted, tracker):
    planted((blob(4, 4, 9, 9), 0.85, 3.0), (blob(4, 4, 9, 10), 0.9, 3.0))
    (found,) = boxes(tracker)
    assert found[3] > 38
    planted((blob(4, 4, 9, 9), 0.95, 3.0), (blob(4, 4, 9, 10), 0.9, 3.0))
    (found,) = boxes(tracker)
    assert found[3] < 38


def test_a_part_of_an_object_is_no_other(planted, tracker):
    planted((blob(2, 2, 6, 6), 0.99, 3.0), (blob(2, 2, 10, 10), 0.85, 3.0))
    (found,) = boxes(tracker)
    assert found[2] > 36


@pytest.mark.parametrize(("columns", "seen"), [(3, True), (4, False)])
def test_what_is_mostly_covered_is_tracked_already(planted, tracker, columns, seen):
    planted((blob(4, 4, 10, 10), 0.9, 3.0))
    covered = np.zeros((CELLS, CELLS), dtype=bool)
    covered[:, : 4 + columns] = True
    assert bool(boxes(tracker, covered)) == seen


def test_points_on_covered_ground_are_not_asked(planted, tracker):
    asked = planted((blob(4, 4, 9, 9), 0.9, 3.0))
    covered = np.zeros((CELLS, CELLS), dtype=bool)
    covered[:, :8] = True
    boxes(tracker, covered)
    assert sum(asked) == 32
    covered[:] = True
    asked.clear()
    assert boxes(tracker, covered) == []
    assert asked == []


def test_there_is_a_bound_and_it_is_told(planted, tracker, caplog):
    planted(*((blob(4 * n, 2, 4 * n + 3, 5 + n), 0.9, 3.0) for n in range(4)))
    assert len(boxes(tracker, most=3)) == 3
    assert "3 objects were found on one frame" in caplog.text


# --- on a model


@pytest.fixture(scope="module")
def frame(drifting_pixels):
    return drifting_pixels(3)[2]


def test_the_model_gives_the_same_seeds_again_in_batches_of_any_size(tracker, frame):
    covered = np.zeros((CELLS, CELLS), dtype=bool)
    found = [seed_objects(tracker, frame, covered, LOOSE) for _ in range(2)]
    assert len(found[0]) > 1
    assert all(np.array_equal(*pair) for pair in zip(*found, strict=True))
    areas = [int(mask.sum()) for mask in found[0]]
    assert areas == sorted(areas, reverse=True)
    single = seed_objects(tracker, frame, covered, replace(LOOSE, points_per_batch=1))
    assert [masks.iou(*pair) > 0.99 for pair in zip(found[0], single, strict=True)] == [True] * len(single)


@pytest.mark.parametrize("family", ["Sam2Video", "EdgeTamVideo", "Sam3TrackerVideo"])
def test_a_point_is_answered_as_the_library_answers_it(family, model_dir, family_dirs, stock, frame):
    """The first frame of an object prompted by one click, in the library's own session."""
    tracker = load_tracker(model_dir if family == "Sam2Video" else family_dirs[family])
    seen = 0
    for x, y in [(20.0, 41.0), (5.0, 9.0), (50.0, 30.0), (33.0, 60.0)]:
        point = torch.tensor([[x, y]])
        click = ModelPrompt(point, torch.ones(1, dtype=torch.int32))
        expected_logits, expected_score = stock(tracker, frame[None], {0: {"a": click}})[0, "a"]
        logits, predicted_iou, score = seeding.ask(tracker, seeding.look(tracker, frame), point)
        best = logits[0, predicted_iou[0].argmax()]
        assert score[0].item() == pytest.approx(expected_score, rel=1e-4)
        if expected_score > 0:
            seen += 1
            torch.testing.assert_close(best, expected_logits, rtol=1e-4, atol=1e-4)
    assert seen


@pytest.mark.parametrize("family", ["EdgeTamVideo", "Sam3TrackerVideo"])
def test_other_families_seed_too(family, family_dirs, frame):
    tracker, covered = load_tracker(family_dirs[family]), {}
    session = BoundedSession(tracker, 5)
    found = seed(tracker, session, frame=0, pixels=frame, tracked=covered, prefix="auto-0000", criteria=LOOSE)
    assert found
    assert list(track(tracker, session, 1, frame, {})) == list(found)


def rectangle(x_min, y_min, x_max, y_max):
    mask = torch.zeros(64, 64)
    mask[y_min:y_max, x_min:x_max] = 1
    return ModelPrompt(torch.empty(0, 2), torch.empty(0, dtype=torch.int32), mask)


def test_a_grafted_object_is_tracked_as_in_a_session_of_its_own(tracker, drifting_pixels):
    pixels = drifting_pixels(24)
    alone, main = BoundedSession(tracker, 24), BoundedSession(tracker, 24)
    prompt = rectangle(10, 10, 40, 30)
    for at, pixel in enumerate(pixels):
        fresh = {"auto-0000-00": prompt} if at == 4 else {}
        expected = track(tracker, alone, at, pixel, fresh)
        found = track(tracker, main, at, pixel, {})
        if fresh:
            own = BoundedSession(tracker, 24)
            found = track(tracker, own, at, pixel, fresh)
            graft(main, own)
            main.prune(at)
        assert found.keys() == expected.keys()
        for name, prediction in found.items():
            assert np.array_equal(prediction.logits, expected[name].logits), at
            assert prediction.score_logit == expected[name].score_logit
    assert main.live_bytes() == alone.live_bytes()


def test_other_objects_do_not_notice_a_graft(tracker, drifting_pixels, square):
    """Up to the batch of the memory encoder, whose rounding may depend on how many objects there are."""
    pixels = drifting_pixels(12)
    plain, main = BoundedSession(tracker, 12), BoundedSession(tracker, 12)
    for at, pixel in enumerate(pixels):
        fresh = {"a": square(4, 4, 30, 30), "b": square(20, 20, 60, 50)} if at == 0 else {}
        expected, found = track(tracker, plain, at, pixel, fresh), track(tracker, main, at, pixel, fresh)
        if at == 5:
            own = BoundedSession(tracker, 12)
            track(tracker, own, at, pixel, {"auto-0000-00": rectangle(10, 10, 40, 30)})
            graft(main, own)
            main.prune(at)
        for name in "ab":
            np.testing.assert_allclose(found[name].logits, expected[name].logits, rtol=1e-3, atol=1e-3)
    assert list(main.obj_ids) == ["a", "b", "auto-0000-00"]


def test_seeds_are_found_beside_what_is_tracked_and_go_on(tracker, frame, monkeypatch):
    session = BoundedSession(tracker, 5)
    tracked = track(tracker, session, 0, frame, {"a": rectangle(0, 0, 64, 30)})
    found = seed(tracker, session, frame=0, pixels=frame, tracked=tracked, prefix="auto-0003", criteria=LOOSE)
    assert list(found) == [f"auto-0003-{number:02d}" for number in range(len(found))]
    assert found
    covered = tracked["a"].logits > 0
    for each in found.values():
        assert each.score_logit == 10
        inside = each.logits > 0
        # Half a mask may be covered, and a pixel at its edge is another one after the mask prompt's rounding.
        assert (inside & ~covered).sum() >= 0.5 * inside.sum() - 2
    after = track(tracker, session, 1, frame, {})
    assert list(after) == ["a", *found]


def test_what_is_out_of_view_covers_nothing(tracker, frame):
    session = BoundedSession(tracker, 5)
    hidden = {"a": Prediction(np.full((CELLS, CELLS), 9, dtype=np.float32), -1.0)}
    assert seed(tracker, session, frame=0, pixels=frame, tracked=hidden, prefix="auto-0000", criteria=LOOSE)


def test_a_seed_that_stays_out_of_view_is_gone(tracker, drifting_pixels, square):
    """Only what the model has not seen on any frame that it remembers, and only what nobody prompted."""
    session = BoundedSession(tracker, 40)
    absent = tracker.model.no_object_pointer
    frames = tracker.model.config.max_object_pointers_in_encoder - 1
    pixels = drifting_pixels(20)
    names = {name: square(4, 4, 30, 30) for name in ("a", "auto-0000-00", "auto-0000-01", "auto-0001-00")}
    for at in range(frames + 1):
        fresh = {name: box for name, box in names.items() if at == (2 if name == "auto-0001-00" else 0)}
        track(tracker, session, at, pixels[at], fresh)
    for place, name in enumerate(session.obj_ids):
        outputs = session.output_dict_per_obj[place]["non_cond_frame_outputs"]
        for at, output in outputs.items():
            seen = name == "auto-0000-01" and at == 7
            output["object_pointer"] = torch.ones_like(absent) if seen else absent.clone()
    assert gone(tracker, session) == {"auto-0000-00"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("object_batch", [1, 3])
def test_where_the_model_sees_nothing_it_leaves_the_pointer_of_absence(
    model_dir, drifting_pixels, square, precision, object_batch
):
    """Bit for bit: this is how a seed that is out of view is known."""
    tracker = load_tracker(model_dir, precision=precision, object_batch=object_batch)
    session, absent = BoundedSession(tracker, 12), set()
    boxes = {name: square(4 * n, 4, 30 + 3 * n, 30) for n, name in enumerate("abc")}
    for at, pixel in enumerate(drifting_pixels(12)):
        for name, found in track(tracker, session, at, pixel, boxes if at == 0 else {}).items():
            if at > 0:
                output = session.output_dict_per_obj[session.obj_id_to_idx(name)]["non_cond_frame_outputs"][at]
                is_absent = bool((output["object_pointer"] == tracker.model.no_object_pointer).all())
                assert is_absent == (found.score_logit <= 0)
                absent.add(is_absent)
    assert absent == {True, False}
