"""What longtake knows of annotation without loading it: the windows of each video, and one or two passes over each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtake.media.windows import scan_left_out, scan_units
from longtake.unit import Analysis, Kind, Section, Study, Tile, Trouble, Unit

FORWARD = Kind("annotate_window", "annotate/{video}/window-{window}.parquet", "annotate")
BACKWARD = Kind("annotate_window_backward", "annotate/{video}/window-{window}.backward.parquet", "backward")


def units(study: Study) -> Iterator[Unit]:
    """Yield the windows of every video, of one pass after the other.

    Facts: ``rules`` of the passes; ``objects``, of each video how many are tracked at a time, 0 where nobody knows; and
    ``frame_interval``.
    """
    objects = study.facts["objects"]
    loads = {video: {"objects": number} for video, number in objects.items() if number}
    for rule in study.facts["rules"]:
        yield from scan_units(
            study.results / "plan" / "windows.tsv", rule, objects, study.facts["frame_interval"], loads
        )


def outdated(study: Study, unit: Unit) -> str:
    """Say in what a window's table is not what the settings ask for now; facts ``frame_interval``, ``continuity``."""
    from longtake.annotate.checks import outdated as differing

    kind = BACKWARD if unit.rule == BACKWARD.rule else FORWARD
    settings = {name: study.facts[name] for name in ("frame_interval", "continuity")}
    return differing(kind.path(study.results, unit), unit.detail, **settings)


def left_out(study: Study) -> Iterator[tuple[Unit, str]]:
    """Yield the videos that cannot be read, and why."""
    yield from scan_left_out(study.results / "plan" / "videos.tsv")


def prompts(study: Study) -> Mapping[str, Any]:
    """Show how prompts fared."""
    from longtake.annotate.report import section

    return section(study)


def tiles(study: Study) -> Iterator[Tile]:
    """Count prompts."""
    from longtake.annotate.report import tiles as of_prompts

    yield from of_prompts(study)


def troubles(study: Study) -> Iterator[Trouble]:
    """Tell of prompts that were not used."""
    from longtake.annotate.report import troubles as of_prompts

    yield from of_prompts(study)


ANALYSIS = Analysis(
    name="annotate",
    kinds=(FORWARD, BACKWARD),
    units=units,
    outdated=outdated,
    left_out=left_out,
    troubles=troubles,
    tiles=tiles,
    sections=(Section("prompts", "Prompts", prompts, place=20),),
    targets={
        "probe_video": "probe/{video}.json",
        "merge_detections": "detections/{video}.parquet",
        "overlay": "export/{video}.mp4",
        "convert": "export/{video}.{ending}",
    },
)
