"""The prompts' part of the page: how many are lost, and the worst ones first."""

from __future__ import annotations

import re
from typing import Any

from longtake.annotate.report import prompts_of, section, tiles, troubles, video_prompts
from longtake.unit import Study, Tile

LOST = {"lost": True, "status": "ok"}


def shown(run: Any) -> str:
    return "".join(section(Study(run.results))["parts"])


def cells(markup: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", markup)[1:]]


def test_the_worst_come_first_with_video_object_and_time(run: Any) -> None:
    run.prompts("good", [
        {"row": 2, "object": "kept", "iou": 0.9},
        {"row": 3, "object": "poor", "iou": 0.3, "time_s": 75.0, **LOST},
        {"row": 4, "object": "click", "kind": "points", "points_honoured": 0.5, **LOST},
        {"row": 5, "object": "never", "status": "failed", "reason": "another was closer", "lost": None},
    ])  # fmt: skip
    run.prompts("late", [{"row": 6, "object": "gone", "iou": 0.0, "previous_iou": 0.4, **LOST}])
    page = shown(run)
    assert "5 prompts, 3 lost, 1 not used; median IoU with what was drawn 0.30." in page
    rows = cells(page)
    assert [(row[0], row[1]) for row in rows] == [
        ("late", "gone"), ("good", "poor"), ("good", "click"), ("good", "never"),
    ]  # fmt: skip
    assert "1:15" in rows[1][3]
    assert rows[0][9] == "0.4"
    assert "another was closer" in rows[3][-1]
    assert list(tiles(Study(run.results))) == [Tile("Prompts", "5", "3 lost")]
    (unused,) = troubles(Study(run.results))
    assert (unused.what, unused.status) == ("good, prompt of never at frame 7", "failed")
    assert [row[0] for row in cells(video_prompts(prompts_of(run.results, "good")))] == [
        "poor",
        "click",
        "never",
        "kept",
    ]


def test_no_more_than_twenty_and_the_rest_is_counted(run: Any) -> None:
    run.prompts("good", [{"row": row, "iou": row / 100, **LOST} for row in range(30)])
    page = shown(run)
    assert len(cells(page)) == 20
    assert "10 more" in page
    assert "detections/{video}.prompts.parquet" in page


def test_names_from_strangers_and_no_prompts_at_all(run: Any) -> None:
    assert "No prompt was followed yet" in shown(run)
    run.prompts("good", [{"label": "<b>x</b>", **LOST}])
    assert "<b>" not in shown(run)
    run.prompts("good", [{"iou": 0.8}])
    assert "None is lost." in shown(run)
