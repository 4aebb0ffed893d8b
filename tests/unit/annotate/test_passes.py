"""Backward passes, both passes made one, and independent windows, on real files and with the random model."""

import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from longtake import masks
from longtake.annotate import passes
from longtake.annotate.geometry import model_frame, model_prompt
from longtake.annotate.merge import merge_windows
from longtake.annotate.prompts import place_prompts
from longtake.annotate.window import annotate_window
from longtake.errors import SchemaError, StateError
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.store.schemas import AGREEMENT, DETECTIONS
from longtake.store.tables import read_table

WIDTH, HEIGHT, FRAMES, INTERVAL = 96, 56, 40, 2
BOUNDS = [0, 11, 16, 29, FRAMES]


@pytest.fixture(scope="module")
def video(make_video):
    return make_video("pond", FRAMES, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def prompts(prompt):
    """a is prompted twice, b ends and begins anew (nothing from 2.5 to 3.2 s), c begins late."""
    return [
        prompt("a", 6, (8, 8, 40, 40), row=2),
        prompt("b", 12, (30, 4, 90, 50), row=3, until_s=2.4),
        prompt("c", 30, (50, 20, 120, 44), row=4, label="eel"),
        prompt("a", 34, (20, 8, 60, 40), row=5),
        prompt("b", 32, (30, 4, 80, 40), row=6),
    ]


def cut(bounds, shared=0):
    edges = [(start, stop, min(stop + shared, FRAMES)) for start, stop in pairwise(bounds)]
    return [
        Window("pond", number, start, cover, start, stop, start / 10, cover / 10)
        for number, (start, stop, cover) in enumerate(edges)
    ]


@pytest.fixture(scope="module")
def annotate(tmp_path_factory, video, prompts, model_dir):
    """Run all windows of a pass, once; give the tables in the order of time, and the records."""
    done = {}

    def once(bounds, again=False, **how):
        key = repr((bounds, sorted(how.items())))
        if again or key not in done:
            done[key] = run(bounds, **how)
        return done[key]

    def run(bounds, *, direction="forward", continuity="chain", shared=0, given=prompts):
        folder = tmp_path_factory.mktemp("windows")
        windows = cut(bounds, shared)
        state, records, chain = None, [], continuity == "chain"
        for window in windows[::-1] if direction == "backward" else windows:
            handed = folder / f"{window.window}.safetensors" if chain else None
            record = annotate_window(
                video_path=video[0], index_path=video[1], window=window, prompts=given, model_dir=model_dir,
                scale=1.0, frame_interval=INTERVAL, state_in=state, state_out=handed, direction=direction,
                continuity=continuity, detections_out=folder / f"{window.window}.parquet",
            )  # fmt: skip
            records.append(record)
            state = handed
        return [folder / f"{window.window}.parquet" for window in windows], records

    return once


def rows_of(paths):
    return [row for path in paths for row in read_table(path, DETECTIONS).to_pylist()]


def spans(rows):
    """Object -> its frames."""
    found = {}
    for row in rows:
        found.setdefault(row["object"], []).append(row["frame"])
    return found


BACKWARD = {"a": range(0, 35, 2), "b": [*range(0, 13, 2), 32], "c": range(0, 31, 2)}


def test_a_backward_chain_equals_one_uncut_stock_session(annotate, video, prompts, tracker, stock):
    index = video[2]
    sources = range(0, FRAMES, INTERVAL)
    size = (index.width, index.height)
    pixels = torch.stack([model_frame(it.pixels, tracker.preprocessing) for it in read_frames(index, sources)])
    given = {}
    for placed in place_prompts(prompts, index, INTERVAL):
        given.setdefault(placed.grid_frame, {})[placed.prompt.object] = model_prompt(placed, *size, 64)
    # b ends on its own prompt, grid frame 16, and begins anew at 6; the stock session can end an object but once.
    expected = stock(tracker, pixels, given, {"b": 16}, reverse=True)

    (uncut,), _ = annotate([0, FRAMES], direction="backward")
    cut_up, records = annotate(BOUNDS, direction="backward")
    rows = rows_of(cut_up)
    assert rows == [row | {"window": new["window"]} for row, new in zip(rows_of([uncut]), rows, strict=True)]
    assert {name: list(frames) for name, frames in spans(rows).items()} == {k: list(v) for k, v in BACKWARD.items()}
    assert {(row["frame"], row["object"]) for row in rows} == {(at * INTERVAL, name) for at, name in expected}
    for row in rows:
        logits, score = expected[row["frame"] // INTERVAL, row["object"]]
        whole = functional.interpolate(logits[None, None], size[::-1], mode="bilinear")[0, 0].numpy()
        assert row["score"] == pytest.approx(1 / (1 + np.exp(-score)), rel=1e-6)
        assert row["direction"] == "backward"
        if row["visible"]:
            decided = np.abs(whole) > 1e-3
            assert np.array_equal(masks.decode(row["mask"], HEIGHT, WIDTH)[decided], whole[decided] > 0)
    assert any(row["visible"] for row in rows)
    assert [record["window"] for record in records] == [3, 2, 1, 0]
    assert records[-1]["objects_handed_over"] == []
    prompted = {(row["frame"], row["object"]) for row in rows if row["prompted"]}
    assert prompted == {(6, "a"), (12, "b"), (30, "c"), (34, "a"), (32, "b")}


def test_blocks_do_not_change_a_byte(annotate, monkeypatch):
    whole = rows_of(annotate([0, FRAMES], direction="backward")[0])
    monkeypatch.setattr(passes, "BLOCK_FRAMES", 3)
    monkeypatch.setattr("longtake.annotate.passes.BATCH_ROWS", 7)
    assert rows_of(annotate([0, FRAMES], direction="backward", again=True)[0]) == whole
    monkeypatch.setattr(passes, "BLOCK_SPAN", 1)
    assert rows_of(annotate([0, FRAMES], direction="backward", again=True)[0]) == whole


@pytest.mark.parametrize("bound", [{"BLOCK_FRAMES": 4}, {"BLOCK_SPAN": 4}, {"BLOCK_BYTES": 4 * 3 * WIDTH * HEIGHT + 9}])
def test_a_backward_pass_holds_two_blocks_of_frames(video, monkeypatch, bound):
    live, most, asked = weakref.WeakSet(), 0, []

    def watched(*args, **kwargs):
        nonlocal most
        asked.append(len(args[1]))
        for frame in read_frames(*args, **kwargs):
            live.add(frame)
            most = max(most, len(live))
            yield frame
            del frame

    monkeypatch.setattr(passes, "read_frames", watched)
    for name, value in bound.items():
        monkeypatch.setattr(passes, name, value)
    seen = [it.frame for it in passes.read_in_order(video[2], range(FRAMES), size=(WIDTH, HEIGHT), backward=True)]
    assert seen == list(range(FRAMES))[::-1]
    assert asked == [4] * 10
    assert most <= 9


def test_a_table_written_backward_holds_a_batch_of_rows(tmp_path):
    def peak(count):
        row = {"video": "v", "time_s": 0.0, "object": "a", "label": "fish", "height": 8, "width": 8, "score": 1.0}
        row |= {"visible": False, "prompted": False, "window": 0, "status": "ok", "direction": "backward"}
        tracemalloc.start()
        descending = ([row | {"frame": frame}] for frame in reversed(range(count)))
        assert passes.write_in_time(tmp_path / "rows.parquet", descending, {}, backward=True) == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        table = read_table(tmp_path / "rows.parquet", DETECTIONS)
        assert table.column("frame").to_pylist() == list(range(count))
        assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
        return highest

    peak(1500)
    assert peak(30_000) <= 1.1 * peak(3000)


def test_backward_states_are_for_the_window_before_in_time(annotate, video, prompts, model_dir, tmp_path):
    paths, _ = annotate(BOUNDS, direction="backward")
    base = {
        "video_path": video[0], "index_path": video[1], "prompts": prompts, "model_dir": model_dir, "scale": 1.0,
        "frame_interval": INTERVAL, "detections_out": tmp_path / "it.parquet", "state_out": None,
    }  # fmt: skip
    windows = cut(BOUNDS)
    with pytest.raises(StateError, match=r"object 'c' was prompted earlier \(row 4\)"):
        annotate_window(window=windows[1], state_in=None, direction="backward", **base)
    forward, _ = annotate(BOUNDS)
    for state, message in ((paths[3], "begins with 7"), (forward[0], "forward|backward|reverse")):
        with pytest.raises(StateError, match=message):
            annotate_window(window=windows[1], state_in=state.with_suffix(".safetensors"), direction="backward", **base)
    assert not (tmp_path / "it.parquet").exists()


def merged(folder, forward, backward, **more):
    merge_windows(
        forward, folder / "all.parquet", backward=backward, agreement_out=folder / "agreement.parquet", **more
    )
    agreement = read_table(folder / "agreement.parquet", AGREEMENT).to_pylist()
    return read_table(folder / "all.parquet", DETECTIONS).to_pylist(), agreement


def test_both_passes_in_a_chain(annotate, tmp_path):
    whole, _ = merged(tmp_path, annotate([0, FRAMES])[0], annotate([0, FRAMES], direction="backward")[0])
    forward, backward = annotate(BOUNDS)[0], annotate(BOUNDS, direction="backward")[0]
    rows, agreement = merged(tmp_path, forward, backward)
    assert [row | {"window": 0} for row in rows] == whole
    frames = {name: list(each) for name, each in spans(rows).items()}
    everywhere = list(range(0, FRAMES, INTERVAL))
    assert frames == {"a": everywhere, "b": [*range(0, 25, 2), *range(32, FRAMES, 2)], "c": everywhere}

    by_pass = {way: {(row["frame"], row["object"]): row for row in rows_of(paths)}
               for way, paths in (("forward", forward), ("backward", backward))}  # fmt: skip
    for row in rows:
        place = (row["frame"], row["object"])
        both = place in by_pass["forward"] and place in by_pass["backward"]
        assert row | {"agreement": None} == by_pass[row["direction"]][place]
        if row["object"] == "a" and 6 <= row["frame"] <= 34:
            assert both
            # 20 is as far from 6 as from 34; prompts themselves are forward.
            assert row["direction"] == ("forward" if row["frame"] <= 20 or row["frame"] == 34 else "backward")
            one, two = (masks.decode(it["mask"], HEIGHT, WIDTH) if it["visible"] else np.zeros((HEIGHT, WIDTH), bool)
                        for it in (by_pass["forward"][place], by_pass["backward"][place]))  # fmt: skip
            expected = pytest.approx(masks.iou(one, two)) if (one | two).any() else None
            assert row["agreement"] == expected
        else:
            assert both == (place in {(12, "b"), (32, "b"), (30, "c")})
    drawn = [row for row in rows if row["object"] == "a" and row["agreement"] is not None]
    of_a = [each for each in agreement if each["object"] == "a"]
    assert sum(each["frames"] for each in of_a) == len(drawn) > 0
    total = sum(each["frames"] * each["mean_iou"] for each in of_a if each["frames"])
    assert total == pytest.approx(sum(row["agreement"] for row in drawn))
    assert {each["kind"] for each in agreement} == {"directions"}
    assert [each["window"] for each in of_a] == [0, 1, 2, 3]


def test_independent_windows_know_their_own_prompts(annotate, tmp_path, video, prompts):
    paths, records = annotate(BOUNDS, continuity="overlap", shared=5)
    assert [each["grid_frames"] for each in records] == [8, 5, 9, 5]
    assert [each["objects"] for each in records] == [["a", "b"], ["b"], ["c", "b"], ["c", "b", "a"]]
    rows, agreement = merged(tmp_path, paths, [], prompts=prompts, index=video[2], overlap_iou=0.5)
    places = [(row["frame"], row["object"]) for row in rows]
    assert len(places) == len(set(places))
    assert spans(rows)["b"] == [*range(12, 21, 2), *range(32, FRAMES, 2)]  # window 1 covers 16 to 20, and b ends at 24
    assert {each["kind"] for each in agreement} <= {"seam"}
    assert "forward" in {row["direction"] for row in rows}


def test_both_passes_of_independent_windows(annotate, tmp_path, video, prompts):
    more = {"continuity": "overlap", "shared": 5}
    forward, backward = annotate(BOUNDS, **more)[0], annotate(BOUNDS, direction="backward", **more)[0]
    rows, agreement = merged(tmp_path, forward, backward, prompts=prompts, index=video[2], overlap_iou=0.5)
    assert len({(row["frame"], row["object"]) for row in rows}) == len(rows)
    assert {"forward", "backward"} == {row["direction"] for row in rows}
    # Backward c would begin at 16, where the window of its prompt does; a is prompted in the first and the last one.
    assert spans(rows)["c"][0] == 16
    assert spans(rows)["a"] == [*range(0, 16, 2), *range(30, FRAMES, 2)]
    assert {each["kind"] for each in agreement} == {"directions", "seam"}


def test_independent_windows_have_no_state(annotate, video, prompts, model_dir, tmp_path):
    base = {
        "video_path": video[0], "index_path": video[1], "prompts": prompts, "model_dir": model_dir, "scale": 1.0,
        "frame_interval": INTERVAL, "detections_out": tmp_path / "it.parquet", "continuity": "overlap",
        "window": cut(BOUNDS, 5)[0],
    }  # fmt: skip
    for states in ({"state_in": tmp_path / "a", "state_out": None}, {"state_in": None, "state_out": tmp_path / "a"}):
        with pytest.raises(StateError, match="independent"):
            annotate_window(**base, **states)


def test_passes_of_other_prompts_are_not_fused(annotate, prompts, tmp_path):
    forward, _ = annotate([0, FRAMES])
    backward, _ = annotate([0, FRAMES], direction="backward", given=prompts[:3])
    with pytest.raises(SchemaError, match="'b' was prompted on frame 32 in one direction only"):
        merged(tmp_path, forward, backward)
    with pytest.raises(SchemaError, match="is no backward pass"):
        merged(tmp_path, forward, forward)
    assert not (tmp_path / "all.parquet").exists()
