"""The windows of a video joined into one table, batch by batch, with the checks that make the join safe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_metadata, scan_batches, write_table

Location = str | os.PathLike[str]
_SAME = ("longtake.video", "longtake.frame_interval", "longtake.grid_frames", "longtake.model", "longtake.source")


def merge_windows(paths: Sequence[Location], out: Location) -> dict[str, Any]:
    """Concatenate the detections of a video's windows, in order, and check them while they pass.

    Memory: one batch of rows, and the last frame of each object; neither depends on the number of windows.

    Parameters
    ----------
    paths
        The tables that `longtake.annotate.annotate_window` wrote, all windows in order.
    out
        One table of the same schema, written whole or not at all.

    Returns
    -------
    dict
        JSON-able: video, windows, rows, visible rows, objects, rows by status.

    Raises
    ------
    SchemaError
        A window is missing, out of order, or of another run; a frame lies outside its window; an object stands twice
        in a frame, or is absent for some frames without a prompt when it comes back.
    """
    facts = _check_windows(paths)
    passing = _Passing(int(facts["longtake.frame_interval"]))
    batches = (batch for path in paths for batch in passing.checked(path))
    kept = {key: facts[key] for key in _SAME}
    rows = write_table(out, batches, DETECTIONS, kept)
    return {
        "video": facts["longtake.video"],
        "windows": len(paths),
        "rows": rows,
        "visible_rows": passing.visible,
        "objects": sorted(passing.last_frame),
        "rows_by_status": passing.by_status,
    }


class _Passing:
    """What has to be remembered of the rows that have passed."""

    def __init__(self, frame_interval: int) -> None:
        self.frame_interval = frame_interval
        self.last_frame: dict[str, int] = {}
        self.newest = -1
        self.visible = 0
        self.by_status: dict[str, int] = {}

    def checked(self, path: Location) -> Iterator[pa.RecordBatch]:
        facts = read_metadata(path)
        frames = range(
            int(facts["longtake.grid_start"]) * self.frame_interval,
            int(facts["longtake.grid_stop"]) * self.frame_interval,
            self.frame_interval,
        )
        for batch in scan_batches(path, DETECTIONS):
            columns = [batch.column(name).to_pylist() for name in ("frame", "object", "prompted", "visible", "status")]
            for frame, name, prompted, visible, status in zip(*columns, strict=True):
                if frame not in frames:
                    raise SchemaError(
                        f"{path}: frame {frame} does not belong to its window (every {self.frame_interval} frames from "
                        f"{frames.start} up to {frames.stop}); delete it and rerun the window."
                    )
                self._check(path, frame, name, prompted)
                self.visible += visible
                self.by_status[status] = self.by_status.get(status, 0) + 1
            yield batch

    def _check(self, path: Location, frame: int, name: str, prompted: bool) -> None:
        last = self.last_frame.get(name)
        if frame < self.newest or (last is not None and frame <= last):
            raise SchemaError(f"{path}: object {name!r} in frame {frame} is out of order or stands twice; rerun it.")
        if not prompted and last != frame - self.frame_interval:
            raise SchemaError(
                f"{path}: object {name!r} appears in frame {frame} without a prompt, but is missing in the processed "
                "frame before; rerun this video's windows."
            )
        self.newest = frame
        self.last_frame[name] = frame


def _check_windows(paths: Sequence[Location]) -> dict[str, str]:
    if not paths:
        raise SchemaError("there are no windows to merge; run the annotation of this video first.")
    first: dict[str, str] = {}
    reached = 0
    for path in paths:
        if pq.read_schema(path).names != DETECTIONS.names:
            raise SchemaError(f"{path}: is no table of detections; delete it and rerun the window.")
        facts = read_metadata(path)
        first = first or facts
        for key in _SAME:
            if facts.get(key) != first.get(key):
                raise SchemaError(
                    f"{path}: {key.removeprefix('longtake.')} is {facts.get(key)!r}, but {first.get(key)!r} in "
                    f"{paths[0]}; the windows belong to different runs. Rerun this video's windows."
                )
        if int(facts["longtake.grid_start"]) != reached:
            raise SchemaError(
                f"{path}: begins with processed frame {facts['longtake.grid_start']}, but {reached} is next; a window "
                "is missing, given twice, or out of order. Give all windows of the video in order."
            )
        reached = int(facts["longtake.grid_stop"])
    if reached != int(first["longtake.grid_frames"]):
        raise SchemaError(
            f"{paths[-1]}: the windows end at processed frame {reached} of {first['longtake.grid_frames']}; give all "
            "windows of the video."
        )
    return first
