"""Window jobs on real files: cut or uncut, the rows are those of one stock session over the whole video."""

import json
import runpy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from longtake import job, masks
from longtake.annotate.geometry import model_frame
from longtake.annotate.merge import merge_windows
from longtake.annotate.session import ModelPrompt, Prediction
from longtake.annotate.window import annotate_window
from longtake.errors import SheetError, StateError
from longtake.job import Job
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

WIDTH, HEIGHT, FRAMES = 96, 56, 70


@pytest.fixture(scope="module")
def video(make_video):
    return make_video("pond", FRAMES, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def prompts(prompt):
    return [
        prompt("a", 0, (8, 8, 40, 40), row=2),
        prompt("b", 2, (30, 4, 90, 50), row=3, until_s=4.0),
        prompt("c", 31, (50, 20, 120, 44), row=4, label="eel"),
        prompt("a", 45, (20, 8, 60, 40), row=5),
    ]


def cut(bounds):
    return [
        Window("pond", number, start, stop, start, stop, start / 10, stop / 10)
        for number, (start, stop) in enumerate(pairwise(bounds))
    ]


def run(folder, video, prompts, model_dir, bounds, *, scale=1.0, frame_interval=1, **more):
    """Run the windows in order, each from the state of the one before; give the merged rows and the records."""
    path, index_path, _ = video
    folder.mkdir(exist_ok=True)
    records, state = [], None
    for window in cut(bounds):
        records.append(
            annotate_window(
                video_path=path,
                index_path=index_path,
                window=window,
                prompts=prompts,
                model_dir=model_dir,
                scale=scale,
                frame_interval=frame_interval,
                state_in=state,
                detections_out=folder / f"{window.window}.parquet",
                state_out=folder / f"{window.window}.safetensors",
                **more,
            )
        )
        state = folder / f"{window.window}.safetensors"
    merge_windows([folder / f"{number}.parquet" for number in range(len(records))], folder / "all.parquet")
    return read_table(folder / "all.parquet", DETECTIONS).to_pylist(), records


def expected_rows(video, stock, tracker, boxes, ends, scale, frame_interval):
    """The same by plain means: all frames, one stock session, whole-frame masks. Gives {(frame, object): ...}."""
    index = video[2]
    size = (round(index.width * scale), round(index.height * scale))
    sources = list(range(0, index.n_frames, frame_interval))
    pixels = torch.stack(
        [model_frame(frame.pixels, tracker.preprocessing) for frame in read_frames(index, sources, size=size)]
    )
    scaled = {at: {name: in_square(box, index) for name, box in per_object.items()} for at, per_object in boxes.items()}
    found = {}
    for (at, name), (logits, score) in stock(tracker, pixels, scaled, ends).items():
        whole = functional.interpolate(logits[None, None], (index.height, index.width), mode="bilinear")[0, 0]
        found[at * frame_interval, name] = (whole.numpy(), score)
    return found


def in_square(box, index):
    corners = torch.tensor(box, dtype=torch.float32).view(2, 2)
    corners[:, 0] *= 64 / index.width
    corners[:, 1] *= 64 / index.height
    return ModelPrompt(corners, torch.tensor([2, 3], dtype=torch.int32))


BOUNDS = {"uncut": [0, FRAMES], "that do not divide": [0, 27, 31, 54, 55, FRAMES], "halves": [0, 35, FRAMES]}


@pytest.mark.parametrize(("scale", "frame_interval"), [(1.0, 2), (0.5, 3)])
def test_rows_equal_one_stock_session(video, prompts, model_dir, tracker, stock, tmp_path, scale, frame_interval):
    begin_b, begin_c, again_a = {2: (1, 15, 22), 3: (1, 10, 15)}[frame_interval]  # nearest to 2, 31 and 45
    boxes = {
        0: {"a": (8, 8, 40, 40)},
        begin_b: {"b": (30, 4, 90, 50)},
        begin_c: {"c": (50, 20, 96, 44)},
        again_a: {"a": (20, 8, 60, 40)},
    }
    expected = expected_rows(video, stock, tracker, boxes, {"b": 40 // frame_interval}, scale, frame_interval)
    for name, bounds in BOUNDS.items():
        rows, _ = run(tmp_path / name, video, prompts, model_dir, bounds, scale=scale, frame_interval=frame_interval)
        assert {(row["frame"], row["object"]) for row in rows} == expected.keys()
        for row in rows:
            whole, score = expected[row["frame"], row["object"]]
            assert row["visible"] == (score > 0 and (whole > 0).any())
            assert row["score"] == pytest.approx(1 / (1 + np.exp(-score)), rel=1e-6)
            if row["visible"]:
                mask = masks.decode(row["mask"], HEIGHT, WIDTH)
                decided = np.abs(whole) > 1e-3  # of logits up to a hundred: all but their rounding
                assert np.array_equal(mask[decided], whole[decided] > 0)
                assert np.count_nonzero(~decided) <= 3
                assert (row["x_min"], row["y_min"], row["x_max"], row["y_max"]) == masks.box(mask)


def test_cut_and_uncut_are_the_same_rows(video, prompts, model_dir, tmp_path):
    uncut, _ = run(tmp_path / "uncut", video, prompts, model_dir, BOUNDS["uncut"])
    cut_up, records = run(tmp_path / "cut", video, prompts, model_dir, BOUNDS["that do not divide"])
    assert [row | {"window": 0} for row in cut_up] == uncut
    assert {row["window"] for row in cut_up} == {0, 1, 2, 3, 4}
    assert sum(record["rows"] for record in records) == len(cut_up)
    assert any(row["visible"] for row in uncut)
    assert not all(row["visible"] for row in uncut)


@pytest.mark.parametrize(("planned", "followed"), [("chunk=2", 2), ("chunk=8", 4), ("rung=0", 4)])
def test_a_job_follows_no_more_at_a_time_than_the_plan_says(tmp_path, monkeypatch, planned, followed):
    """The script itself, up to the call."""
    calls = []
    monkeypatch.setattr(Job, "survive", lambda self, work, ladder, **arguments: calls.append(arguments))
    script = Path(job.__file__).parents[1] / "scripts/annotate_window.py"
    options = {"scale": 0.5, "frame_interval": 5, "object_batch": 4}
    given = {"window": vars(cut((0, 10))[0]), "prompts": [], "model": "m", "direction": "forward", "force_cpu": True}
    snakemake = SimpleNamespace(
        rule="annotate_window",
        wildcards={},
        log=[str(tmp_path / "it.log")],
        input=SimpleNamespace(video="v.mp4", index="v.parquet", state=[]),
        output=SimpleNamespace(detections="d.parquet", state=[]),
        params=SimpleNamespace(**given, options=options),
        resources={"plan": planned},
        threads=1,
        scriptdir=str(script.parent),
    )
    runpy.run_path(str(script), {"snakemake": snakemake})
    (arguments,) = calls
    assert arguments["object_batch"] == followed
    assert (arguments["scale"], arguments["frame_interval"]) == (0.5, 5)


def test_columns_and_record(video, prompts, model_dir, tmp_path):
    rows, records = run(tmp_path / "it", video, prompts, model_dir, BOUNDS["halves"])
    first = rows[0]
    assert (first["video"], first["object"], first["label"], first["frame"]) == ("pond", "a", "fish", 0)
    assert (first["width"], first["height"], first["status"], first["prompted"]) == (WIDTH, HEIGHT, "ok", True)
    assert rows[-1]["time_s"] == pytest.approx(6.9)
    assert {row["label"] for row in rows if row["object"] == "c"} == {"eel"}
    assert max(row["frame"] for row in rows if row["object"] == "b") == 40
    prompted = [(row["frame"], row["object"]) for row in rows if row["prompted"]]
    assert prompted == [(0, "a"), (2, "b"), (31, "c"), (45, "a")]
    json.dumps(records, allow_nan=False)
    assert [record["status"] for record in records] == ["ok", "ok"]
    assert [entry["row"] for record in records for entry in record["prompts"]] == [2, 3, 4, 5]
    assert records[0]["objects_handed_over"] == ["a", "b", "c"]
    assert records[1]["objects_handed_over"] == []  # the video is over
    drawn = next(row for row in rows if row["frame"] == 31 and row["object"] == "c")
    entry = records[0]["prompts"][2]
    assert entry["clipped"]
    assert entry["box"] == [50, 20, 96, 44]
    assert entry["mask_area"] == masks.area(drawn["mask"], HEIGHT, WIDTH)
    box = (drawn["x_min"], drawn["y_min"], drawn["x_max"], drawn["y_max"])
    assert entry["box_iou"] == pytest.approx(masks.box_iou(box, (50, 20, 96, 44)))


def test_a_window_run_again_from_its_state_gives_the_same_bytes(video, prompts, model_dir, tmp_path):
    run(tmp_path / "first", video, prompts, model_dir, BOUNDS["that do not divide"])
    again = tmp_path / "again"
    again.mkdir()
    annotate_window(
        video_path=video[0],
        index_path=video[1],
        window=cut(BOUNDS["that do not divide"])[3],
        prompts=prompts,
        model_dir=model_dir,
        scale=1.0,
        frame_interval=1,
        state_in=tmp_path / "first" / "2.safetensors",
        detections_out=again / "3.parquet",
        state_out=again / "3.safetensors",
    )
    for name in ("3.parquet", "3.safetensors"):
        assert (again / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_windows_without_any_object_do_no_work(video, prompt, model_dir, tmp_path):
    late = [prompt("a", 40, row=2, until_s=4.5)]
    rows, records = run(tmp_path / "it", video, late, model_dir, [0, 20, 30, 50, FRAMES])
    assert [record["tracked_frames"] for record in records] == [0, 0, 6, 0]
    assert [row["frame"] for row in rows] == [40, 41, 42, 43, 44, 45]
    assert pq.read_table(tmp_path / "it" / "0.parquet").num_rows == 0


def test_no_prompts_at_all(video, model_dir, tmp_path):
    rows, records = run(tmp_path / "it", video, [], model_dir, [0, 35, FRAMES])
    assert rows == []
    assert [record["status"] for record in records] == ["ok", "ok"]


def test_progress_counts_frames(video, prompts, model_dir, tmp_path):
    seen = []
    run(tmp_path / "it", video, prompts, model_dir, [0, FRAMES], frame_interval=7, progress=lambda *at: seen.append(at))
    assert seen == [(done, 10) for done in range(1, 11)]


def window_job(folder, **changed):
    arguments = {
        "window": cut([0, 35, FRAMES])[1],
        "scale": 1.0,
        "frame_interval": 5,
        "state_in": folder / "0.safetensors",
        "detections_out": folder / "next.parquet",
        "state_out": folder / "next.safetensors",
    }
    return annotate_window(**(arguments | changed))


def test_a_state_of_another_run_is_refused_by_name(
    video, make_video, prompts, prompt, model_dir, other_model_dir, tmp_path
):
    run(tmp_path, video, prompts, model_dir, [0, 35, FRAMES], frame_interval=5)
    other_video = make_video("lake", FRAMES - 1, WIDTH, HEIGHT)
    base = {"video_path": video[0], "index_path": video[1], "prompts": prompts, "model_dir": model_dir}
    cases = {
        "another model": {"model_dir": other_model_dir},
        "another video": {"video_path": other_video[0], "index_path": other_video[1]},
        "another decoded size": {"scale": 0.5},
        "another frame_interval": {"frame_interval": 7},
        "another precision": {"precision": "bfloat16"},
        "other prompts before grid frame 7": {"prompts": [prompt("a", 0, (9, 8, 40, 40)), *prompts[1:]]},
        "this window begins with 0": {"window": cut([0, 35, FRAMES])[0]},
    }
    for message, changed in cases.items():
        with pytest.raises(StateError, match=message):
            window_job(tmp_path, **(base | changed))
    assert not (tmp_path / "next.parquet").exists()
    later = [*prompts, prompt("late", 60, row=9)]
    assert "late" in window_job(tmp_path, **(base | {"prompts": later}))["objects"]


def test_a_missing_state_is_no_silent_fresh_start(video, prompts, model_dir, tmp_path):
    with pytest.raises(StateError, match=r"object 'a' was prompted earlier \(row 2\) and would be lost"):
        window_job(
            tmp_path, video_path=video[0], index_path=video[1], prompts=prompts, model_dir=model_dir, state_in=None
        )


def test_a_box_outside_the_frame_writes_nothing(video, prompt, model_dir, tmp_path):
    outside = [prompt("a", 40, (200, 8, 240, 40))]
    with pytest.raises(SheetError, match=r"row 2: .* outside the frame of 96 x 56"):
        window_job(
            tmp_path, video_path=video[0], index_path=video[1], prompts=outside, model_dir=model_dir, state_in=None
        )
    assert list(tmp_path.iterdir()) == []


def test_a_killed_job_leaves_nothing_half_written(video, prompts, model_dir, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        window_job(
            tmp_path,
            video_path=video[0],
            index_path=video[1],
            prompts=[prompts[3]],
            model_dir=model_dir,
            state_in=None,
            progress=stop,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_planted_logits_land_in_source_pixels(video, prompt, model_dir, tmp_path, monkeypatch, scale):
    """Columns 4-7 and rows 4-7 of a 16 x 16 logit map are columns 24-47 and rows 14-27 of 96 x 56, at any scale."""
    logits = np.full((16, 16), -1, dtype=np.float32)
    logits[4:8, 4:8] = 1
    given = {}

    def planted(tracker, session, frame, pixels, boxes, reverse):
        given.update(boxes)
        assert pixels.shape == (3, 64, 64)
        return {"a": Prediction(logits, 2.0)}

    monkeypatch.setattr("longtake.annotate.window.track", planted)
    prompts = [prompt("a", 0, (24, 14, 48, 28))]
    rows, records = run(tmp_path / "it", video, prompts, model_dir, [0, FRAMES], scale=scale, frame_interval=30)
    assert given["a"].points.tolist() == [[16, 16], [32, 32]]
    for row in rows:
        assert (row["x_min"], row["y_min"], row["x_max"], row["y_max"]) == (24, 14, 48, 28)
        mask = masks.decode(row["mask"], HEIGHT, WIDTH)
        assert mask[16:26, 26:46].all()
        assert masks.box(mask) == (24, 14, 48, 28)
    assert records[0]["prompts"][0]["box_iou"] == 1.0


def test_tainted_frames_are_marked(video, prompts, model_dir, tmp_path, monkeypatch):
    from dataclasses import replace

    def tainted(*args, **kwargs):
        for frame in read_frames(*args, **kwargs):
            yield replace(frame, tainted=frame.frame >= 20)

    monkeypatch.setattr("longtake.annotate.passes.read_frames", tainted)
    rows, records = run(tmp_path / "it", video, prompts, model_dir, [0, FRAMES], frame_interval=5)
    assert {row["status"] for row in rows if row["frame"] < 20} == {"ok"}
    assert {row["status"] for row in rows if row["frame"] >= 20} == {"tainted"}
    assert records[0]["status"] == "approximate"
    assert records[0]["reason"] == "10 frames lie behind a decoding error"
