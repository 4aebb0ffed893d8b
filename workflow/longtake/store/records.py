"""The records that jobs leave beside their logs (``logs/{rule}/{unit}.json``), as they stand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def load_record(path: Path) -> dict[str, Any] | None:
    """Return a job's record; None where there is none, or it is being written, or was torn."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and "rule" in data else None


def scan_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records in a rule's folder, by unit; what is no record says nothing.

    Memory: one record, and the names of the files, about a hundred bytes each.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
    for name in names:
        record = load_record(folder / name)
        if record is not None:
            yield record


def scan_all_records(logs: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of all jobs, by rule and unit, as `scan_records` does."""
    for folder in sorted(logs.glob("*/")):
        yield from scan_records(folder)


def number_of(value: Any) -> float:
    """Return a number of a record as such; 0 for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
