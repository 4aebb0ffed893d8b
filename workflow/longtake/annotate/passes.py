"""A video seen forward or backward: frames in the order of the pass, and its table in the order of time.

Both ways hold a bounded number of frames and rows, however long the video is.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from longtake.annotate.pipeline import ahead
from longtake.kinds import Row
from longtake.media.index import VideoIndex
from longtake.media.reader import Frame, read_frames
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

FORWARD, BACKWARD = "forward", "backward"
# Rows held before they are written; about half a kilobyte each.
BATCH_ROWS = 1024
# How much a backward pass reads at a time. A block is decoded from the keyframe before it, and usual videos have one at
# least every 250 frames: over 1000 source frames that is an eighth more to decode, or less. Longer blocks save little,
# and the model waits for the first one.
BLOCK_SPAN = 1000
BLOCK_FRAMES = 256
BLOCK_BYTES = 32 * 2**20


def read_in_order(
    index: VideoIndex, frames: Sequence[int], *, size: tuple[int, int], backward: bool = False
) -> Iterator[Frame]:
    """Read frames (numbers, ascending) first to last, or last to first where `backward`.

    Video decodes forward only. So a backward pass reads a block of frames at a time, the last block first, and each
    in ascending order; a thread reads the next block while one is used.

    Memory: that of `read_frames`, and backward two blocks, each of at least one frame of `size` (width, height), and at
    most of `BLOCK_BYTES`, `BLOCK_FRAMES` frames, and `BLOCK_SPAN` source frames.

    Raises
    ------
    FrameUnavailable, ValueError
        As `read_frames`.
    """
    if not backward:
        yield from read_frames(index, frames, size=size)
        return
    with closing(ahead(_blocks_from_the_end(index, frames, size), depth=1)) as blocks:
        for block in blocks:
            while block:
                yield block.pop()


def _blocks_from_the_end(index: VideoIndex, frames: Sequence[int], size: tuple[int, int]) -> Iterator[list[Frame]]:
    most = max(1, min(BLOCK_FRAMES, BLOCK_BYTES // (3 * size[0] * size[1])))
    stop = len(frames)
    while stop:
        start = max(stop - most, bisect_right(frames, frames[stop - 1] - BLOCK_SPAN))
        yield list(read_frames(index, frames[start:stop], size=size))
        stop = start


def write_in_time(
    path: str | os.PathLike[str], frames: Iterable[list[Row]], metadata: dict[str, str], *, backward: bool = False
) -> int:
    """Write rows of DETECTIONS, given frame by frame in the order of the pass, in ascending order; return their number.

    A backward pass writes its batches to a nameless file first, which ends with the job however the job ends, and
    from there last to first.

    Memory: one batch of rows.

    Raises
    ------
    SchemaError
        As `write_table`; nothing is written then.
    """
    batches = in_batches(frames)
    if not backward:
        return write_table(path, ([row for rows in batch for row in rows] for batch in batches), DETECTIONS, metadata)
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        with pq.ParquetWriter(spool, DETECTIONS) as writer:
            for batch in batches:
                rows = [row for rows in reversed(batch) for row in rows]
                writer.write_table(pa.Table.from_pylist(rows, schema=DETECTIONS))
        with pq.ParquetFile(spool) as written:
            groups = (written.read_row_group(number) for number in reversed(range(written.num_row_groups)))
            return write_table(path, groups, DETECTIONS, metadata)


def in_batches(frames: Iterable[list[Row]]) -> Iterator[list[list[Row]]]:
    """Gather the rows of whole frames into batches of about `BATCH_ROWS` rows, never cutting a frame."""
    batch: list[list[Row]] = []
    held = 0
    for rows in frames:
        batch.append(rows)
        held += len(rows)
        if held >= BATCH_ROWS:
            yield batch
            batch, held = [], 0
    if held:
        yield batch
