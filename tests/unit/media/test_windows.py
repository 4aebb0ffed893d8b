"""Window arithmetic: every frame emitted once, whatever the lengths and timestamps."""

from fractions import Fraction
from itertools import pairwise

import pytest

from longtake.errors import ConfigError, SheetError
from longtake.media.windows import Window, Windows, grid, plan_windows, read_windows


def plan(pts, time_base=Fraction(1, 10), duration=4.0, overlap=1.0, frame_interval=1):
    return plan_windows("v", pts, time_base, duration=duration, overlap=overlap, frame_interval=frame_interval)


def test_windows_by_hand():
    # Ten frames a second, ten seconds: windows of 4 s every 3 s; the third reaches the end, so there is no fourth.
    first, second, third = plan(range(100))
    assert first == Window("v", 0, 0, 40, 0, 30, 0.0, 3.9)
    assert (second.start, second.stop, second.emit_start, second.emit_stop) == (30, 70, 30, 60)
    assert (third.start, third.stop, third.emit_start, third.emit_stop) == (60, 100, 60, 100)


@pytest.mark.parametrize("frames", [1, 2, 39, 40, 41, 70, 71, 100, 399])
@pytest.mark.parametrize(("duration", "overlap"), [(4.0, 1.0), (4.0, 0.0), (0.3, 0.1), (1000.0, 30.0)])
@pytest.mark.parametrize("frame_interval", [1, 7, 30])
def test_every_frame_is_emitted_once(frames, duration, overlap, frame_interval):
    windows = plan(range(frames), duration=duration, overlap=overlap, frame_interval=frame_interval)
    assert [f for w in windows for f in range(w.emit_start, w.emit_stop)] == list(range(frames))
    assert [f for w in windows for f in w.frames(frame_interval)] == list(range(0, frames, frame_interval))
    assert [w.window for w in windows] == list(range(len(windows)))
    for window in windows:
        assert window.frames(frame_interval), "a window without work"
        assert window.start <= window.emit_start < window.emit_stop <= window.stop


def test_neighbours_share_the_overlap():
    windows = plan(range(1000), duration=30.0, overlap=5.0)
    for before, after in pairwise(windows):
        assert before.stop - after.start == 50
        assert before.emit_stop == after.emit_start


def test_time_counts_and_not_the_number_of_frames():
    # A second at 10 frames a second, then a second at 100.
    pts = [*range(0, 1000, 100), *range(1000, 2000, 10)]
    first, second = plan(pts, Fraction(1, 1000), duration=1.0, overlap=0.0)
    assert (first.emit_start, first.emit_stop) == (0, 10)
    assert (second.emit_start, second.emit_stop) == (10, 110)


def test_a_start_offset_does_not_matter():
    shifted = plan([pts + 123_456 for pts in range(100)])
    assert [(w.emit_start, w.emit_stop) for w in shifted] == [(w.emit_start, w.emit_stop) for w in plan(range(100))]
    assert shifted[0].start_s == 0.0


def test_a_gap_in_the_recording_makes_no_empty_window():
    pts = [*range(30), *range(1000, 1030)]
    windows = plan(pts, duration=1.0, overlap=0.0)
    assert len(windows) == 6
    assert [f for w in windows for f in range(w.emit_start, w.emit_stop)] == list(range(60))


def test_a_step_smaller_than_a_frame_makes_no_more_windows_than_frames():
    # One by one, the windows of steps as small would not end.
    windows = plan([*range(100), 10**9], duration=1.0, overlap=1.0 - 1e-9, frame_interval=1)
    assert len(windows) == 101
    assert [f for w in windows for f in range(w.emit_start, w.emit_stop)] == list(range(101))
    assert windows[7] == Window("v", 7, 7, 17, 7, 8, 0.7, 1.6)
    assert plan(range(100), duration=1e-9, overlap=0.0)[-1].emit_start == 99


def test_the_grid_runs_over_the_whole_video():
    assert list(grid(7, 31, 10)) == [10, 20, 30]
    assert list(grid(10, 30, 10)) == [10, 20]


@pytest.mark.parametrize("overlap", [4.0, 5.0, -1.0])
def test_an_overlap_that_never_advances_is_refused(overlap):
    with pytest.raises(ConfigError, match="overlap"):
        plan(range(100), overlap=overlap)


def test_the_table_reads_back(tmp_path):
    path = tmp_path / "windows.tsv"
    path.write_text(
        "video\twindow\tstart\tstop\temit_start\temit_stop\tstart_s\tstop_s\tn_frames\nv\t0\t0\t40\t0\t30\t0.0\t3.9\t30\n"
    )
    assert read_windows(path) == {"v": [Window("v", 0, 0, 40, 0, 30, 0.0, 3.9)]}


@pytest.fixture
def known(tmp_path):
    """One video of two windows, and one that was left out."""
    videos = tmp_path / "videos.tsv"
    videos.write_text('video\tstatus\treason\nreef-a\tok\t\ntorn\tunreadable\tit is "no" video\n')
    return Windows({"reef-a": [Window("reef-a", n, 0, 4, 0, 3, 0.0, 3.9) for n in range(2)]}, videos)


@pytest.mark.parametrize(
    ("video", "number", "why"),
    [
        ("reef-b", 0, "no video 'reef-b' in the plan .*videos.tsv.* Did you mean 'reef-a'"),
        ("torn", 0, "'torn' was left out, since it cannot be read: it is \"no\" video"),
        ("reef-a", 2, "'reef-a' has no window 0002: it is cut into 2, 0000 to 0001"),
    ],
)
def test_there_is_no_such_window_and_why(known, video, number, why):
    assert known.window("reef-a", 1).window == 1
    with pytest.raises(SheetError, match=why):
        known.window(video, number)


def test_that_no_video_is_left_names_the_table_and_a_reason(known):
    said = known.none_readable()
    assert "No video of the sheet can be read" in said
    assert "videos.tsv says why of each of 1; the first: torn: it is" in said
