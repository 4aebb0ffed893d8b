"""Which packets must be decoded to get which frames: known before any decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longtake.media.index import VideoIndex


@dataclass(frozen=True)
class Interval:
    """Decode packets ``first`` (a keyframe) to ``last``, both inclusive, to get ``frames`` (ascending)."""

    first: int
    last: int
    frames: tuple[int, ...]


def start_packet(index: VideoIndex, frame: int, earlier: int = 0) -> int:
    """The keyframe packet from which a frame decodes: the last before it in decode order and not later in time.

    ``earlier`` steps back that many more keyframes.
    """
    packet, pts = index.order[frame], index.pts[frame]
    rank = int(np.searchsorted(index.keys, packet, side="right")) - 1
    # A leading picture of an open GOP follows its keyframe in the file but is shown before it, and
    # refers to the group before.
    while rank > 0 and index.packet_pts[index.keys[rank]] > pts:
        rank -= 1
    return int(index.keys[max(0, rank - earlier)])


def plan_reads(index: VideoIndex, frames: Sequence[int]) -> list[Interval]:
    """Intervals of packets that hold the asked frames, disjoint and ascending.

    Memory: a few numbers a frame asked for.

    Raises
    ------
    FrameUnavailable
        A frame is not in the video.
    ValueError
        The frames do not ascend strictly.
    """
    intervals: list[Interval] = []
    group: list[int] = []
    start = stop = previous = -1
    for frame in map(int, frames):
        if frame <= previous and previous >= 0:
            raise ValueError(f"{index.path}: frames must ascend strictly, but {frame} follows {previous}.")
        index.time_s(frame)  # raises for a frame that does not exist
        previous = frame
        first, last = start_packet(index, frame), int(index.order[frame])
        if group and first > stop:
            intervals.append(Interval(start, stop, tuple(group)))
            group = []
        start, stop = (min(start, first), max(stop, last)) if group else (first, last)
        group.append(frame)
    if group:
        intervals.append(Interval(start, stop, tuple(group)))
    return intervals


def planned_packets(intervals: Sequence[Interval]) -> int:
    """How many packets go through the decoder for a plan, skipped non-reference ones included."""
    return sum(interval.last - interval.first + 1 for interval in intervals)
