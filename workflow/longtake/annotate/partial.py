"""What there is of a video whose windows are not all done, joined, with the holes marked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from longtake.annotate.checks import check_same, outdated
from longtake.annotate.facts import WindowFacts
from longtake.annotate.merge import merge_windows
from longtake.annotate.sheet import Prompt
from longtake.kinds import Location
from longtake.media.index import VideoIndex
from longtake.media.windows import Window
from longtake.status import Status
from longtake.store.leftovers import mark
from longtake.store.schemas import DETECTIONS, HOLES
from longtake.store.tables import scan_batches, write_table
from longtake.store.tsv import read_records, write_records

_Any = TypeVar("_Any")
MISSING, OUTDATED = Status.MISSING, Status.OUTDATED
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hole:
    """A window that is missing or outdated, and why: the frames that are its own, and the seconds that it covers."""

    video: str
    window: int
    first_frame: int
    last_frame: int
    start_s: float
    stop_s: float
    status: str
    reason: str


def merge_what_exists(
    *,
    windows: Sequence[Window],
    passes: Sequence[Sequence[Location | None]],
    index: VideoIndex | None,
    prompts: Sequence[Prompt],
    overlap_iou: float,
    dense_seeding: str,
    frame_interval: int,
    continuity: str,
    detections_out: Location,
    holes_out: Location,
) -> dict[str, Any]:
    """Join the windows of a video that exist, and say which do not.

    Windows that follow each other are joined as `longtake.annotate.merge.merge_windows` joins all of them; where none
    is missing, the table holds the same rows. Across a hole nothing is joined: in an overlap, an object that was found
    and not prompted has another name behind it. A window that was made with other settings than those of now is a
    hole, too: its frames are others than those of the plan.

    Memory: that of `merge_windows`.

    Parameters
    ----------
    windows
        All planned windows of the video, in order.
    index
        Of the video; not needed for a chain.
    passes
        Forward, and backward where both directions are asked for: each window's table, or None where there is none. A
        window counts where all its passes are there.
    frame_interval, continuity
        As they are set now.
    detections_out
        A table of the schema of all detections. Its metadata names the holes: `longtake.holes`, JSON, a list of
        window, first and last frame; its statistics leave these frames out.
    holes_out
        The same as a table, tab separated, with the window's times in seconds, whether it is missing or outdated, and
        the reason.

    Raises
    ------
    SchemaError
        As `merge_windows`: the windows that exist belong to different runs.
    """
    tables = list(zip(*passes, strict=True))
    expected = {"frame_interval": frame_interval, "continuity": continuity, "source": index and index.digest}
    judged = [_hole(window, found, expected) for window, found in zip(windows, tables, strict=True)]
    holes = [hole for hole in judged if hole]
    tables = [found if hole is None else (None,) * len(found) for found, hole in zip(tables, judged, strict=True)]
    facts = {"windows": len(windows), **_told(holes)}
    with TemporaryDirectory(dir=Path(detections_out).parent, prefix=f".islands.{mark()}-") as folder:
        joined: list[Path] = []
        islands = _islands(tables)
        firsts = [island[0][0] for island in islands]
        of_first = [WindowFacts.from_parquet(first) for first in firsts]
        for first, made, island in zip(firsts, of_first, islands, strict=True):
            check_same(first, made, firsts[0], of_first[0])
            joined.append(Path(folder) / f"{len(joined)}.parquet")
            merge_windows(
                [found[0] for found in island],
                joined[-1],
                backward=[found[1] for found in island if len(passes) > 1],
                prompts=prompts,
                index=index,
                overlap_iou=overlap_iou,
                keep_unjoined=dense_seeding == "always" or not prompts,
                whole=not holes,
            )
        named = {HOLES: json.dumps([[hole.window, hole.first_frame, hole.last_frame] for hole in holes])}
        kept = of_first[0].shared() if of_first else {}
        starts = [made.first_frame for made in of_first]
        facts["rows"] = write_table(detections_out, _in_turn(joined, starts), DETECTIONS, kept | named)
    write_records(holes_out, Hole, holes)
    return facts


def without_outdated(found: Sequence[_Any], holes: Location) -> list[_Any]:
    """Return what there is of each window, in order, but of those that the table `holes` calls outdated."""
    old = {hole.window for hole in read_records(holes, Hole) if hole.status == OUTDATED}
    return [each for number, each in enumerate(found) if number not in old]


def _hole(window: Window, found: Sequence[Location | None], expected: Mapping[str, Any]) -> Hole | None:
    """Return the hole that a window leaves, given the tables of its passes; None where they can be used."""
    status, reason = MISSING, "it is not annotated"
    if None not in found:
        told = (outdated(path, window, **expected) for path in found if path)
        status, reason = OUTDATED, next((each for each in told if each), "")
    last = window.emit_stop - 1
    span = (window.video, window.window, window.emit_start, last, window.start_s, window.stop_s)
    return Hole(*span, status, reason) if reason else None


def _told(holes: Sequence[Hole]) -> dict[str, int]:
    """Count the holes; the terminal is told of windows that are there and are left out nevertheless."""
    old = [hole for hole in holes if hole.status == OUTDATED]
    if old:
        counted = f"{len(old)} window{'s are' if len(old) > 1 else ' is'}"
        log.warning("%s: %s left out, %s", old[0].video, counted, old[0].reason)
    return {MISSING: len(holes) - len(old), OUTDATED: len(old)}


def _in_turn(paths: Sequence[Path], starts: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each island up to where the next begins: in an overlap the window before may reach further."""
    for number, path in enumerate(paths):
        for batch in scan_batches(path, DETECTIONS):
            yield batch if path == paths[-1] else batch.filter(pc.less(batch.column("frame"), starts[number + 1]))


def _islands(tables: Sequence[tuple[Location | None, ...]]) -> list[list[tuple[Location, ...]]]:
    """Return the runs of windows that follow each other and exist."""
    found: list[list[tuple[Location, ...]]] = [[]]
    for passes in tables:
        whole = tuple(table for table in passes if table is not None)
        if len(whole) == len(passes):
            found[-1].append(whole)
        elif found[-1]:
            found.append([])
    return [island for island in found if island]
