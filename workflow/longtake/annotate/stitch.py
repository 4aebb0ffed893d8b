"""Windows that were annotated independently, joined into one: whose track is whose, and every frame once.

Neighbouring windows share frames. There the same animals were drawn twice, and by that the tracks of the two windows
are told to be one identity or not (`longtake.annotate.seams`); names then spread over the joined tracks
(`longtake.annotate.identities`). The result depends on the tables alone, not on the order in which they were made.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa

from longtake.annotate.identities import settle_names
from longtake.annotate.seams import Match, Row, Seam, Track
from longtake.errors import SchemaError

log = logging.getLogger(__name__)

# Rows handed on at a time; about half a kilobyte each.
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class WindowRows:
    """The detections of one window: all frames that it covers, in order.

    `start` is the first source frame that it covers, and no row lies before it. `scan` gives the rows (columns of
    `longtake.store.schemas.DETECTIONS`) from the beginning each time it is called; it is called twice.
    """

    window: int
    start: int
    scan: Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Stitched:
    """What stitching gives.

    `batches` yields rows of DETECTIONS when it is iterated, by frame, and by identity within a frame; `agreement` are
    the rows of AGREEMENT; `names` tells of every track of every window which identity it is, None where it was dropped.
    """

    batches: Iterator[list[Row]]
    agreement: list[Row]
    names: Mapping[Track, str | None]


def stitch(
    windows: Sequence[WindowRows], *, prompted: Collection[str], overlap_iou: float, keep_unjoined: bool
) -> Stitched:
    """Join the windows of one video.

    The tables are read twice: first the identities are settled over all seams, since a prompt in a late window may
    name what earlier windows only found; then `Stitched.batches` gives the rows.

    On a frame that several windows cover, an identity has the latest window's row, or an earlier one's where the later
    has none. Where a seed bears the name of an object that is prompted in the same window, the seed speaks until the
    prompt acts, and from then on the prompted track alone. Labels follow the identity.

    Memory: one batch of each window open at a time (those that share a frame, and the next), the names of all tracks,
    and what `Seam` keeps of the shared frames, which is no mask.

    Parameters
    ----------
    windows
        All windows of the video, in order.
    prompted
        The ids that prompts gave. Every other id is a window's own, and unlike those of all other windows.
    overlap_iou
        Tracks whose mean IoU on the shared frames is lower are not joined; over 0.
    keep_unjoined
        Whether tracks that are joined to no prompted object are kept under an id of their own, or dropped.

    Raises
    ------
    SchemaError
        Rows are out of order or stand twice, lie before their window, or an id that no prompt gave is found in two
        windows.
    """
    first = _read(windows, frozenset(prompted))
    linked = [(seam, seam.settle(overlap_iou)) for seam in first.seams]
    names = settle_names(first.labels, linked, first.prompted, overlap_iou)
    kept = {track: name if keep_unjoined or name in first.prompted else None for track, name in names.items()}
    agreement = [_agreement(first.video, seam, match, names, kept) for seam, matches in linked for match in matches]
    _warn(agreement, first.prompted, overlap_iou)
    return Stitched(_batches(_emit(windows, first, kept)), agreement, kept)


@dataclass
class _FirstPass:
    """What the first reading of all windows finds: the tracks with their labels, and the seams."""

    seams: list[Seam]
    prompted: frozenset[str]
    video: str = ""
    labels: dict[Track, str] = field(default_factory=dict)
    begins: dict[Track, int] = field(default_factory=dict)


def _read(windows: Sequence[WindowRows], prompted: frozenset[str]) -> _FirstPass:
    seams = [Seam(one.window, two.window, prompted) for one, two in pairwise(windows)]
    at = {seam.earlier: seam for seam in seams}
    first = _FirstPass(seams, prompted)
    owner: dict[str, int] = {}
    for frame, found in _in_step(windows):
        for window, parts in found.items():
            for name, label in _named(parts, frame, window):
                if name not in prompted and owner.setdefault(name, window) != window:
                    raise SchemaError(
                        f"object {name!r} is in windows {owner[name]} and {window}, but no prompt names it; ids of "
                        "seeds must differ between windows. Rerun this video's windows."
                    )
                first.labels.setdefault((window, name), label)
                first.begins.setdefault((window, name), frame)
            first.video = first.video or parts[0].column("video")[0].as_py()
        if len(found) > 1:
            rows = {window: _rows(parts) for window, parts in found.items()}
            for window in found:
                seam = at.get(window)
                if seam is not None and seam.later in rows:
                    seam.add(frame, rows[window], rows[seam.later])
    return first


def _named(parts: Sequence[pa.RecordBatch], frame: int, window: int) -> list[tuple[str, str]]:
    columns = [[value for part in parts for value in part.column(name).to_pylist()] for name in ("object", "label")]
    if len(set(columns[0])) < len(columns[0]):
        raise SchemaError(f"window {window}: an object stands twice in frame {frame}; delete its table and rerun it.")
    return list(zip(*columns, strict=True))


def _emit(windows: Sequence[WindowRows], first: _FirstPass, kept: Mapping[Track, str | None]) -> Iterator[Row]:
    labels: dict[str, str] = {}
    for (_, own), label in sorted(first.labels.items()):
        labels.setdefault(own, label)
    for frame, found in _in_step(windows):
        best: dict[str, Row] = {}
        for window in sorted(found, reverse=True):
            for row in _rows(found[window]):
                name = kept[window, row["object"]]
                if name is None:
                    continue
                # Once a prompt of the name has acted in this window, only the prompted track speaks for it.
                if row["object"] == name or frame < first.begins.get((window, name), frame + 1):
                    best.setdefault(name, row | {"object": name, "label": labels[name]})
        yield from (best[name] for name in sorted(best))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _in_step(windows: Sequence[WindowRows]) -> Iterator[tuple[int, dict[int, list[pa.RecordBatch]]]]:
    """Go through the frames of all windows in order: every frame with what each window has there.

    A window is opened when its first covered frame is reached, and closed at its end.
    """
    waiting = list(reversed(windows))
    heads: list[tuple[int, int]] = []
    streams: dict[int, Iterator[tuple[int, list[pa.RecordBatch]]]] = {}
    parts: dict[int, list[pa.RecordBatch]] = {}

    def advance(window: int) -> None:
        head = next(streams[window], None)
        if head is None:
            del streams[window]
            parts.pop(window, None)
        else:
            parts[window] = head[1]
            heapq.heappush(heads, (head[0], window))

    while heads or waiting:
        while waiting and (not heads or waiting[-1].start <= heads[0][0]):
            each = waiting.pop()
            streams[each.window] = _by_frame(each)
            advance(each.window)
        if not heads:
            continue
        frame = heads[0][0]
        here = []
        while heads and heads[0][0] == frame:
            here.append(heapq.heappop(heads)[1])
        yield frame, {window: parts[window] for window in here}
        for window in here:
            advance(window)


def _by_frame(rows: WindowRows) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """Cut a window's batches by frame; a frame may lie in several."""
    frame, parts = rows.start - 1, list[pa.RecordBatch]()
    for batch in rows.scan():
        frames = batch.column("frame").to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(frames)) + 1).tolist(), len(frames)]
        for start, stop in pairwise(cuts if len(frames) else []):
            now = int(frames[start])
            if now < max(frame, rows.start):
                raise SchemaError(
                    f"window {rows.window}: frame {now} is out of order, or before frame {rows.start}, where the "
                    "window begins; delete its table and rerun it."
                )
            if now != frame and parts:
                yield frame, parts
                parts = []
            frame = now
            parts.append(batch.slice(start, stop - start))
    if parts:
        yield frame, parts


