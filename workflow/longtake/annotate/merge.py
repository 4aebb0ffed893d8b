"""The windows of a video joined into one table, batch by batch, with the checks that make the join safe."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from longtake.annotate.checks import OVERLAP, Passing, Result, check_pair, check_windows
from longtake.annotate.facts import WindowFacts
from longtake.annotate.fuse import Agreement, fuse
from longtake.annotate.judgement import LOST_BELOW, judge_prompts
from longtake.annotate.passes import BACKWARD, BATCH_ROWS, FORWARD, Row, in_batches
from longtake.annotate.prompts import Schedule, place_prompts
from longtake.annotate.sheet import SEEDED, Prompt
from longtake.annotate.stitch import WindowRows, stitch
from longtake.errors import SchemaError
from longtake.kinds import Location
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.store.schemas import AGREEMENT, DETECTIONS
from longtake.store.tables import scan_batches, write_table


def merge_video(
    *,
    windows: Sequence[Location],
    backward: Sequence[Location],
    video_path: Location,
    index_path: Location,
    prompts: Sequence[Prompt],
    frame_interval: int,
    overlap_iou: float,
    dense_seeding: str,
    detections_out: Location,
    agreement_out: Location,
    prompts_out: Location,
    lost_below: float = LOST_BELOW,
) -> dict[str, Any]:
    """Write the three tables of a video: its detections, how far its parts agree, and how its prompts fared.

    Memory: that of `merge_windows` and `judge_prompts`.

    Parameters
    ----------
    dense_seeding
        ``always``: what the windows found by themselves is kept. ``auto`` and ``never``: only where it is a prompted
        object, if the video has a prompt.

    Raises
    ------
    SchemaError, SheetError, MediaError
        As `merge_windows`, `judge_prompts` and `load_index`.
    """
    index = load_index(os.fspath(index_path), os.fspath(video_path))
    facts = merge_windows(
        windows,
        detections_out,
        backward=backward,
        agreement_out=agreement_out,
        prompts=prompts,
        index=index,
        overlap_iou=overlap_iou,
        keep_unjoined=dense_seeding == "always" or not prompts,
    )
    judged = judge_prompts(prompts, index, frame_interval, detections_out, prompts_out, lost_below=lost_below)
    return facts | judged


def merge_windows(
    paths: Sequence[Location],
    out: Location,
    *,
    backward: Sequence[Location] = (),
    agreement_out: Location | None = None,
    prompts: Sequence[Prompt] = (),
    index: VideoIndex | None = None,
    overlap_iou: float = 0.5,
    keep_unjoined: bool = True,
    whole: bool = True,
) -> dict[str, Any]:
    """Join the detections of a video's windows, and check them while they pass.

    The windows of a chain follow each other. Windows that overlap are stitched (`longtake.annotate.stitch`); a prompted
    object then has rows on the frames on which a chain would have tracked it, and no others. Where there is a backward
    pass, it is fused with the forward one before (`longtake.annotate.fuse`).

    Memory: one batch of rows of each pass of the windows that share a frame, the last frame of each object, what each
    window's metadata say, six numbers for each window and object where there are two passes, and what `stitch` keeps.

    Parameters
    ----------
    paths, backward
        The tables that `longtake.annotate.window.annotate_window` wrote in each direction, all windows in order.
    out
        One table of the same schema, written whole or not at all.
    agreement_out
        The table ``AGREEMENT``: of neighbouring windows that overlap, and of the two passes; empty without either.
    prompts, index
        All prompts of the video, and its index; not needed for a chain.
    overlap_iou, keep_unjoined
        As in `stitch`.
    whole
        False where these are not all windows of the video, but some that follow each other.

    Returns
    -------
    dict
        JSON-able: video, windows, rows, visible rows, objects, rows by status.

    Raises
    ------
    SchemaError
        A window is missing, out of order, or of another run; a frame lies outside its window; an object stands twice
        in a frame, or is absent for some frames without a prompt when it comes back; the passes do not fit together.
    """
    facts = check_windows(paths, FORWARD, whole=whole)
    if backward:
        _check_pairs(paths, facts, backward)
    interval = facts[0].frame_interval
    torn = set() if whole else {facts[0].first_frame, facts[-1].processed[-1] * interval}
    parts = _Parts(list(paths), list(backward), interval, torn)
    seams: list[Row] = []
    if facts[0].continuity == OVERLAP:
        starts = [each.first_frame for each in facts]
        windows = [
            WindowRows(each.window, start, partial(parts.rows, n, n + 1))
            for n, (each, start) in enumerate(zip(facts, starts, strict=True))
        ]
        named = {prompt.object for prompt in prompts}
        stitched = stitch(windows, prompted=named, overlap_iou=overlap_iou, keep_unjoined=keep_unjoined)
        seams = stitched.agreement
        result = Result(out, interval, set(starts))
        batches = _as_in_a_chain(stitched.batches, prompts, index, interval, both=bool(backward))
    else:
        result = Result(out, interval, torn)
        batches = parts.rows(0, len(paths))
    write_table(out, result.checked(batches), DETECTIONS, facts[0].shared())
    if agreement_out is not None:
        rows = chain(seams, parts.agreement())
        write_table(agreement_out, iter(lambda: list(islice(rows, BATCH_ROWS)), []), AGREEMENT)
    return {
        "video": facts[0].video,
        "windows": len(paths),
        "rows": result.rows,
        "visible_rows": result.visible,
        "objects": sorted(result.objects),
        "rows_by_status": result.by_status,
    }


def _check_pairs(paths: Sequence[Location], facts: Sequence[WindowFacts], backward: Sequence[Location]) -> None:
    if len(backward) != len(paths):
        raise SchemaError(f"{len(paths)} windows forward and {len(backward)} backward; give all windows of both.")
    others = check_windows(backward, BACKWARD, whole=False)
    for path, one, other, expected in zip(backward, others, paths, facts, strict=True):
        check_pair(path, one, other, expected)


class _Parts:
    """The rows of windows that follow each other, both passes made one; as often as they are asked for."""

    def __init__(
        self, forward: list[Location], backward: list[Location], frame_interval: int, torn: Collection[int]
    ) -> None:
        self._forward, self._backward, self._interval, self._torn = forward, backward, frame_interval, torn
        self._agreements: dict[int, Agreement] = {}

    def rows(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the windows [first, stop), checked."""
        ahead, back = self._forward[first:stop], self._backward[first:stop]
        forward = _checked(ahead, self._interval, FORWARD, self._torn)
        if not back:
            yield from forward
            return
        backward = _checked(back, self._interval, BACKWARD, self._torn)
        self._agreements[first] = agreement = Agreement()
        prompted = _prompted(ahead, back)
        for batch in in_batches(fuse(forward, backward, prompted, agreement)):
            yield pa.RecordBatch.from_pylist([row for rows in batch for row in rows], schema=DETECTIONS)

    def agreement(self) -> Iterator[Row]:
        """Yield how far the two passes agreed when the rows were last read."""
        for _, found in sorted(self._agreements.items()):
            yield from found.rows()


