"""The formats that ``export.formats`` names, each with the function that writes one video in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from longtake.export.coco import write_coco
from longtake.export.cvat import write_cvat
from longtake.export.jsonl import write_jsonl
from longtake.export.mot import write_mot
from longtake.export.mots import write_mots
from longtake.export.rows import Annotated
from longtake.export.stationary import write_stationary
from longtake.export.ytvis import write_ytvis


def _coco(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, int]:
    return write_coco([item], frame_interval=frame_interval, categories=categories, out=out)


WRITERS: dict[str, Callable[..., dict[str, Any]]] = {
    "coco": _coco,
    "ytvis": write_ytvis,
    "mot": write_mot,
    "mots": write_mots,
    "cvat": write_cvat,
    "jsonl": write_jsonl,
    "stationary": write_stationary,
}
"""Each takes (video, frame_interval=, categories=, out=), holds one batch of the table, and returns JSON-able facts."""
