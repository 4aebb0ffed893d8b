"""Probe and plan: facts about each video, one table of windows, and bad videos left out."""

import csv
import json
import shutil
from fractions import Fraction

import numpy as np
import pytest

from longtake.errors import ConfigError
from longtake.media.cut import plan, probe
from longtake.media.index_file import load_index
from longtake.media.windows import read_windows
from longtake.media.writer import write_video


@pytest.fixture
def videos(tmp_path):
    frames = ((number, np.full((32, 48, 3), number, np.uint8)) for number in range(50))
    write_video(tmp_path / "good.mp4", frames, time_base=Fraction(1, 10), width=48, height=32)
    (tmp_path / "bad.mp4").write_bytes(b"\tno\nvideo" * 99)
    (tmp_path / "empty.mp4").touch()
    names = ["good", "bad", "empty"]
    facts = {
        name: probe(name, str(tmp_path / f"{name}.mp4"), tmp_path / f"{name}.json", tmp_path / f"{name}.parquet")
        for name in names
    }
    return tmp_path, names, facts


def cut(folder, names, **settings):
    options = {"duration": 2.0, "overlap": 0.5, "frame_interval": 3} | settings
    outputs = {"windows_out": folder / "windows.tsv", "videos_out": folder / "videos.tsv"}
    summaries = [folder / f"{name}.json" for name in names]
    indexes = [folder / f"{name}.parquet" for name in names]
    return plan(summaries, indexes, **options, **outputs)


def test_a_bad_video_is_a_fact_and_no_error(videos):
    folder, _, facts = videos
    assert (facts["good"]["status"], facts["good"]["frames"]) == ("ok", 50)
    for name in ("bad", "empty"):
        assert facts[name]["status"] == "unreadable"
        assert facts[name]["reason"]
        assert json.loads((folder / f"{name}.json").read_text())["video"] == name
        assert (folder / f"{name}.parquet").read_bytes() == b""


def test_the_plan_holds_every_window_of_the_readable_videos(videos):
    folder, names, _ = videos
    assert cut(folder, names) == 3
    windows = read_windows(folder / "windows.tsv")
    assert list(windows) == ["good"]
    assert [(w.emit_start, w.emit_stop) for w in windows["good"]] == [(0, 15), (15, 30), (30, 50)]
    with (folder / "windows.tsv").open() as file:
        assert [int(row["n_frames"]) for row in csv.DictReader(file, delimiter="\t")] == [5, 5, 7]


def test_every_video_stands_in_the_table_with_its_reason_on_one_line(videos):
    folder, names, _ = videos
    cut(folder, names)
    with (folder / "videos.tsv").open() as file:
        rows = {row["video"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert list(rows) == names
    assert (rows["good"]["status"], rows["good"]["windows"], rows["good"]["frames"]) == ("ok", "3", "50")
    assert rows["bad"]["status"] == "unreadable"
    assert rows["bad"]["reason"]


def test_no_readable_video_still_makes_a_plan(videos):
    folder, _, _ = videos
    assert cut(folder, ["bad", "empty"]) == 0
    assert read_windows(folder / "windows.tsv") == {}


def test_the_plan_does_not_depend_on_the_order_of_other_videos(videos):
    folder, names, _ = videos
    cut(folder, names)
    before = (folder / "windows.tsv").read_bytes()
    cut(folder, names[::-1])
    assert (folder / "windows.tsv").read_bytes() == before


@pytest.mark.parametrize(("overlap", "words"), [(0.1, "share 1 frames"), (0.0, "share 0 frames")])
def test_independent_windows_must_share_a_processed_frame(videos, overlap, words):
    folder, names, _ = videos
    settings = {"duration": 1.6, "overlap": overlap, "frame_interval": 4}
    assert cut(folder, names, **settings) > 1
    (folder / "windows.tsv").unlink()
    with pytest.raises(ConfigError, match=rf"of video 'good' .*{words}.*Make window_overlap longer"):
        cut(folder, names, independent=True, **settings)
    assert not (folder / "windows.tsv").exists()
    assert cut(folder, names, independent=True, **(settings | {"overlap": 0.4})) > 1


def table(folder):
    with (folder / "videos.tsv").open() as file:
        return {row["video"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_one_video_that_changed_after_its_probe_is_probed_again_and_ends_nothing(videos):
    folder, names, facts = videos
    shutil.copy(folder / "good.mp4", folder / "other.mp4")
    probe("other", str(folder / "other.mp4"), folder / "other.json", folder / "other.parquet", stream=0)
    frames = ((number, np.full((32, 48, 3), number, np.uint8)) for number in range(30))
    write_video(folder / "other.mp4", frames, time_base=Fraction(1, 10), width=48, height=32)
    assert cut(folder, [*names, "other"]) == 3 + 2
    rows = table(folder)
    assert (rows["other"]["status"], rows["other"]["frames"], rows["good"]["frames"]) == ("ok", "30", "50")
    assert rows["other"]["digest"] != rows["good"]["digest"] == facts["good"]["digest"]
    again = json.loads((folder / "other.json").read_text())
    assert (again["frames"], again["asked"]["stream"]) == (30, 0)
    assert load_index(folder / "other.parquet", folder / "other.mp4").n_frames == 30


@pytest.mark.parametrize("damage", ["other.mp4", "other.parquet", "other.json"])
def test_one_damaged_video_index_or_summary_ends_nothing(videos, damage):
    folder, names, _ = videos
    shutil.copy(folder / "good.mp4", folder / "other.mp4")
    probe("other", str(folder / "other.mp4"), folder / "other.json", folder / "other.parquet")
    whole = (folder / damage).read_bytes()
    (folder / damage).write_bytes(whole[: len(whole) // 2])
    count = cut(folder, [*names, "other"])
    rows = table(folder)
    assert rows["good"]["status"] == "ok"
    # What is derived is made anew; what was given is left out, and so is what nobody can say the video of.
    assert (rows["other"]["status"], count) == (("ok", 6) if damage == "other.parquet" else ("unreadable", 3))
    assert (damage in rows["other"]["reason"]) == (damage != "other.parquet")


def test_a_file_that_nobody_foresaw_is_left_out_with_its_reason(videos, monkeypatch):
    folder, _, _ = videos
    monkeypatch.setattr("longtake.media.cut.index_video", lambda *_, **__: 1 / 0)
    found = probe("good", str(folder / "good.mp4"), folder / "good.json", folder / "good.parquet")
    assert found["status"] == "unreadable"
    assert "ZeroDivisionError" in found["reason"]


def test_what_a_reader_should_know_of_a_video_stands_in_the_table(videos):
    folder, names, facts = videos
    cut(folder, names)
    good = table(folder)["good"]
    told = {name: good[name] for name in ("pixel_aspect", "rotation", "stream", "video_streams", "repeated_timestamps")}
    assert told == {
        "pixel_aspect": "1", "rotation": "0", "stream": "0", "video_streams": "1", "repeated_timestamps": "0"
    }  # fmt: skip
    assert good["digest"] == facts["good"]["digest"]
