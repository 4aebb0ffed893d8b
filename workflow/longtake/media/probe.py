"""Facts about a video for the plan and the report; a bad video is a fact, not an error."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from longtake.errors import MediaError
from longtake.media.index import CORRUPT, VideoIndex, index_video

log = logging.getLogger(__name__)


def probe_video(path: str | Path, index: VideoIndex | None = None) -> dict[str, Any]:
    """Summarise a video as a JSON-able mapping; never raises for a bad video.

    Parameters
    ----------
    path
        The video.
    index
        Its index where it is at hand, else the file is indexed.

    Returns
    -------
    dict
        ``status`` ``ok`` or ``unreadable``, ``reason``, ``path``; when ok also ``frames`` (counted),
        ``header_frames`` (claimed), ``duration_s``, ``fps`` (mean), ``variable_rate``, ``width``,
        ``height`` (display), ``rotation``, ``codec`` and more of the stream, ``digest``.
    """
    try:
        index = index_video(path) if index is None else index
    except (MediaError, OSError) as error:
        log.warning("%s: unreadable: %s", path, error)
        return {"path": str(path), "status": "unreadable", "reason": str(error)}
    facts = index.facts
    return {
        "path": str(path),
        "status": "ok",
        "reason": facts.reason,
        "frames": index.n_frames,
        "header_frames": facts.header_frames,
        "packets": len(index.packet_pts),
        "corrupt_packets": int((index.packet_flags & CORRUPT != 0).sum()),
        "keyframes": len(index.keys),
        "duration_s": index.duration_s,
        "fps": index.fps,
        "variable_rate": index.variable_rate,
        "start_pts": int(index.pts[0]),
        "time_base": f"{index.time_base.numerator}/{index.time_base.denominator}",
        "width": index.width,
        "height": index.height,
        "coded_width": facts.coded_width,
        "coded_height": facts.coded_height,
        "pixel_aspect": facts.pixel_aspect,
        "rotation": facts.rotation,
        "mirrored": facts.mirrored,
        "container": facts.container,
        "codec": facts.codec,
        "pixel_format": facts.pixel_format,
        "colour_matrix": facts.colour_matrix,
        "colour_range": facts.colour_range,
        "colour_primaries": facts.colour_primaries,
        "colour_transfer": facts.colour_transfer,
        "stream": facts.stream,
        "video_streams": facts.video_streams,
        "repeated_timestamps": facts.repeated_timestamps,
        "sound_offset_s": facts.sound_offset_s,
        "source_bytes": index.source_bytes,
        "content": index.content,
        "stamp": index.stamp,
        "digest": index.digest,
    }
