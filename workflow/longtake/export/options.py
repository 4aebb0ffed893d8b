"""The settings of section `export`."""

from __future__ import annotations

from typing import Literal

from longtake.settings.section import Once, Section, setting


class Options(Section):
    """What the target export writes, beside the annotated video."""

    formats: Once[Literal["coco", "ytvis", "mot", "mots", "cvat", "jsonl", "stationary"]] = setting(
        ["coco"],
        "Formats of the detections, one file a video. results/README.md says what each holds. Any number of "
        "coco, ytvis (YouTube-VIS), mot and mots (text of MOTChallenge), cvat (CVAT for video 1.1), jsonl, "
        "stationary (objects that moved at no time).",
    )
    overlay_width: int = setting(
        960,
        "Width in pixels of the annotated video. Never larger than the source.",
        ge=64,
    )
