"""A forward and a backward pass over the same frames made one: each frame from the pass whose prompt is nearer.

A pass drifts as it goes away from its prompt. So on a frame that both passes tracked an object, the pass counts that
came from the nearer prompt: forward the last one before the frame, backward the next one after it, distances in
processed frames; the forward pass in a tie, and so on the prompted frame itself. Where one pass alone tracked the
object, before its first prompt or after its last, that one counts. How far the two agree is kept: on the row as
`agreement`, and summed up in `Agreement`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from longtake import masks
from longtake.errors import SchemaError
from longtake.kinds import Row


@dataclass(slots=True)
class _Sum:
    """Over the frames that count: how many, mean and least IoU, the first and the last."""

    video: str
    frames: int = 0
    mean: float | None = None
    least: float | None = None
    first: int | None = None
    last: int | None = None


class Agreement:
    """How far the two passes agree over each object in each window; six numbers for each."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str], _Sum] = {}

    def add(self, row: Row, iou: float | None) -> None:
        """Take in a frame that both passes tracked; `iou` is None where neither saw the object."""
        found = self._sums.setdefault((row["window"], row["object"]), _Sum(row["video"]))
        if iou is not None:
            found.frames += 1
            found.mean = (found.mean or 0.0) + (iou - (found.mean or 0.0)) / found.frames
            found.least = iou if found.least is None else min(found.least, iou)
            found.first = row["frame"] if found.first is None else found.first
            found.last = row["frame"]

    def rows(self) -> Iterator[Row]:
        """Yield rows of ``AGREEMENT``, by window and object."""
        for (window, name), found in sorted(self._sums.items(), key=itemgetter(0)):
            yield {
                "video": found.video,
                "kind": "directions",
                "window": window,
                "object": name,
                "identity": name,
                "first_frame": found.first,
                "last_frame": found.last,
                "frames": found.frames,
                "mean_iou": found.mean,
                "minimum_iou": found.least,
                "joined": True,
            }


def fuse(
    forward: Iterable[pa.RecordBatch],
    backward: Iterable[pa.RecordBatch],
    prompted: Mapping[str, Sequence[int]],
    agreement: Agreement,
) -> Iterator[list[Row]]:
    """Yield the rows of each frame, in ascending order: the forward pass's objects, then those seen backward alone.

    Memory: one batch of each pass.

    Parameters
    ----------
    forward, backward
        Rows of DETECTIONS of the two passes, each in the order of frames.
    prompted
        The source frames, ascending, on which prompts of an object acted in both passes.
    agreement
        Is told of each row that both passes have.

    Raises
    ------
    SchemaError
        Both passes have a row that does not lie between two prompts.
    """
    passes = heapq.merge(_by_frame(0, forward), _by_frame(1, backward), key=itemgetter(0, 1))
    for _, group in groupby(passes, key=itemgetter(0)):
        found = {way: rows for _, way, rows in group}
        back = {row["object"]: row for row in found.get(1, [])}
        rows = [_chosen(row, back.pop(row["object"], None), prompted, agreement) for row in found.get(0, [])]
        yield rows + list(back.values())


def _by_frame(way: int, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, int, list[Row]]]:
    rows = (row for batch in batches for row in batch.to_pylist())
    for frame, group in groupby(rows, key=itemgetter("frame")):
        yield frame, way, list(group)


def _chosen(ahead: Row, back: Row | None, prompted: Mapping[str, Sequence[int]], agreement: Agreement) -> Row:
    if back is None:
        return ahead
    frame, name = ahead["frame"], ahead["object"]
    acted = prompted.get(name, ())
    following = bisect_left(acted, frame)
    on_it = following < len(acted) and acted[following] == frame
    if not on_it and not 0 < following < len(acted):
        raise SchemaError(
            f"object {name!r} was tracked both ways on frame {frame}, which no two prompts enclose; the passes belong "
            "to different prompts. Rerun this video's windows."
        )
    iou = _iou(ahead, back)
    agreement.add(ahead, iou)
    nearer = ahead if on_it or frame - acted[following - 1] <= acted[following] - frame else back
    return nearer | {"agreement": iou}


def _iou(one: Row, other: Row) -> float | None:
    """Give the IoU of two rows' masks; 0 where one alone sees the object, None where neither does."""
    if not (one["visible"] or other["visible"]):
        return None
    if not (one["visible"] and other["visible"]):
        return 0.0
    return masks.encoded_iou(one["mask"], other["mask"], one["height"], one["width"])
