"""How prompts fared: which the model did not follow, the first thing to doubt in a poor track."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import SchemaError
from longtake.figures.markup import Markup, details, element, number, status, table
from longtake.figures.style import clock
from longtake.kinds import Row
from longtake.media.windows import scan_videos
from longtake.status import Status
from longtake.store.schemas import PROMPTS
from longtake.store.tables import read_table
from longtake.unit import Study, Tile, Trouble

MOST_ROWS = 400
WORST_PROMPTS = 20
_HEAD = (
    "Object", "Species", "Time", "Frame", "Acts on frame", "Kind", "IoU", "Points honoured", "IoU a frame before",
    "Status", "Reason",
)  # fmt: skip


@dataclass
class Prompts:
    """How the prompts of all videos fared: counts, the IoU of each that has one, and the worst rows."""

    count: int = 0
    lost: int = 0
    unused: int = 0
    poor: int = 0
    ious: array[float] = field(default_factory=lambda: array("d"))
    worst: list[Row] = field(default_factory=list)

    def add(self, rows: Sequence[Row]) -> None:
        """Take in the prompts of a video."""
        self.count += len(rows)
        self.lost += sum(bool(row["lost"]) for row in rows)
        self.unused += sum(row["status"] == Status.FAILED for row in rows)
        self.ious.extend(row["iou"] for row in rows if row["iou"] is not None)
        poor = [row for row in rows if row["lost"] or row["status"] == Status.FAILED]
        self.poor += len(poor)
        self.worst = sorted([*self.worst, *poor], key=rank_of_prompt)[:WORST_PROMPTS]


def section(study: Study) -> dict[str, Any]:
    """Say of all videos' prompts how many there are, and show the worst ones."""
    prompts = of_all_videos(study.results)
    parts = [
        element("p", _sentence(prompts) + "."),
        table(
            ("Video", *_HEAD),
            [(row["video"], *_cells(row)) for row in prompts.worst],
            numeric=(3, 4, 5, 7, 8, 9),
            empty="None is lost." if prompts.count else "No prompt was followed yet, or none was given.",
        ),
    ]
    if prompts.poor > WORST_PROMPTS:
        more = prompts.poor - WORST_PROMPTS
        words = f"{more} more: the column `lost` of detections/{{video}}.prompts.parquet names them."
        parts.append(element("p", words, class_="quiet"))
    return {"parts": parts}


def of_all_videos(results: Path) -> Prompts:
    """Read how the prompts of all videos fared, one video at a time; of each prompt 8 bytes are kept."""
    found = Prompts()
    for row in scan_videos(results / "plan" / "videos.tsv"):
        found.add(prompts_of(results, row["video"]))
    return found


def tiles(study: Study) -> Iterator[Tile]:
    """Yield how many prompts there are."""
    prompts = of_all_videos(study.results)
    yield Tile("Prompts", str(prompts.count), f"{prompts.lost} lost")


def troubles(study: Study) -> Iterator[Trouble]:
    """Yield the prompts that were not used."""
    for video in scan_videos(study.results / "plan" / "videos.tsv"):
        for row in prompts_of(study.results, video["video"]):
            if row["status"] == Status.FAILED:
                what = f"{video['video']}, prompt of {row['object']} at frame {row['frame']}"
                yield Trouble(what, Status.FAILED, row["reason"], video["video"])


def prompts_of(results: Path, video: str) -> list[Row]:
    """Read how the prompts of a video fared; nothing where its windows have not been merged."""
    try:
        return read_table(results / "detections" / f"{video}.prompts.parquet", PROMPTS).to_pylist()
    except SchemaError:
        return []


def video_prompts(rows: Sequence[Row]) -> Markup:
    """The prompts of one video, the worst first, behind a click."""
    body = [_cells(row) for row in sorted(rows, key=rank_of_prompt)[:MOST_ROWS]]
    prompts = Prompts()
    prompts.add(rows)
    return details(_sentence(prompts), table(_HEAD, body, numeric=(2, 3, 4, 6, 7, 8), empty="No prompt was followed."))


def _sentence(prompts: Prompts) -> str:
    words = f"{prompts.count} prompts, {prompts.lost} lost, {prompts.unused} not used"
    return words + (f"; median IoU with what was drawn {np.median(prompts.ious):.2f}" if prompts.ious else "")


def _cells(row: Row) -> tuple[Any, ...]:
    word = "lost" if row["lost"] else row["status"]
    return (
        row["object"], row["label"], clock(row["time_s"]), row["frame"], row["acts_on_frame"], row["kind"],
        number(row["iou"], 2), number(row["points_honoured"], 2), number(row["previous_iou"], 2), status(word),
        row["reason"],
    )  # fmt: skip


def rank_of_prompt(row: Row) -> tuple[Any, ...]:
    """Lost ones first, and of those the ones with the least of what was asked."""
    kept = min(1.0 if row[name] is None else row[name] for name in ("iou", "points_honoured"))
    return not row["lost"], row["status"] != Status.FAILED, kept, row["video"], row["row"]
