"""What longtake knows of gradients without loading them: the windows of the videos whose species were drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from longtake.media.windows import scan_units
from longtake.status import Status
from longtake.unit import Analysis, Kind, Study, Unit, kinds

WINDOW = Kind(
    "gradients_window", "gradients/{video}/window-{window}.clips.parquet", "gradients", work="frames", parts="clips"
)


def units(study: Study) -> Iterator[Unit]:
    """Yield the windows of the videos that are analysed; facts ``videos``, ``frame_interval`` and ``continuity``."""
    videos, interval = frozenset(study.facts["videos"]), study.facts["frame_interval"]
    yield from scan_units(study.results / "plan" / "windows.tsv", WINDOW.rule, videos, interval, {})


def outdated(study: Study, unit: Unit) -> str:
    """Say in what the objects that a window's gradients are taken around are not what the settings ask for now."""
    (annotate, kind), made = kinds()["annotate_window"], replace(unit, rule="annotate_window")
    if annotate.outdated is None or not kind.path(study.results, made).is_file():
        return ""
    return annotate.outdated(study, made)


def why(study: Study, unit: Unit) -> str:
    """Say of how many of a window's clips what was not ok."""
    from longtake.errors import SchemaError
    from longtake.store.schemas import CLIPS
    from longtake.store.tables import read_table

    try:
        rows = read_table(WINDOW.path(study.results, unit), CLIPS).select(["status", "reason"]).to_pylist()
    except SchemaError:
        return "the table of clips is missing"
    counted = Counter(row["reason"] or "no reason" for row in rows if row["status"] != Status.OK)
    return "; ".join(f"{reason} ({number})" for reason, number in sorted(counted.items()))


ANALYSIS = Analysis(
    name="gradients",
    kinds=(WINDOW,),
    units=units,
    outdated=outdated,
    why=why,
    # A window's time goes with its clips, of which earlier ones may have had fewer.
    steady=False,
    targets={"merge_gradients": "gradients/{video}.clips.parquet", "heat_video": "figures/{video}/heat.mp4"},
)
