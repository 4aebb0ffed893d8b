"""How prompts fared: which the model did not follow, the first thing to doubt in a poor track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from longtake.figures.style import clock
from longtake.kinds import Row
from longtake.report.markup import Markup, details, element, number, status, table
from longtake.report.survey import WORST_PROMPTS, Prompts, rank_of_prompt

MOST_ROWS = 400
_HEAD = (
    "Object", "Species", "Time", "Frame", "Acts on frame", "Kind", "IoU", "Points honoured", "IoU a frame before",
    "Status", "Reason",
)  # fmt: skip


def prompts_section(prompts: Prompts) -> Markup:
    """All videos' prompts in a sentence, and the worst ones."""
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
    return element("section", element("h2", "Prompts"), *parts, id="prompts")


def prompts_tile(prompts: Prompts) -> tuple[str, str, str]:
    """A name, a number and a few words for the top of the page."""
    return "Prompts", str(prompts.count), f"{prompts.lost} lost"


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
