"""What became of each window of a video, for its timeline: by its job's record, or by what its tables say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from longtake.annotate.analysis import FORWARD
from longtake.annotate.timelines import WindowState, band
from longtake.errors import SchemaError
from longtake.media.windows import Window
from longtake.status import Status
from longtake.store.records import load_record
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import scan_batches
from longtake.store.tsv import parse_records


class Plan(Mapping[str, Sequence[Window]]):
    """The windows of each video, read when asked for; holds where in the table each video's lines are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header = ""
        self._lines: dict[str, list[int]] = {}
        if not path.is_file():
            return
        with path.open("rb") as file:
            self._header = file.readline().decode("utf-8")
            place = file.tell()
            for line in file:
                video = line.split(b"\t", 1)[0].decode("utf-8")
                self._lines.setdefault(video, [place, place])[1] = place + len(line)
                place += len(line)

    def __getitem__(self, video: str) -> list[Window]:
        start, stop = self._lines[video]
        with self._path.open("rb") as file:
            file.seek(start)
            lines = file.read(stop - start).decode("utf-8").splitlines()
        found = parse_records(chain([self._header], lines), Window, self._path)
        return [window for window in found if window.video == video]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def window_states(results: Path, plan: Mapping[str, Sequence[Window]], video: str) -> list[WindowState]:
    """What became of each planned window: by its job's record, else by the rows of its output, else missing."""
    windows = plan.get(video, ())
    return band(windows, {window.window: _status(results, window) for window in windows})


def _status(results: Path, window: Window) -> tuple[str, str]:
    unit = f"{window.video}.{window.window:04d}"
    record: Mapping[str, Any] | None = load_record(results / "logs" / FORWARD.rule / f"{unit}.json")
    table = results / FORWARD.target.format(video=window.video, window=f"{window.window:04d}")
    if record is not None and record.get("status") == Status.FAILED and not table.is_file():
        return Status.FAILED, str(record.get("reason", ""))
    if not table.is_file() and not (results / "detections" / f"{window.video}.parquet").is_file():
        return Status.MISSING, "the job has not run, or what it needs failed"
    if record is None:
        return _told_by_output(table, window)
    facts = dict(record.get("facts") or {})
    return str(facts.get("status", Status.OK)), str(facts.get("reason", ""))


def _told_by_output(table: Path, window: Window) -> tuple[str, str]:
    try:
        return told_by_rows(table).get(window.window, (Status.OK, ""))
    except SchemaError:
        return Status.OK, ""


def told_by_rows(detections: Path) -> dict[int, tuple[str, str]]:
    """Windows of which a row of `detections` says anything but ok: approximate, with what the rows say.

    Memory: one batch of the table.
    """
    reasons: dict[int, set[str]] = {}
    for batch in scan_batches(detections, DETECTIONS, columns=("window", "status")):
        pairs = pa.table({"window": batch.column("window"), "status": batch.column("status")})
        for row in pairs.group_by(["window", "status"]).aggregate([]).to_pylist():
            if row["status"] != "ok":
                reasons.setdefault(row["window"], set()).add(row["status"])
    return {window: ("approximate", ", ".join(sorted(odd))) for window, odd in reasons.items()}
