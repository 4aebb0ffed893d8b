"""The job of one volume: every method that is asked for, in bounded memory, with the geometry of the file."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longtake.attribution.case import Map, describe, labels_of, opened, row_of, tidy, write_map
from longtake.attribution.families import maps_of
from longtake.attribution.options import Options
from longtake.attribution.sheet import VolumeRow
from longtake.attribution.tables import CURVES, REGIONS, RESULTS
from longtake.attribution.target import Target
from longtake.attribution.trials import checked
from longtake.errors import SheetError, UnreadableVolume
from longtake.memory.ledger import stage
from longtake.store.tables import write_table
from longtake.unit import Done

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
WORK = ".work"
"""Folder in a volume's own in which running sums lie while its job is not done."""


@stage("attribution")
def analyse_volume(
    *,
    row: Mapping[str, Any],
    options: Mapping[str, Any],
    out: str | Path,
    results_out: str | Path,
    regions_out: str | Path,
    curves_out: str | Path,
    seed: int,
    check: bool = False,
    device: str = "cpu",
    part: float = 1.0,
    requested_mb: float | None = None,
    rung: str = "as asked",
    lossy: Sequence[str] = (),
    approximate: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Explain a classifier's answer to one volume by every method of `options`, and write maps and tables.

    Parameters
    ----------
    row : of the sheet of volumes
    options : of the settings' section
    out : the volume's folder; maps are `{method}.npy` in the file's order of axes, float32
    results_out, regions_out, curves_out : tables RESULTS, REGIONS and CURVES
    check : whether the maps are also tested with drawn weights and by a second computation
    part : of what a gradient may take, what it shall take
    rung : of the ladder, for the table
    lossy : in which ways the model computes that are not exact (`longtake.models.volumes.coarser`)
    approximate : why it does, and how far off that is; every map is then approximate
    progress : called with steps done and steps

    Returns
    -------
    Maps by status, and how the gradients were had.

    Memory: the volume a few times, and what a gradient is granted.

    Raises
    ------
    LongtakeError : the settings, the model or the sheet cannot be used. What is wrong with this volume or one method
        is told in its rows.
    """
    began = time.monotonic()
    line, chosen = VolumeRow(**row), Options(**options)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    maps: list[Map] = []
    tables: dict[str, list[dict[str, Any]]] = {"regions": [], "curves": []}
    facts: dict[str, Any] = {}
    try:
        case = opened(line, chosen, seed, device, folder / WORK, part=part, requested_mb=requested_mb, lossy=lossy)
        case.rung, case.told = rung, progress
        regions, mask = labels_of(case)
        for found in maps_of(case):
            describe(case, found, regions, mask, tables)
            write_map(case, found, folder)
            maps.append(found)
            if chosen.faithfulness and found.row["status"] != "failed" and found.row["max"] > found.row["min"]:
                tables["curves"] += checked(case, found, deep=check)
            found.values = found.cells = None
        facts = {"way": case.exact.peak[1], "gradient_measured_bytes": case.exact.peak[0]}
        facts["done"] = asdict(Done(len(maps), time.monotonic() - began, {"voxels": case.given.numel()}))
    except (UnreadableVolume, SheetError) as error:
        maps = [Map(method, "", Target(0), {"status": "failed", "reason": str(error)}) for method in chosen.asked]
    rows = [row_of(line, each, rung, approximate) for each in maps]
    tidy(folder, rows)
    write_table(results_out, rows, RESULTS)
    write_table(regions_out, tables["regions"], REGIONS)
    write_table(curves_out, tables["curves"], CURVES)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    counts = {status: sum(each["status"] == status for each in rows) for status in ("ok", "approximate", "failed")}
    return {**counts, **facts, "wall_s": round(time.monotonic() - began, 3)}
