"""A window cut to a file holds exactly the window's frames."""

from __future__ import annotations

import pytest

from longtake.errors import FrameUnavailable, UnreadableVideo
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.reader import read_frames
from longtake.media.segment import extract_window, write_window
from longtake.media.windows import Window


@pytest.mark.parametrize("name", ["gop60.mp4", "variable.mp4", "edited.mp4", "gop60.ts", "gop250.mkv", "odd_h264.mp4"])
def test_the_window_is_exact_to_the_frame(tmp_path, clip, barcode, name):
    truth = clip(name)
    index = index_video(truth.path)
    out = tmp_path / "window.mp4"
    count = extract_window(truth.path, index.time_s(41), index.time_s(72), out, index)
    cut = index_video(out)
    assert count == cut.n_frames == 31
    assert [barcode(item.pixels) for item in read_frames(cut, range(31))] == list(truth.numbers[41:72])
    expected = [index.time_s(41 + k) - index.time_s(41) for k in range(31)]
    assert [cut.time_s(k) for k in range(31)] == pytest.approx(expected, abs=0.001)
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_window_and_a_playlist_are_refused(tmp_path, clip):
    with pytest.raises(FrameUnavailable, match="no frame between"):
        extract_window(clip("gop12.mp4").path, 50, 60, tmp_path / "window.mp4")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\nhttp://127.0.0.1:9/part.ts\n")
    with pytest.raises(UnreadableVideo, match="playlist"):
        extract_window(playlist, 0, 1, tmp_path / "window.mp4")


def test_a_window_of_the_plan_is_written_with_its_last_frame(tmp_path, clip, barcode):
    truth, out = clip("variable.mp4"), tmp_path / "window.mp4"
    index = index_video(truth.path)
    save_index(index, tmp_path / "index.parquet")
    stop = index.n_frames
    window = Window("v", 1, stop - 20, stop, stop - 10, stop, index.time_s(stop - 20), index.time_s(stop - 1))
    assert write_window(truth.path, tmp_path / "index.parquet", window, out) == {"frames": 20}
    assert [barcode(item.pixels) for item in read_frames(index_video(out), range(20))] == list(truth.numbers[-20:])
