"""What following objects will take of memory, said before any window runs: a table of all videos, devices and chunks.

The model's part is rehearsed without numbers (`longtake.annotate.rehearsal`); what Python and the libraries hold is
measured on this machine, once, by a window job of the embedded model in a process of its own. What was found out may be
kept (`longtake.planning.cache`); PyTorch is loaded only where something is not known yet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from longtake.annotate.cases import (
    FRAMES,
    SCALE,
    SIZE,
    Case,
    Machine,
    Needs,
    Taken,
    Trial,
    cases,
    frames_read,
    needs_of,
)
from longtake.errors import OutOfMemory
from longtake.kinds import Location
from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES, MIB
from longtake.planning.cache import Known
from longtake.planning.calibrate import fit
from longtake.planning.forecast import CALIBRATED, COLUMNS, SIMULATED, Forecast, key_of
from longtake.status import Status
from longtake.store.atomic import write_tsv

log = logging.getLogger(__name__)

EMBEDDED = Path(__file__).resolve().parents[2] / "models" / "sam2-pond"
# Each number of objects up to this one is rehearsed for itself.
_EACH = 8
# A model is tried with so many objects, where that takes no more seconds than this.
_TRIED = 4
_CHEAP_S = 60.0
# Bytes that a job's process took for each that was simulated: least, most, usual. Chosen by hand after a first run of
# some cases of benchmarks/forecast.py, in which it was 1.02 to 1.45; two trials of small models differ by chance.
_SLOPES = 1.0, 1.25, 1.15


def forecast_annotate(
    *,
    summaries: Sequence[Location],
    objects: Mapping[str, int],
    model_dir: Location,
    options: Mapping[str, Any],
    force_cpu: bool,
    out: Location,
    prompted: Mapping[str, int] | None = None,
    threads: int = 1,
    known: Known | None = None,
) -> dict[str, Any]:
    """Write what each video's window jobs will take at their peak, for each device and chunk (`longtake.memory`).

    Memory: that of a small window job, in a process of its own, and the model's shapes. Time: seconds for each distinct
    number of objects that is not known yet, however many videos there are.

    Parameters
    ----------
    summaries
        What `longtake.media.probe_video` wrote of each video; one that is unreadable gets no row.
    objects
        How many objects are tracked at once in a video, by its name; a video that is missing here has none.
    model_dir
        The tracker's folder.
    options
        Those of `longtake.annotate.window.annotate_window` that hold for all windows, and optionally ``direction``.
    force_cpu
        Whether there are no rows for a GPU.
    out
        A tab-separated table with the columns of `longtake.planning.forecast.COLUMNS`.
    prompted
        On how many processed frames one object of a video is prompted, at most, by its name; 1 where it is missing.
    known
        What was found out before; by default everything is found out, and nothing is kept.

    Returns
    -------
    dict
        Counts, also of what was known and found out; and the base that was measured, in bytes.

    Raises
    ------
    ModelError
        The folder is no tracker's.
    """
    known = (known or Known()).of_model(model_dir)
    digest = known.value(lambda: _digest(model_dir), what="digest")
    line: Machine | None = None
    needed: dict[Case, Needs] = {}
    rows: list[Forecast] = []
    for path in summaries:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if facts["status"] != Status.OK:
            continue
        video = facts["video"]
        read = _frames_read(model_dir, (prompted or {}).get(video, 1), options, known)
        for case in cases(facts, objects.get(video, 0), options, read):
            if case not in needed:
                needed[case] = needs(model_dir, case, known)
            line = line or calibrated(model_dir, needed[case].flops / case.objects, threads, known)
            devices = ("cpu",) if force_cpu else ("cpu", "cuda")
            rows += [_forecast(line, digest, video, case, device, needed[case]) for device in devices]
    write_tsv(out, COLUMNS, (row.row() for row in rows))
    counts = {"videos": len({row.case for row in rows}), "forecasts": len(rows), "cases": len(needed), **known.counts}
    if line is None:
        return counts
    log.info("%s; base %.0f MiB, slope %.2f, %s", counts, line.line.base / MIB, line.line.slope, line.source)
    return counts | {"base_bytes": round(line.line.base), "slope": round(line.line.slope, 3), "source": line.source}


def needs(model_dir: Location, case: Case, known: Known | None = None) -> Needs:
    """Rehearse a case; between powers of two of more than eight objects, as a straight line.

    What is needed is the greatest of several straight lines over the number of objects, so that between two of them
    nothing is forecast too low. `known` is of this model.
    """
    known = known or Known()
    below = 1 << (case.objects.bit_length() - 1)
    if case.objects <= _EACH or below == case.objects:
        return needs_of(case, _taken(model_dir, case, known))
    both = (replace(case, objects=count) for count in (below, 2 * below))
    low, high = (needs_of(each, _taken(model_dir, each, known)) for each in both)
    part = (case.objects - below) / below
    between = {name: round(value + part * (high.owners[name] - value)) for name, value in low.owners.items()}
    reserved_bytes = round(low.reserved + part * (high.reserved - low.reserved))
    return Needs(between, reserved_bytes, round(low.flops + part * (high.flops - low.flops)))


def calibrated(model_dir: Location, flops: float, threads: int = 1, known: Known | None = None) -> Machine:
    """Try the model itself on this machine, where that is cheap; else what the embedded model told counts.

    `flops` are floating point operations of a frame with one object; `known` is of this model.
    """
    known = known or Known()
    told = _machine([], EMBEDDED, threads, known.of_model(EMBEDDED))
    if FRAMES * _TRIED * flops / told.flops_per_s > _CHEAP_S:
        return replace(told, source=SIMULATED)
    folder = Path(model_dir).resolve()
    if folder == EMBEDDED:
        return told
    try:
        return _machine(told.points, folder, threads, known)
    except OutOfMemory as error:
        log.warning("not calibrated: %s", error)
        return replace(told, source=SIMULATED)


def _machine(others: Iterable[tuple[float, float]], folder: Path, threads: int, known: Known) -> Machine:
    """What a trial of this model tells, beside the points of others; `known` is of it."""
    facts = {"width": SIZE[0], "height": SIZE[1]}
    found = needs(folder, cases(facts, _TRIED, {"scale": SCALE, "object_batch": _TRIED})[0], known)
    trial = Trial(**known.here(threads).value(lambda: asdict(_tried(folder, threads)), what="trial", objects=_TRIED))
    points = (*others, (float(sum(found.owners.values())), float(trial.rss)))
    return Machine(points, fit(points, *_SLOPES), found.flops / trial.seconds_per_frame, CALIBRATED)


def _frames_read(model_dir: Location, prompted: int, options: Mapping[str, Any], known: Known) -> int:
    """As `longtake.annotate.cases.frames_read`; the model is asked only where the answer could matter."""
    if prompted < 2:
        return 1
    setting = options.get("max_conditioning_frames")
    most = known.value(lambda: _most_read(model_dir, setting), what="conditioning", max_conditioning_frames=setting)
    return frames_read(prompted, most)


def _taken(model_dir: Location, case: Case, known: Known) -> Taken:
    """What the model's part takes, whatever the video's size."""
    facts = {
        "objects": case.objects,
        "object_batch": min(case.chunk, case.objects),
        "precision": case.precision,
        "max_conditioning_frames": case.max_conditioning_frames,
        "conditioning_frames": case.conditioning_frames,
        "seeding": case.seeding,
    }
    return Taken(**known.value(lambda: asdict(_rehearsed(str(model_dir), **facts)), what="steps", **facts))


# What is not known yet needs PyTorch and the model, which take seconds to load.


def _digest(model_dir: Location) -> str:
    from longtake.annotate.tracker import tracker_digest

    return tracker_digest(model_dir)


def _most_read(model_dir: Location, setting: int | None) -> int:
    from longtake.annotate.tracker import most_conditioning_frames

    return most_conditioning_frames(model_dir, setting)


@cache
def _rehearsed(model_dir: str, **facts: Any) -> Taken:
    from longtake.annotate.rehearsal import rehearse, taken

    return taken(rehearse(model_dir, **facts))


@cache
def _tried(folder: Path, threads: int) -> Trial:
    from longtake.annotate.trial import run

    return run(folder, _TRIED, threads=threads)


def _forecast(  # noqa: PLR0917 - each is a fact of its own
    machine: Machine, digest: str, video: str, case: Case, device: str, needed: Needs
) -> Forecast:
    at_a_time = min(case.chunk, case.objects)
    parts = dict(needed.owners)
    host, gpu = {"base": round(machine.line.base), **parts}, {}
    # What the heap holds for nothing lies between tensors that come and go.
    host["activations"] += round((machine.line.slope - 1) * sum(parts.values()))
    if device == "cuda":
        gpu = {"context": CONTEXT, "parameters": parts["parameters"], "state": parts["state"]}
        gpu["activations"] = max(0, needed.reserved - parts["state"])
        host = {owner: host[owner] for owner in ("base", "parameters", "frames")}
        host["base"] += CUDA_LIBRARIES
    facts = {**vars(case), "chunk": at_a_time, "model": digest}
    return Forecast(
        "annotate",
        video,
        device,
        case.chunk,
        _way(case, at_a_time),
        host,
        gpu,
        load={"objects": case.objects, "prompted": case.conditioning_frames},
        pace=needed.flops / machine.flops_per_s if device == "cpu" else None,
        source=machine.source if device == "cpu" else SIMULATED,
        key=key_of(step="annotate", device=device, **facts),
    )


def _way(case: Case, at_a_time: int) -> str:
    read = f", {case.conditioning_frames} prompted frames of each" if case.conditioning_frames > 1 else ""
    return f"{case.objects} objects, {at_a_time} at a time{read}"
