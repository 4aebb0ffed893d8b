"""How prompts fared: which the model did not follow, the first thing to doubt in a poor track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from longtake.figures.style import clock
from longtake.report.markup import Markup, details, element, number, status, table
from longtake.report.records import Run, prompts_of

Row = Mapping[str, Any]
WORST = 20
MOST_ROWS = 400
_HEAD = (
    "Object", "Species", "Time", "Frame", "Acts on frame", "Kind", "IoU", "Points honoured", "IoU a frame before",
    "Status", "Reason",
)  # fmt: skip


def prompts_section(run: Run) -> Markup:
    """All videos' prompts in a sentence, and the worst ones."""
    rows = [row for video in run.plan for row in prompts_of(run, video)]
    poor = [row for row in rows if row["lost"] or row["status"] == "failed"]
    parts = [
        element("p", _sentence(rows) + "."),
        table(
            ("Video", *_HEAD),
            [(row["video"], *_cells(row)) for row in sorted(poor, key=_rank)[:WORST]],
            numeric=(3, 4, 5, 7, 8, 9),
            empty="None is lost." if rows else "No prompt was followed yet, or none was given.",
        ),
    ]
    if len(poor) > WORST:
        words = f"{len(poor) - WORST} more: the column `lost` of detections/{{video}}.prompts.parquet names them."
        parts.append(element("p", words, class_="quiet"))
    return element("section", element("h2", "Prompts"), *parts, id="prompts")


def prompts_tile(run: Run) -> tuple[str, str, str]:
    """A name, a number and a few words for the top of the page."""
    rows = [row for video in run.plan for row in prompts_of(run, video)]
    return "Prompts", str(len(rows)), f"{sum(bool(row['lost']) for row in rows)} lost"


def video_prompts(rows: Sequence[Row]) -> Markup:
    """The prompts of one video, the worst first, behind a click."""
    body = [_cells(row) for row in sorted(rows, key=_rank)[:MOST_ROWS]]
    return details(_sentence(rows), table(_HEAD, body, numeric=(2, 3, 4, 6, 7, 8), empty="No prompt was followed."))


def _sentence(rows: Sequence[Row]) -> str:
    lost, unused = sum(bool(row["lost"]) for row in rows), sum(row["status"] == "failed" for row in rows)
    known = [row["iou"] for row in rows if row["iou"] is not None]
    words = f"{len(rows)} prompts, {lost} lost, {unused} not used"
    return words + (f"; median IoU with what was drawn {median(known):.2f}" if known else "")


def _rank(row: Row) -> tuple[Any, ...]:
    """Lost ones first, and of those the ones with the least of what was asked."""
    kept = min(1.0 if row[name] is None else row[name] for name in ("iou", "points_honoured"))
    return not row["lost"], row["status"] != "failed", kept, row["video"], row["row"]


def _cells(row: Row) -> tuple[Any, ...]:
    word = "lost" if row["lost"] else row["status"]
    return (
        row["object"], row["label"], clock(row["time_s"]), row["frame"], row["acts_on_frame"], row["kind"],
        number(row["iou"], 2), number(row["points_honoured"], 2), number(row["previous_iou"], 2), status(word),
        row["reason"],
    )  # fmt: skip
