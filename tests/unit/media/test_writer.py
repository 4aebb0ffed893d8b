"""Written video comes back with its timestamps and its colours, whole or not at all."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from longtake.errors import MediaError
from longtake.media.index import index_video
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames
from longtake.media.writer import _picture, write_video


def pictures(paint, stamps, size=(128, 96)):
    return ((pts, paint(number, *size)) for number, pts in enumerate(stamps))


STAMPS = {
    "even": (Fraction(1, 30), list(range(70))),
    "uneven": (Fraction(1, 1000), [17 * k + 200 * (k // 9) for k in range(70)]),
    "late": (Fraction(1, 90000), [900_000 + 3003 * k for k in range(70)]),
    "ntsc": (Fraction(1001, 30000), list(range(5, 75))),
}


@pytest.mark.parametrize("name", STAMPS)
def test_timestamps_survive(tmp_path, paint, barcode, name):
    time_base, stamps = STAMPS[name]
    path = tmp_path / "out.mp4"
    assert write_video(path, pictures(paint, stamps), time_base=time_base, width=128, height=96) == 70
    index = index_video(path)
    times = [float((pts - stamps[0]) * time_base) for pts in stamps]
    assert [index.time_s(frame) for frame in range(index.n_frames)] == pytest.approx(times, abs=1e-4)
    assert [barcode(item.pixels) for item in read_frames(index, range(70))] == list(range(70))


def test_source_timestamps_are_kept_to_the_tick(tmp_path, clip, paint):
    source = index_video(clip("variable.mp4").path)
    path = tmp_path / "overlay.mp4"
    write_video(path, pictures(paint, source.pts.tolist()), time_base=source.time_base, width=128, height=96)
    written = index_video(path)
    assert [pts * written.time_base for pts in written.pts.tolist()] == [
        pts * source.time_base for pts in source.pts.tolist()
    ]


@pytest.mark.parametrize("size", [(128, 96), (640, 360), (1280, 720)])
def test_colours_survive_at_every_size(tmp_path, size):
    colour = np.array([200, 60, 30])
    frame = np.broadcast_to(colour.astype(np.uint8), (size[1], size[0], 3))
    path = tmp_path / "colour.mp4"
    write_video(path, [(0, frame), (1, frame)], time_base=Fraction(1, 25), width=size[0], height=size[1])
    facts = probe_video(path)
    assert [facts[f"colour_{name}"] for name in ("matrix", "primaries", "transfer", "range")] == [1, 1, 1, 1]
    seen = next(read_frames(index_video(path), [1])).pixels
    assert np.abs(seen.astype(int) - colour).max() <= 3


@pytest.mark.parametrize(("count", "end", "last"), [(10, None, 30), (10, 275, 5), (9, 275, 35), (1, 50, 50)])
def test_the_last_frame_is_shown_as_long_as_it_is_asked(tmp_path, paint, count, end, last):
    path = tmp_path / "steps.mp4"
    frames = ((30 * number, paint(number)) for number in range(count))
    write_video(path, frames, time_base=Fraction(1, 30), width=128, height=96, end=end)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packet = max((each for each in container.demux(stream) if each.size), key=lambda each: each.pts)
        assert packet.duration * stream.time_base == Fraction(last, 30)
        assert stream.duration * stream.time_base == Fraction(30 * (count - 1) + last, 30)


def test_odd_sizes_repeat_the_last_column_and_row(tmp_path, paint, barcode):
    path = tmp_path / "odd.mp4"
    write_video(path, pictures(paint, range(20), (129, 97)), time_base=Fraction(1, 30), width=129, height=97)
    index = index_video(path)
    assert (index.width, index.height) == (130, 98)
    assert [barcode(item.pixels[:97, :129]) for item in read_frames(index, range(20))] == list(range(20))
    padded = _picture(path, paint(3, 129, 97), 129, 97)
    assert (padded.width, padded.height) == (130, 98)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "no frames"),
        ([(0, np.zeros((96, 128, 3), np.uint8)), (0, np.zeros((96, 128, 3), np.uint8))], "must ascend"),
        ([(0, np.zeros((96, 127, 3), np.uint8))], "declared"),
        ([(0, np.zeros((96, 128, 3), np.float32))], "declared"),
    ],
)
def test_an_error_leaves_no_file(tmp_path, frames, reason):
    with pytest.raises(MediaError, match=reason):
        write_video(tmp_path / "bad.mp4", frames, time_base=Fraction(1, 30), width=128, height=96)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_leaves_the_old_file(tmp_path, paint):
    path = tmp_path / "kept.mp4"
    write_video(path, pictures(paint, range(5)), time_base=Fraction(1, 30), width=128, height=96)
    before = path.read_bytes()

    def failing():
        yield from pictures(paint, range(120))
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        write_video(path, failing(), time_base=Fraction(1, 30), width=128, height=96)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
