"""The index counts and times frames by what the packets say, and never takes another file's word."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtake.errors import FrameUnavailable, MediaError
from longtake.media.index import DISCARD, HIDDEN, index_video
from longtake.media.index_file import load_index, load_times, save_index
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames


def test_times_and_frames_are_inverse(clip, barcode_name):
    index = index_video(clip(barcode_name).path)
    assert np.all(np.diff(index.pts) > 0)
    for frame in range(index.n_frames):
        assert index.frame_at(index.time_s(frame)) == frame
    for frame in range(index.n_frames - 1):
        middle = (index.time_s(frame) + index.time_s(frame + 1)) / 2
        assert index.frame_at(middle) == frame
    assert index.frame_at(index.duration_s) == index.n_frames - 1


@pytest.mark.parametrize("time_s", [-0.1, 4.2, float("inf"), float("nan")])
def test_a_time_outside_the_video_is_an_error(clip, time_s):
    index = index_video(clip("gop12.mp4").path)
    with pytest.raises(FrameUnavailable):
        index.frame_at(time_s)
    for frame in (-1, 120):
        with pytest.raises(FrameUnavailable, match="0 to 119"):
            index.time_s(frame)


def test_windows_share_the_grid_of_the_whole_video(clip):
    index = index_video(clip("gop60.mp4").path)
    assert index.frames_between(0, 1).tolist() == list(range(30))
    assert index.frames_between(1, 1.1).tolist() == [30, 31, 32]
    first, second = index.frames_between(0, 3, 7), index.frames_between(2, 5, 7)
    assert first.tolist() == [k for k in range(90) if k % 7 == 0]
    assert second.tolist() == [k for k in range(60, 150) if k % 7 == 0]
    assert index.frames_between(100, 200).tolist() == []
    pieces = [index.frames_between(start, start + 0.7, 3) for start in np.arange(0, 7, 0.7)]
    assert np.concatenate(pieces).tolist() == list(range(0, 200, 3))


def test_an_edit_list_hides_frames_but_keeps_the_keyframe_that_decodes_them(clip):
    index = index_video(clip("edited.mp4").path)
    assert index.packet_flags[index.keys[0]] & DISCARD
    assert index.order[0] > index.keys[0]
    assert index.time_s(0) == 0


def test_packets_that_are_never_shown_are_no_frames(clip, barcode):
    index = index_video(clip("hidden_vp8.webm").path)
    assert len(index.packet_pts) > index.n_frames == 120
    hidden = np.flatnonzero(index.packet_flags & HIDDEN)
    # Each precedes the shown packet of the same time.
    assert np.array_equal(index.packet_pts[hidden], index.packet_pts[hidden + 1])
    for frame in np.searchsorted(index.order, hidden).tolist():
        assert [barcode(item.pixels) for item in read_frames(index, [frame])] == [frame]
        assert index.order[frame] in hidden + 1
    assert probe_video(index.path, index)["reason"] == ""


def test_frames_that_no_decoder_can_show_are_not_counted(tmp_path, clip, barcode):
    whole = clip("open_gop.ts").path.read_bytes()
    cut = tmp_path / "front_cut.ts"
    packet = 188
    cut.write_bytes(whole[len(whole) // 2 // packet * packet :])
    index = index_video(cut)
    assert 0 < np.count_nonzero(index.packet_flags & HIDDEN) < 30
    numbers = [barcode(item.pixels) for item in read_frames(index, range(index.n_frames))]
    assert numbers == list(range(numbers[0], 150))
    assert numbers[0] > 30
    assert "cannot be decoded" in probe_video(cut)["reason"]


def test_saved_and_loaded_index_is_the_same(tmp_path, clip, barcode_name):
    source = clip(barcode_name).path
    index = index_video(source)
    save_index(index, tmp_path / "index.parquet")
    loaded = load_index(tmp_path / "index.parquet", source)
    for name in ("packet_pts", "packet_dts", "packet_position", "packet_size", "packet_flags", "pts", "order", "key"):
        assert np.array_equal(getattr(index, name), getattr(loaded, name)), name
        assert getattr(index, name).dtype == getattr(loaded, name).dtype
    assert (loaded.time_base, loaded.facts, loaded.digest) == (index.time_base, index.facts, index.digest)
    times, time_base = load_times(tmp_path / "index.parquet", source)
    assert np.array_equal(times, index.pts)
    assert time_base == index.time_base
    assert [item.name for item in tmp_path.iterdir()] == ["index.parquet"]


def test_the_index_of_another_file_is_refused(tmp_path, clip):
    source = tmp_path / "video.mp4"
    data = bytearray(clip("gop12.mp4").path.read_bytes())
    source.write_bytes(data)
    saved = tmp_path / "index.parquet"
    save_index(index_video(source), saved)
    load_index(saved, source)
    with pytest.raises(MediaError, match="another file"):
        load_index(saved, clip("gop60.mp4").path)
    data[len(data) // 2] ^= 1
    source.write_bytes(data)
    with pytest.raises(MediaError, match="another file"):
        load_index(saved, source)
    with pytest.raises(MediaError, match="another file"):
        load_times(saved, source)
    with pytest.raises(MediaError, match="missing"):
        load_index(saved, tmp_path / "gone.mp4")


def test_what_is_no_index_is_refused(tmp_path, clip):
    source = clip("gop12.mp4").path
    (tmp_path / "text.parquet").write_text("no parquet")
    pq.write_table(pa.table({"pts": [1]}), tmp_path / "other.parquet")
    old = pa.table({"pts": [1]}).replace_schema_metadata({"longtake_video_index": json.dumps({"version": 0})})
    pq.write_table(old, tmp_path / "old.parquet")
    for name in ("text", "other", "old", "absent"):
        with pytest.raises(MediaError, match=f"{name}.parquet"):
            load_index(tmp_path / f"{name}.parquet", source)


def test_probe_states_facts_as_json(clip):
    facts = probe_video(clip("variable.mp4").path)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["status"], facts["frames"], facts["variable_rate"], facts["codec"]) == ("ok", 120, True, "h264")
    assert facts["duration_s"] == pytest.approx((20 * 119 + 400 * 17 + 20) / 1000)
    constant = probe_video(clip("gop250.mkv").path)
    assert (constant["variable_rate"], constant["fps"]) == (False, pytest.approx(30, abs=0.01))
    turned = probe_video(clip("rotated.mp4").path)
    assert (turned["rotation"], turned["width"], turned["height"]) == (90, 96, 128)
    assert (turned["coded_width"], turned["coded_height"]) == (128, 96)


def test_progress_reaches_the_end(clip):
    seen = []
    index = index_video(clip("gop12.mp4").path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (index.source_bytes, index.source_bytes)
