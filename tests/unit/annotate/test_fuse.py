"""Two passes made one: each rule on masks that one can count by hand."""

import numpy as np
import pyarrow as pa
import pytest

from longtake import masks
from longtake.annotate.fuse import Agreement, fuse
from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS

STEP = 5


def row(frame, columns, *, name="a", direction="forward", window=0):
    """A row whose mask are whole columns of an 8 x 8 frame, not visible without any."""
    mask = np.zeros((8, 8), bool)
    mask[:, list(columns)] = True
    return dict.fromkeys(DETECTIONS.names) | {
        "video": "pond", "frame": frame, "time_s": frame / 10, "object": name, "label": "fish", "height": 8, "width": 8,
        "mask": masks.encode(mask) if columns else None, "score": 1.0, "visible": bool(columns), "prompted": False,
        "window": window, "status": "ok", "direction": direction,
    }  # fmt: skip


def back(frame, columns, **more):
    return row(frame, columns, direction="backward", **more)


def batches(rows, size=2):
    return pa.Table.from_pylist(rows, schema=DETECTIONS).to_batches(max_chunksize=size)


def fused(forward, backward, prompted):
    agreement = Agreement()
    frames = list(fuse(batches(forward), batches(backward), prompted, agreement))
    return [each for rows in frames for each in rows], list(agreement.rows())


def test_the_pass_of_the_nearer_prompt_counts_and_the_forward_one_in_a_tie():
    frames = range(0, 25, STEP)
    rows, _ = fused([row(at, [0, 1]) for at in frames], [back(at, [1, 2]) for at in frames], {"a": [0, 20]})
    assert [(each["frame"], each["direction"]) for each in rows] == [
        (0, "forward"), (5, "forward"), (10, "forward"), (15, "backward"), (20, "forward"),
    ]  # fmt: skip
    assert [each["agreement"] for each in rows] == [pytest.approx(1 / 3)] * 5


def test_distances_are_those_of_the_prompts_on_either_side():
    frames = range(0, 45, STEP)
    rows, _ = fused([row(at, [0]) for at in frames], [back(at, [0]) for at in frames], {"a": [0, 10, 40]})
    ways = {each["frame"]: each["direction"] for each in rows}
    assert [at for at in frames if ways[at] == "backward"] == [30, 35]


def test_what_one_pass_alone_has_is_taken_as_it_is():
    forward = [row(10, [0]), row(10, [5], name="b"), row(15, [0])]
    backward = [back(0, [1]), back(5, [1]), back(5, [7], name="c"), back(10, [1])]
    rows, agreement = fused(forward, backward, {"a": [10]})
    assert [(each["frame"], each["object"], each["direction"]) for each in rows] == [
        (0, "a", "backward"), (5, "a", "backward"), (5, "c", "backward"),
        (10, "a", "forward"), (10, "b", "forward"), (15, "a", "forward"),
    ]  # fmt: skip
    assert [each["agreement"] for each in rows] == [None, None, None, 0.0, None, None]
    assert len(agreement) == 1


def test_agreement_counts_the_frames_on_which_a_pass_sees_the_object():
    forward = [row(0, [0, 1]), row(5, [0, 1]), row(10, []), row(15, []), row(20, [2], window=1)]
    backward = [back(0, [0, 1]), back(5, [0]), back(10, [3]), back(15, []), back(20, [2], window=1)]
    rows, agreement = fused(forward, backward, {"a": [0, 20]})
    assert [each["agreement"] for each in rows] == [1.0, 0.5, 0.0, None, 1.0]
    (first, second) = agreement
    assert (first["window"], first["frames"], first["first_frame"], first["last_frame"]) == (0, 3, 0, 10)
    assert (first["mean_iou"], first["minimum_iou"]) == (pytest.approx(0.5), 0.0)
    assert (second["window"], second["frames"], second["mean_iou"], second["joined"]) == (1, 1, 1.0, True)


@pytest.mark.parametrize("prompted", [{}, {"a": [0]}, {"a": [10]}])
def test_passes_that_no_prompts_enclose_are_refused(prompted):
    with pytest.raises(SchemaError, match="object 'a' was tracked both ways on frame 5, which no two prompts enclose"):
        fused([row(5, [0])], [back(5, [0])], prompted)


def test_batches_do_not_matter_and_none_is_asked_for_early():
    frames = range(0, 100, STEP)
    forward, backward = [row(at, [0, 1]) for at in frames], [back(at, [1, 2]) for at in frames]
    asked = {"forward": 0, "backward": 0}

    def counted(way, rows):
        for batch in batches(rows):
            asked[way] += 1
            yield batch

    found = []
    for done, rows in enumerate(
        fuse(counted("forward", forward), counted("backward", backward), {"a": [0, 95]}, Agreement())
    ):
        found += rows
        assert max(asked.values()) <= done // 2 + 2
    whole = fuse(batches(forward, 99), batches(backward, 99), {"a": [0, 95]}, Agreement())
    assert found == [each for rows in whole for each in rows]
