"""Opening a local video file, and nothing else.

A video path may come from anybody's sheet. libavformat would follow a playlist to an address or to
other files, so playlists are refused, only demuxers of single-file containers are allowed, and the
only protocol is ``file``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from longtake.errors import UnreadableVideo
from longtake.media import complaints

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,flv,live_flv,ogg,mxf,nut,ivf,asf,gif,yuv4mpegpipe"
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}

_PLAYLIST_MARKS = (
    b"#EXTM3U",
    b"<MPD",
    b"ffconcat",
    b"[playlist]",
    b"<smil",
    b"#EXTINF",
    b"v=0\r\n",
    b"v=0\n",
)
_SNIFFED_BYTES = 4096


@contextmanager
def open_video(path: Path, stream: int | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video stream of a local file; the container is closed on leaving.

    Parameters
    ----------
    stream
        Which of the file's video streams, counted from 0; default the one that libavformat takes for the main one.

    Raises
    ------
    UnreadableVideo
        The file is missing, empty, a playlist, an AVI, no video container, or holds no video stream, or not that one.
    """
    path = Path(path)
    refuse_by_content(path)
    complaints.listen()
    try:
        # The "file:" prefix keeps a name such as "concat:a.ts" from being taken for a protocol.
        container = av.open(f"file:{path.resolve()}", options=OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise UnreadableVideo(
            f"{path}: not a video file that can be opened ({_reason(error)}). Readable are MP4/MOV, MKV/WebM, "
            "MPEG-TS/PS, FLV, OGG, MXF, ASF; re-encode anything else with `ffmpeg -i IN -c:v libx264 OUT.mp4`."
        ) from error
    try:
        yield container, _video_stream(container, path, stream)
    finally:
        container.close()


def refuse_by_content(path: Path) -> None:
    """Raise UnreadableVideo for what must not reach libavformat, whatever the file is called."""
    if not path.is_file():
        raise UnreadableVideo(
            f"{path}: no such file. Videos are local files; download an address or mount the folder first."
        )
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if not head:
        raise UnreadableVideo(f"{path}: the file is empty (0 bytes). Copy it again.")
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        raise UnreadableVideo(
            f"{path}: AVI holds no timestamps per frame, so frames cannot be found exactly. Re-encode it once, "
            "`ffmpeg -i IN.avi -c:v libx264 -crf 16 OUT.mp4`, and use the new file (a plain remux does not bring "
            "the timestamps back)."
        )
    if _is_playlist(head):
        raise UnreadableVideo(
            f"{path}: a playlist that names other files or addresses, not a video. Only single local files are "
            "read; join the parts first, `ffmpeg -i PLAYLIST -c copy OUT.mkv`, where you trust it."
        )


def _is_playlist(head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(_PLAYLIST_MARKS):
        return True
    if b"\0" in head:
        return False
    return any(mark in head for mark in _PLAYLIST_MARKS[:4]) or b"://" in head


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams of a container; covers, which are pictures attached to sound, are none."""
    return [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]


def _video_stream(container: InputContainer, path: Path, number: int | None) -> VideoStream:
    streams = video_streams(container)
    if not streams:
        kinds = sorted({str(other.type) for other in container.streams}) or ["none"]
        raise UnreadableVideo(f"{path}: no video stream (streams: {', '.join(kinds)}). Name a file that has one.")
    if number is not None and number >= len(streams):
        raise UnreadableVideo(
            f"{path}: it has {len(streams)} video streams, and the sheet asks for number {number}, counted from 0."
        )
    best = container.streams.best("video")
    main = next((each for each in streams if best is not None and each.index == best.index), streams[0])
    stream = main if number is None else streams[number]
    if stream.codec_context is None:
        raise UnreadableVideo(f"{path}: no decoder for its video codec. Re-encode it to H.264 with ffmpeg.")
    # Left at 0 the decoder starts a thread a core, and closing the container may then wait for ever.
    stream.codec_context.thread_count = 1
    return stream


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
