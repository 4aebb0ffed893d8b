"""What is no readable local video is refused with a reason, and the probe reports it without raising."""

from __future__ import annotations

import socket
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from longtake.errors import UnreadableVideo
from longtake.media.index import index_video
from longtake.media.probe import probe_video

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
DASH = '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>'
TEXTS = {
    "remote.m3u8": (PLAYLIST.format(target="http://127.0.0.1:9/part.ts"), "playlist"),
    "renamed.mp4": (PLAYLIST.format(target="http://127.0.0.1:9/part.ts"), "playlist"),
    "marked.mp4": ("\ufeff" + PLAYLIST.format(target="https://127.0.0.1:9/part.ts"), "playlist"),
    "local.m3u8": (PLAYLIST.format(target="part.ts"), "playlist"),
    "manifest.mpd": (DASH, "playlist"),
    "list.ffconcat": ("ffconcat version 1.0\nfile part.ts\n", "playlist"),
    "list.txt": ("file 'http://127.0.0.1:9/part.ts'\n", "playlist"),
    "session.sdp": ("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "playlist"),
    "words.mp4": ("not a video at all\n" * 50, "not a video file"),
}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", TEXTS)
def test_playlists_and_texts_are_refused(tmp_path, clip, name):
    (tmp_path / "part.ts").write_bytes(clip("gop12.ts").path.read_bytes())
    text, reason = TEXTS[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    refused(path, reason)


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
def test_the_demuxer_refuses_a_playlist_even_unsniffed(tmp_path, clip, monkeypatch, name):
    """The second line of defence: only demuxers of single files are allowed at all."""
    (tmp_path / "part.ts").write_bytes(clip("gop12.ts").path.read_bytes())
    path = tmp_path / name
    path.write_text(PLAYLIST.format(target="part.ts"))
    monkeypatch.setattr("longtake.media.container.refuse_by_content", lambda path: None)
    refused(path, "not a video file")


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.mp4", "concat:a.ts|b.ts", "/nowhere/a.mp4", "pipe:0"])
def test_what_is_no_file_is_refused(path):
    refused(path, "no such file")


def test_a_folder_without_pictures_is_refused(tmp_path):
    refused(tmp_path, "a folder without pictures")


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path, clip, monkeypatch):
    (tmp_path / "concat:a.ts").write_bytes(clip("gop12.ts").path.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert index_video("concat:a.ts").n_frames == 120


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "empty")


def test_a_picture_is_refused(tmp_path, run_ffmpeg):
    path = tmp_path / "picture.png"
    run_ffmpeg(["-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", str(path)])
    refused(path, "not a video file")


@pytest.mark.parametrize("name", ["old.avi", "renamed.mp4"])
def test_avi_is_refused_with_the_remedy(tmp_path, encode_clip, name):
    avi = encode_clip(tmp_path / "old.avi", frames=5, codec="mpeg4").path.rename(tmp_path / name)
    refused(avi, "Re-encode it once")


@pytest.mark.parametrize("cover", [False, True])
def test_audio_alone_is_refused(tmp_path, run_ffmpeg, cover):
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = AudioFrame.from_ndarray(np.zeros((1, 44100), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if cover:
        picture, covered = tmp_path / "cover.png", tmp_path / "covered.m4a"
        run_ffmpeg(["-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", str(picture)])
        both = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
        run_ffmpeg(["-i", str(path), "-i", str(picture), *both, str(covered)])
        path = covered
    refused(path, "no video stream")


def test_cover_art_does_not_hide_the_video(tmp_path, clip, run_ffmpeg):
    picture, covered = tmp_path / "cover.png", tmp_path / "covered.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "color=red:s=320x320", "-frames:v", "1", str(picture)])
    arguments = ["-i", str(picture), "-i", str(clip("gop12.mp4").path), "-map", "0", "-map", "1", "-c", "copy"]
    run_ffmpeg([*arguments, "-disposition:v:0", "attached_pic", str(covered)])
    index = index_video(covered)
    assert (index.n_frames, index.width) == (120, 128)


def test_packets_without_timestamps_are_refused(tmp_path, clip, run_ffmpeg):
    raw = tmp_path / "raw.h264"
    run_ffmpeg(["-i", str(clip("gop12.mp4").path), "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "h264", str(raw)])
    refused(raw, "")


def test_timestamps_that_start_over_are_refused(tmp_path, clip):
    joined = tmp_path / "joined.ts"
    joined.write_bytes(clip("gop12.ts").path.read_bytes() * 2)
    refused(joined, "start over")


def refused(path, reason):
    with pytest.raises(UnreadableVideo) as caught:
        index_video(path)
    message = str(caught.value)
    assert message.startswith(str(Path(path)))
    assert reason in message
    facts = probe_video(path)
    assert (facts["status"], facts["reason"]) == ("unreadable", message)