def _checked(
    paths: Sequence[Location], frame_interval: int, direction: str, torn: Collection[int]
) -> Iterator[pa.RecordBatch]:
    passing = Passing(frame_interval, direction, torn)
    for path in paths:
        yield from passing.checked(path)
    passing.finish(paths[-1])


def _prompted(forward: Sequence[Location], backward: Sequence[Location]) -> dict[str, list[int]]:
    """Give the frames on which prompts of each object acted, which must be the same in both passes."""
    ahead, back = (
        {
            (frame, name)
            for path in paths
            for batch in scan_batches(path, DETECTIONS, columns=("frame", "object", "prompted"))
            for frame, name, prompted in zip(*(column.to_pylist() for column in batch.columns), strict=True)
            if prompted and not SEEDED.fullmatch(name)
        }
        for paths in (forward, backward)
    )
    for frame, name in sorted(ahead ^ back):
        raise SchemaError(
            f"object {name!r} was prompted on frame {frame} in one direction only; the windows of {forward[0]} and "
            f"{backward[0]} belong to different prompts. Rerun this video's windows."
        )
    found: dict[str, list[int]] = {}
    for frame, name in sorted(back):
        found.setdefault(name, []).append(frame)
    return found


def _as_in_a_chain(
    batches: Iterable[list[Row]], prompts: Sequence[Prompt], index: VideoIndex | None, frame_interval: int, both: bool
) -> Iterator[pa.RecordBatch]:
    """Leave out rows of prompted objects where a chain would not have tracked them; prompted is what a prompt acted on.

    An object that windows found by themselves may have been there before its first prompt, or after its `until_s`.
    """
    if index is None and prompts:
        raise SchemaError("windows that overlap are stitched by their prompts, which need the video's index; give it.")
    placed = place_prompts(prompts, index, frame_interval) if index is not None else []
    ways = (False, True) if both else (False,)
    schedules = [Schedule(placed, index, frame_interval, reverse=way) for way in ways if index is not None]
    named = {each.prompt.object for each in placed}
    for batch in batches:
        rows = []
        for row in batch:
            name, at = row["object"], row["frame"] // frame_interval
            if name not in named:
                rows.append(row)
            elif any(schedule.tracks(name, at) for schedule in schedules):
                acts = any(name in schedule.starting(at) for schedule in schedules)
                rows.append(row | {"prompted": acts})
        yield pa.RecordBatch.from_pylist(rows, schema=DETECTIONS)
