"""The study's tables: those of all jobs put together, and which videos are compared with each other."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.latents import tables
from longtake.latents.bounds import refuse_squares
from longtake.latents.crossings import Place, cross, unique_seeds
from longtake.latents.grams import gram
from longtake.latents.index import stored_at
from longtake.latents.layout import too_many
from longtake.latents.names import metrics
from longtake.latents.options import Options
from longtake.latents.readers import seekable
from longtake.latents.shard import PARTS
from longtake.latents.threads import one_thread_of_all
from longtake.store.atomic import atomic_path, write_csv
from longtake.store.tables import concatenate, read_metadata, read_table, scan_batches, write_table

log = logging.getLogger(__name__)


def put_together(
    *,
    shards: Mapping[str, Sequence[str]],
    out: Mapping[str, str],
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the study's tables from those of its jobs, and say which videos are compared.

    Memory: one row a video, and a batch of rows.
    """
    del progress
    chosen = Options(**options)
    names = metrics(chosen.families, chosen.patch_sizes)
    versions = {read_metadata(path).get("zlib", "") for path in shards["videos"]}
    if len(versions) > 1:
        log.warning("zlib_ratio was measured by several versions of zlib (%s), which compress differently", versions)
    rows = [row for path in shards["videos"] for row in read_table(path, tables.VIDEOS).to_pylist()]
    judge(rows)
    write_table(out["videos"], rows, tables.VIDEOS, {"zlib": ", ".join(sorted(versions))})
    schemas = (tables.metrics_table(names), tables.CHANNELS, tables.SPECTRA, tables.TRAJECTORIES,
               tables.TRAJECTORY_STEPS)  # fmt: skip
    for part, schema in zip(PARTS, schemas, strict=True):
        concatenate(shards[part], out[part], schema)
    write_csv(out["csv"], tables.VIDEOS.names, rows)
    ways = (row for batch in scan_batches(out["trajectories"], tables.TRAJECTORIES) for row in batch.to_pylist())
    write_csv(out["ways"], tables.TRAJECTORIES.names, ways)
    counts = Counter(row["status"] for row in rows)
    return {"videos": len(rows), **{status: counts[status] for status in ("ok", "failed")}}


def judge(rows: Sequence[dict[str, Any]]) -> None:
    """Leave videos of another shape than most out of comparisons, and tell of seeds that stand for no one video."""
    shapes = Counter(tuple(row["shape"]) for row in rows if row["status"] == "ok")
    # Of two as common the smaller one, whatever the order.
    usual = min(shapes, key=lambda shape: (-shapes[shape], shape), default=None)
    twice = Counter((row["group"], row["seed"]) for row in rows if row["status"] == "ok" and row["seed"] is not None)
    for row in rows:
        if row["status"] != "ok":
            row["compared"] = False
            continue
        row["compared"] = tuple(row["shape"]) == usual
        if not row["compared"]:
            shape, others = list(row["shape"]), list(usual or ())
            row["reason"] = f"its shape {shape} is not that of the study, {others}: measured, but not compared"
        if twice[row["group"], row["seed"]] > 1:
            row["notices"] = [*row["notices"], f"seed {row['seed']} stands twice in {row['group']}: not paired"]


def compare_steps(
    indices: Sequence[str],
    videos: str,
    steps: Sequence[int],
    grams: Sequence[str],
    out: Mapping[str, str],
    *,
    baseline: str,
    pair_by_seed: str,
    scratch: Path | str,
    most: int = 3000,
    memory_mb: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the products of all latents of each step, and what follows of them for videos and groups.

    Memory: a block of 64 MiB, and the square of the number of videos.

    Parameters
    ----------
    most
        Of more videos at a step none is compared, since the time goes with their square.
    memory_mb
        MiB that this process may take; 0 for as many as it needs.

    Raises
    ------
    BudgetError
        It would take more; said before a latent is read.
    """
    judged = {row["video"]: row for row in read_table(videos, tables.VIDEOS).to_pylist() if row["compared"]}
    known = [row for path in indices for row in read_table(path, tables.INDEX).to_pylist() if row["video"] in judged]
    of_videos: list[dict[str, Any]] = []
    of_groups: list[dict[str, Any]] = []
    counts = Counter(file["step"] for row in known for file in row["held"])
    at_once = {step: counts[step] if counts[step] <= most else 0 for step in steps}
    refuse_squares(max(at_once.values(), default=0), memory_mb)
    for done, (step, path) in enumerate(zip(steps, grams, strict=True)):
        if progress is not None:
            progress(done, len(steps))
        rows = [row for row in known if at_once[step] and any(file["step"] == step for file in row["held"])]
        if counts[step] > most:
            log.warning("step %d: %s", step, too_many(counts[step], most))
        with seekable(stored_at(rows, step), Path(scratch)) as ready:
            products = gram(ready, device=device)
        with atomic_path(path) as temporary:
            np.save(temporary, products)
        if not rows:
            continue
        places = unique_seeds(rows) if pair_by_seed == "auto" else [Place(row["group"], None) for row in rows]
        with one_thread_of_all():
            found = cross(products, int(np.prod(rows[0]["shape"])), places, baseline)
        for row, branch, leave, at in zip(rows, found.branch_distance, found.exit_distance, found.places, strict=True):
            unit = {name: row[name] for name in ("video", "group", "seed")} | {"step": step}
            values = {"branch_distance": branch, "exit_distance": leave, "map_x": at[0], "map_y": at[1]}
            of_videos.append(unit | _known(values))
        of_groups += [{"group": name, "step": step} | _known(values) for name, values in found.groups.items()]
    write_table(out["videos"], of_videos, tables.STEP_VIDEOS)
    write_table(out["groups"], of_groups, tables.STEP_GROUPS)
    left_out = [step for step in steps if counts[step] > most]
    return {"steps": len(steps), "videos": len(known), "steps_left_out": left_out}


def _known(values: Mapping[str, float]) -> dict[str, Any]:
    return {
        name: None if np.isnan(value) else int(value) if name == "n_dimension" else float(value)
        for name, value in values.items()
    }
