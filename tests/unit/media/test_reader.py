"""The reader gives the asked frame, whatever the container, and the pixels of a plain decode."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from longtake.errors import FrameUnavailable
from longtake.media.decode import Decoder
from longtake.media.geometry import orientation
from longtake.media.index import KEY, VideoIndex, index_video
from longtake.media.intervals import plan_reads, planned_packets, start_packet
from longtake.media.reader import read_frames


def upright(index: VideoIndex, pixels: np.ndarray) -> np.ndarray:
    """Undo the display rotation, so that the barcode lies where it was painted."""
    return np.rot90(pixels, k=index.rotation // 90)


def selections(n: int) -> list[list[int]]:
    return [list(range(n)), list(range(0, n, 30)), list(range(7, n, 11)), [n - 1], [3, n // 2]]


def test_asked_frames_come_with_their_numbers_and_times(clip, barcode, barcode_name):
    truth = clip(barcode_name)
    index = index_video(truth.path)
    assert index.n_frames == len(truth.numbers)
    for frames in selections(index.n_frames):
        given = list(read_frames(index, frames))
        assert [item.frame for item in given] == frames
        assert [barcode(upright(index, item.pixels)) for item in given] == [truth.numbers[k] for k in frames]
        assert [item.time_s for item in given] == pytest.approx([truth.times[k] for k in frames], abs=0.00051)
        assert not any(item.tainted for item in given)


def plain_decode(index: VideoIndex) -> dict[int, np.ndarray]:
    """Every picture by timestamp, decoded from the start with nothing skipped."""
    pictures = {}
    with av.open(str(index.path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for picture in container.decode(video=0):
            rgb = picture.reformat(
                width=64,
                height=48,
                format="rgb24",
                src_colorspace=Colorspace.ITU601,
                src_color_range=ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )
            pictures[picture.pts] = rgb.to_ndarray()
    return pictures


def test_pixels_are_bitwise_those_of_a_plain_decode(clip, barcode_name):
    index = index_video(clip(barcode_name).path)
    plain = plain_decode(index)
    size = (64, 48) if index.rotation == 0 else (48, 64)
    for frames in selections(index.n_frames):
        for item in read_frames(index, frames, size=size):
            expected = plain[int(index.pts[item.frame])]
            assert np.array_equal(upright(index, item.pixels), expected), item.frame


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("name", ["gop12.mp4", "gop60.ts", "open_gop.mp4"])
def test_threads_change_nothing(clip, name, threads):
    index = index_video(clip(name).path)
    frames = range(1, index.n_frames, 3)
    serial, parallel = read_frames(index, frames), read_frames(index, frames, threads=threads)
    for one, other in zip(serial, parallel, strict=True):
        assert (one.frame, one.time_s, one.tainted) == (other.frame, other.time_s, other.tainted)
        assert np.array_equal(one.pixels, other.pixels)


def test_a_reader_left_early_ends_its_threads(clip):
    index = index_video(clip("gop12.mp4").path)
    frames = read_frames(index, range(index.n_frames), threads=3)
    assert next(frames).frame == 0
    frames.close()


def test_plan_starts_at_the_keyframe_before_and_stops_at_the_target(clip):
    index = index_video(clip("gop12.mp4").path)
    keys = index.keys.tolist()
    for interval in plan_reads(index, [0, 30, 60]):
        assert interval.first in keys
        assert interval.last == index.order[interval.frames[-1]]
        assert interval.last - interval.first < 12
    assert [interval.frames for interval in plan_reads(index, [30, 31, 32])] == [(30, 31, 32)]


def test_leading_pictures_of_an_open_group_start_one_keyframe_earlier(clip):
    index = index_video(clip("open_gop.mp4").path)
    leading = [
        (frame, key)
        for key in index.keys[1:]
        for frame in range(index.n_frames)
        if index.order[frame] > key and index.pts[frame] < index.packet_pts[key]
    ]
    assert leading
    assert all(start_packet(index, frame) < key for frame, key in leading)


def test_work_done_is_work_planned_and_skips_pictures_nobody_refers_to(clip):
    index = index_video(clip("gop250.mp4").path)
    intervals = plan_reads(index, range(0, index.n_frames, 30))
    with Decoder(index) as decoder:
        given = [decoded.frame for interval in intervals for decoded in decoder.decode(interval)]
        assert decoder.packets_decoded == planned_packets(intervals) <= len(index.packet_pts)
        assert decoder.pictures_decoded < 0.75 * decoder.packets_decoded
    assert given == list(range(0, index.n_frames, 30))


@pytest.mark.parametrize("name", ["gop12.mp4", "gop60.ts", "gop250.mkv"])
def test_a_seek_that_lands_too_late_is_noticed(clip, barcode, name):
    truth = clip(name)
    index = index_video(truth.path)
    step = int(np.diff(index.packet_pts[index.keys]).max())
    # Decode times that lie: every seek lands about two groups after where it should.
    late = replace(index, packet_dts=np.minimum(index.packet_pts + 2 * step, index.pts[-1]))
    frames = [5, index.n_frames - 40, index.n_frames - 3]
    assert [barcode(item.pixels) for item in read_frames(late, frames)] == [truth.numbers[k] for k in frames]
    for interval in plan_reads(late, frames):
        with Decoder(late) as decoder:
            assert tuple(decoded.frame for decoded in decoder.decode(interval)) == interval.frames


def with_phantom(index: VideoIndex, after: int) -> tuple[VideoIndex, int]:
    """An index that promises one frame more than the file holds, just after frame ``after``."""
    packet = int(index.order[after])
    pts = (int(index.pts[after]) + int(index.pts[after + 1])) // 2
    columns = {}
    for name, value in {"pts": pts, "dts": pts, "position": -1, "size": 99, "flags": 0}.items():
        columns[f"packet_{name}"] = np.insert(getattr(index, f"packet_{name}"), packet + 1, value)
    return replace(index, **columns), after + 1


def test_a_missing_frame_is_reported_and_never_replaced(clip, barcode):
    truth = clip("gop12.mp4")
    index, phantom = with_phantom(index_video(truth.path), 50)
    wanted = [49, phantom, 80]
    frames = read_frames(index, wanted)
    assert next(frames).frame == 49
    with pytest.raises(FrameUnavailable, match=f"frame {phantom} .*does not decode"):
        next(frames)
    missing = []
    given = list(read_frames(index, wanted, on_missing=lambda frame, reason: missing.append((frame, reason))))
    assert [(item.frame, barcode(item.pixels)) for item in given] == [(49, 49), (80, 79)]
    assert [frame for frame, _ in missing] == [phantom]
    for threads in (1, 2):
        with pytest.raises(FrameUnavailable):
            list(read_frames(index, [10, phantom, 80], threads=threads))


@pytest.mark.parametrize(("frames", "error"), [([3, 3], ValueError), ([4, 2], ValueError), ([120], FrameUnavailable)])
def test_frames_must_exist_and_ascend(clip, frames, error):
    index = index_video(clip("gop12.mp4").path)
    with pytest.raises(error):
        read_frames(index, frames)
    with pytest.raises(FrameUnavailable):
        read_frames(index, [-1])
    with pytest.raises(ValueError, match="scaled to 0 x 4"):
        read_frames(index, [0], size=(0, 4))
    assert list(read_frames(index, [])) == []


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_rotation_is_applied_once(tmp_path, encode_clip, paint, run_ffmpeg, degrees, hflip):
    truth = encode_clip(tmp_path / "turned.mp4", frames=3, rotation=degrees, hflip=hflip)
    index = index_video(truth.path)
    # ffmpeg turns pictures by itself: its PNG is the reference for what people see.
    run_ffmpeg(["-i", str(truth.path), "-frames:v", "1", "-pix_fmt", "rgb24", str(tmp_path / "seen.png")])
    with av.open(str(tmp_path / "seen.png")) as container:
        seen = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    item = next(read_frames(index, [0]))
    assert item.pixels.shape == seen.shape == (index.height, index.width, 3)
    assert np.abs(item.pixels.astype(int) - seen).mean() < 3
    half = next(read_frames(index, [0], size=(index.width // 2, index.height // 2)))
    assert half.pixels.shape == (index.height // 2, index.width // 2, 3)


def test_a_matrix_that_is_no_quarter_turn_is_refused():
    root = round(65536 * 0.7071)
    with pytest.raises(ValueError, match="45"):
        orientation([root, root, 0, -root, root, 0, 0, 0, 1 << 30])


COLOURS = [(200, 30, 40), (30, 180, 60), (40, 50, 210), (235, 200, 30)]
CASES = [
    # size, matrix painted with, tagged, range
    ((1280, 720), Colorspace.ITU709, False, ColorRange.MPEG),
    ((320, 240), Colorspace.ITU601, False, ColorRange.MPEG),
    ((320, 240), Colorspace.ITU709, True, ColorRange.MPEG),
    ((1280, 720), Colorspace.ITU601, True, ColorRange.MPEG),
    ((320, 240), Colorspace.ITU709, True, ColorRange.JPEG),
]


@pytest.mark.parametrize(("size", "matrix", "tagged", "range_"), CASES)
def test_colours_come_back(tmp_path, size, matrix, tagged, range_):
    painted = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for column, colour in enumerate(COLOURS):
        painted[:, column * size[0] // 4 : (column + 1) * size[0] // 4] = colour
    path = tmp_path / "colours.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if tagged:
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range_
        frame = VideoFrame.from_ndarray(painted, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix, src_color_range=ColorRange.JPEG, dst_color_range=range_
        )
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        if not tagged:
            frame.colorspace, frame.color_range = 2, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    index = index_video(path)
    assert (index.facts.colour_matrix == 2) is not tagged
    pixels = next(read_frames(index, [0])).pixels
    for column, colour in enumerate(COLOURS):
        seen = pixels[size[1] // 2, (2 * column + 1) * size[0] // 8]
        assert np.abs(seen.astype(int) - colour).max() <= 3, (colour, seen)


LIBRARY = Path(__file__).resolve().parents[3] / "workflow"
MEASURE = """
import sys
from longtake.media.index import index_video
from longtake.media.reader import read_frames
from longtake.memory.meter import peak_rss_mb
index = index_video(sys.argv[1])
for item in read_frames(index, range(0, int(sys.argv[2])), threads=int(sys.argv[3])):
    pass
print(peak_rss_mb())
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_does_not_grow_with_the_frames_read(tmp_path, encode_clip, threads):
    truth = encode_clip(
        tmp_path / "long.mp4", frames=600, size=(640, 352), gop=30, options={"preset": "ultrafast", "bf": "2"}
    )
    peaks = []
    for frames in (60, 600):
        command = [sys.executable, "-c", MEASURE, str(truth.path), str(frames), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(LIBRARY)})
        peaks.append(float(done.stdout))
    assert peaks[1] <= 1.1 * peaks[0]


def test_every_keyframe_of_the_index_is_a_packet(clip, barcode_name):
    index = index_video(clip(barcode_name).path)
    assert index.keys[0] == 0
    assert np.all(index.packet_flags[index.keys] & KEY)
