"""Cutting a window of a video into a file of its own, for those who want files.

The analyses never need this: they read the source. The file loses what H.264 at quality 16 loses
(about 42 dB against the source), its audio and its subtitles, and holds 8-bit 4:2:0 pixels; it keeps the frames and
their spacing in time. An odd size gets a black last column or row.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from longtake.errors import FrameUnavailable, MediaError
from longtake.media.container import DEMUXERS
from longtake.media.index import VideoIndex, index_video
from longtake.media.index_file import load_index
from longtake.media.windows import Window
from longtake.store.atomic import atomic_path

_CRF = 16


def extract_window(
    source: str | Path, start_s: float, stop_s: float, out: str | Path, index: VideoIndex | None = None
) -> int:
    """Re-encode the frames with start_s <= time < stop_s to an MP4, whole by rename; exact to the frame.

    Copying packets instead (``-c copy``) would start up to a whole group of pictures early.

    Parameters
    ----------
    source
        A local video.
    start_s, stop_s
        Seconds since the first frame.
    out
        The MP4 to write; its first frame has time 0.
    index
        Of the source where it is at hand.

    Returns
    -------
    int
        Frames in the window.

    Raises
    ------
    FrameUnavailable
        No frame lies in the window.
    MediaError
        ffmpeg failed; the message ends with what it said.
    """
    source, out = Path(source), Path(out)
    index = index_video(source) if index is None else index
    frames = index.frames_between(start_s, stop_s)
    if not len(frames):
        raise FrameUnavailable(f"{source}: no frame between {start_s} s and {stop_s} s; it lasts {index.duration_s} s.")
    with atomic_path(out) as temporary:
        for seek in (True, False):
            try:
                _cut(index, int(frames[0]), int(frames[-1]), temporary, seek)
                found = index_video(temporary).n_frames
            except MediaError:
                if not seek:
                    raise
                continue
            # A seek can land too late in some containers; then the file is read from its start.
            if found == len(frames):
                return found
        raise MediaError(f"{source}: ffmpeg gave {found} frames where the window holds {len(frames)}.")


def write_window(source: Path, index_path: Path, window: Window, out: Path) -> dict[str, int]:
    """Write the frames that a window covers to the MP4 `out`, as `extract_window` does; return how many.

    Raises
    ------
    MediaError
        As `extract_window`; also for a folder of pictures, whose frames are files already.
    """
    index = load_index(index_path, source)
    if source.is_dir():
        raise MediaError(f"{source}: a folder of pictures has its frames as files already. Use those.")
    # Half a tick beyond the last frame, which belongs to the window.
    stop_s = index.time_s(window.stop - 1) + float(index.time_base) / 2
    return {"frames": extract_window(source, index.time_s(window.start), stop_s, out, index)}


def _cut(index: VideoIndex, first: int, last: int, out: Path, seek: bool) -> None:
    start_s = float(index.pts[first] * index.time_base)
    where = {"seek_timestamp": 1, "ss": start_s - 0.5, "noaccurate_seek": None} if seek else {}
    stream = ffmpeg.input(
        f"file:{index.path.resolve()}", protocol_whitelist="file", format_whitelist=DEMUXERS, copyts=None, **where
    )[f"V:{index.facts.stream}"]
    # Bounds in ticks: frames are chosen by timestamp, so variable rates and edit lists come out right.
    stream = stream.filter("select", f"between(pts,{int(index.pts[first])},{int(index.pts[last])})")
    stream = stream.filter("setpts", "PTS-STARTPTS").filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
    command = stream.output(
        str(out),
        format="mp4",
        vcodec="libx264",
        pix_fmt="yuv420p",
        crf=_CRF,
        fps_mode="passthrough",
        vframes=last - first + 1,
    )
    try:
        command.global_args("-v", "error", "-nostdin").run(
            cmd=_binary(), overwrite_output=True, capture_stdout=True, capture_stderr=True
        )
    except ffmpeg.Error as error:
        said = error.stderr.decode(errors="replace").strip()[-500:]
        raise MediaError(f"{index.path}: ffmpeg could not cut frames {first} to {last}: {said}") from error


def _binary() -> str:
    return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