def _rows(parts: Sequence[pa.RecordBatch]) -> list[Row]:
    return [row for part in parts for row in part.to_pylist()]


def _agreement(
    video: str, seam: Seam, match: Match, names: Mapping[Track, str], kept: Mapping[Track, str | None]
) -> Row:
    one, two = match.earlier, match.later
    some = one or two
    return {
        "video": video,
        "kind": "seam",
        "window": seam.earlier,
        "object": one[1] if one else None,
        "other": two[1] if two else None,
        "identity": kept[some] if some else None,
        "first_frame": match.evidence.first_frame,
        "last_frame": match.evidence.last_frame,
        "frames": match.evidence.frames,
        "mean_iou": match.evidence.mean_iou,
        "minimum_iou": match.evidence.minimum_iou,
        "joined": one is not None and two is not None and names[one] == names[two],
    }


def _warn(agreement: Sequence[Row], prompted: Collection[str], overlap_iou: float) -> None:
    for row in agreement:
        mean = row["mean_iou"]
        if row["object"] == row["other"] and row["object"] in prompted and mean is not None and mean < overlap_iou:
            log.warning(
                "object %s was prompted in windows %d and the next, but there they agree with a mean IoU of only %.2f "
                "(frames %d to %d); it keeps its name, look at both",
                row["object"], row["window"], mean, row["first_frame"], row["last_frame"],
            )  # fmt: skip
