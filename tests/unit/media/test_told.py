"""What of a file a reader of the tables should know is told by the probe, by count, before any work."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from longtake.errors import UnreadableVideo
from longtake.media import complaints
from longtake.media.index import index_video
from longtake.media.index_file import load_index, save_index
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames
from longtake.media.segment import extract_window

LIBRARY = Path(__file__).parents[3] / "workflow"


@pytest.fixture
def two_streams(tmp_path, encode_clip, run_ffmpeg):
    """Two cameras in one file: 128 x 96 and 160 x 120 pixels."""
    one, two = (
        encode_clip(tmp_path / "one.mp4", frames=24),
        encode_clip(tmp_path / "two.mp4", frames=36, size=(160, 120)),
    )
    path = tmp_path / "cameras.mkv"
    run_ffmpeg(["-i", str(one.path), "-i", str(two.path), "-map", "0:v", "-map", "1:v", "-c", "copy", str(path)])
    return path


def test_a_second_video_stream_is_told_and_can_be_chosen(two_streams, tmp_path, barcode):
    facts = probe_video(two_streams)
    assert (facts["stream"], facts["video_streams"], facts["frames"], facts["width"]) == (0, 2, 24, 128)
    assert "2 video streams, of which number 0 is taken" in facts["reason"]
    index = index_video(two_streams, stream=1)
    assert (index.facts.stream, index.n_frames, index.width) == (1, 36, 160)
    assert index.digest != index_video(two_streams).digest
    save_index(index, tmp_path / "i.parquet")
    again = load_index(tmp_path / "i.parquet", two_streams)
    found = list(read_frames(again, [5, 30]))
    assert [barcode(frame.pixels[:96, :128]) for frame in found] == [5, 30]
    assert found[0].pixels.shape == (120, 160, 3)
    assert extract_window(two_streams, 0.0, 0.5, tmp_path / "cut.mp4", index) == 15
    assert index_video(tmp_path / "cut.mp4").width == 160
    with pytest.raises(UnreadableVideo, match=r"has 2 video streams, and the sheet asks for number 2"):
        index_video(two_streams, stream=2)


def test_a_cover_is_no_second_stream(clip):
    assert probe_video(clip("sound.mp4").path)["video_streams"] == 1


def test_pictures_that_share_a_timestamp_are_refused_by_count(tmp_path, encode_clip, run_ffmpeg):
    """At 2,000 pictures a second, which Matroska rounds to milliseconds."""
    fine = encode_clip(tmp_path / "fine.mp4", frames=60, time_base=Fraction(1, 2000))
    assert index_video(fine.path).n_frames == 60
    run_ffmpeg(["-i", str(fine.path), "-c", "copy", str(tmp_path / "coarse.mkv")])
    facts = probe_video(tmp_path / "coarse.mkv")
    assert facts["status"] == "unreadable"
    assert "29 of 60 pictures have the timestamp of another" in facts["reason"]
    assert "1/1000 s" in facts["reason"]


def test_a_few_repeated_timestamps_are_left_out_and_told(tmp_path, encode_clip):
    """A recorder's slip: frame 50 of 200 comes at the time of frame 49."""
    source = encode_clip(tmp_path / "even.mkv", frames=200, options={"bf": "0"})
    path = tmp_path / "slip.mkv"
    with av.open(str(source.path)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        last = None
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if not packet.size:
                continue
            if number == 50:
                packet.pts, packet.dts = last
            last = packet.pts, packet.dts
            packet.stream = stream
            new.mux(packet)
    facts = probe_video(path)
    assert (facts["status"], facts["frames"], facts["repeated_timestamps"]) == ("ok", 199, 1)
    assert "1 of 200 pictures have the timestamp of another and are left out" in facts["reason"]


@pytest.mark.parametrize(("sound_s", "told"), [(-0.5, "0.500 s before"), (0.75, "0.750 s after"), (0.0, "")])
def test_sound_that_does_not_start_with_the_picture_is_told(tmp_path, clip, run_ffmpeg, sound_s, told):
    path = tmp_path / "sound.mkv"
    delay = ["-itsoffset", str(abs(sound_s))]
    picture, sound = ["-i", str(clip("gop60.mp4").path)], ["-f", "lavfi", "-t", "3", "-i", "sine=frequency=300"]
    inputs = [*delay, *picture, *sound] if sound_s < 0 else [*picture, *delay, *sound]
    run_ffmpeg([*inputs, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_s16le", str(path)])
    facts = probe_video(path)
    assert facts["sound_offset_s"] == pytest.approx(sound_s, abs=0.03)
    assert (told in facts["reason"]) if told else facts["reason"] == ""


CODECS = {
    "libx264.ts": {},
    "libx264.mkv": {},
    "libx264.mp4": {},
    "libx265.ts": {"x265-params": "log-level=none", "preset": "ultrafast"},
    "mpeg2video.ts": {},
    "libvpx.mkv": {"deadline": "realtime"},
    "libvpx-vp9.mkv": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1.mkv": {"preset": "12"},
}


@pytest.mark.parametrize("name", CODECS)
def test_a_size_that_changes_in_the_middle_is_found_before_any_work(tmp_path, encode_clip, run_ffmpeg, name):
    codec, suffix = name.split(".")
    sizes = {"a": (128, 96), "b": (160, 120)}
    for part, size in sizes.items():
        encode_clip(tmp_path / f"{part}.{suffix}", codec=codec, frames=24, size=size, options=CODECS[name])
        assert probe_video(tmp_path / f"{part}.{suffix}")["reason"] == ""
    (tmp_path / "list.txt").write_text("".join(f"file '{tmp_path / part}.{suffix}'\n" for part in sizes))
    joined = tmp_path / f"joined.{suffix}"
    run_ffmpeg(["-f", "concat", "-safe", "0", "-i", str(tmp_path / "list.txt"), "-c", "copy", str(joined)])
    facts = probe_video(joined)
    assert facts["status"] == "unreadable"
    assert "changes from 128 x 96 to 160 x 120 (from 0.8" in facts["reason"]
    assert "2 keyframes are of another size" in facts["reason"]


def test_the_same_pictures_in_two_kinds_are_refused_by_name(tmp_path):
    for number in range(3):
        for ending in ("jpg", "png"):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"frame_{number}.{ending}")
    with pytest.raises(UnreadableVideo, match=r"3 of 6 pictures have the name of another.*frame_0.jpg and frame_0.png"):
        index_video(tmp_path)


def test_a_pipe_among_the_pictures_is_refused_and_not_waited_for(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.png")
    os.mkfifo(tmp_path / "1.png")
    facts = probe_video(tmp_path)
    assert facts["status"] == "unreadable"
    assert "1.png: named as a picture, but no regular file" in facts["reason"]
    os.mkfifo(tmp_path / "video.mp4")
    assert "no such file" in probe_video(tmp_path / "video.mp4")["reason"]


def test_what_libav_says_of_a_broken_file_is_bounded_counted_and_off_the_terminal(tmp_path, encode_clip):
    """One wrong byte in its header, and libav complains four times of each picture, while it opens the file."""
    path = encode_clip(tmp_path / "broken.mp4", frames=120).path
    data = bytearray(path.read_bytes())
    sequence = data.find(b"avcC") + 12
    data[sequence + 4] ^= 0xFF
    path.write_bytes(data)
    code = (
        "import logging, sys; logging.basicConfig(filename=sys.argv[2], level=logging.INFO)\n"
        "from longtake.media.probe import probe_video\n"
        "from longtake.media import complaints\n"
        "print(probe_video(sys.argv[1])['status'], complaints.counted())"
    )
    log = tmp_path / "job.log"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(log)],
        cwd=LIBRARY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    status, count = done.stdout.split()
    assert (status, int(count) > 100) == ("unreadable", True)
    assert done.stderr == "", "nothing of it on the terminal"
    kept = [line for line in log.read_text().splitlines() if "libav" in line]
    assert len(kept) <= complaints.TOLD_MESSAGES + 3
    assert any("100 messages by now" in line for line in kept)
