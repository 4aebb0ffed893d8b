"""What following objects will take of memory, said before any window runs: a table of all videos, devices and chunks.

The model's part is rehearsed without numbers (`longtake.annotate.rehearsal`); what Python and the libraries hold is
measured on this machine, once, by a window job of the embedded model in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from longtake.annotate.passes import BLOCK_BYTES, BLOCK_FRAMES, BLOCK_SPAN
from longtake.annotate.pipeline import DEPTH
from longtake.annotate.rehearsal import Rehearsed, rehearse
from longtake.annotate.tracker import tracker_digest
from longtake.annotate.trial import FRAMES, SCALE, SIZE, run
from longtake.annotate.window import ALWAYS, AUTO, OVERLAP
from longtake.errors import OutOfMemory
from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES, MIB
from longtake.memory.caching import reserved
from longtake.memory.calibrate import Line, fit
from longtake.memory.forecast import CALIBRATED, COLUMNS, DECODER_PICTURES, FOUND, SIMULATED, Forecast, key_of
from longtake.memory.heap import footprint
from longtake.store.atomic import write_tsv

log = logging.getLogger(__name__)

Location = str | os.PathLike[str]
EMBEDDED = Path(__file__).resolve().parents[2] / "models" / "sam2-pond"
# Each number of objects up to this one is rehearsed for itself.
_EACH = 8
# A model is tried with so many objects, where that takes no more seconds than this.
_TRIED = 4
_CHEAP_S = 60.0
# Bytes that a job's process took for each that was simulated: least, most, usual. Chosen by hand after a first run of
# some cases of benchmarks/forecast.py, in which it was 1.02 to 1.45; two trials of small models differ by chance.
_SLOPES = 1.0, 1.25, 1.15

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Case:
    """What the memory of a window job depends on, apart from the model and the machine.

    `decoded`, `coded` and `source` are widths and heights in pixels; `chunk` is as asked, more than there are objects
    being no more than all of them. `block_frames` are decoded frames that a backward pass holds.
    """

    objects: int
    chunk: int
    decoded: tuple[int, int]
    coded: tuple[int, int]
    source: tuple[int, int]
    sample_bytes: int
    precision: str
    max_conditioning_frames: int | None
    seeding: bool
    block_frames: int


@dataclass(frozen=True)
class Needs:
    """Bytes of a case by owner, without base and context, on the CPU; and floating point operations of a frame.

    `reserved` is what a GPU's allocator would hold of state and activations.
    """

    owners: dict[str, int]
    reserved: int
    flops: int


@dataclass(frozen=True)
class Machine:
    """What a job's process holds on this machine, as a line over what is simulated, and how fast it computes.

    `points` are those that the line was fitted to: (simulated, measured) bytes.
    """

    points: Points
    line: Line
    flops_per_s: float
    source: str


def forecast_annotate(
    *,
    summaries: Sequence[Location],
    objects: Mapping[str, int],
    model_dir: Location,
    options: Mapping[str, Any],
    force_cpu: bool,
    out: Location,
    threads: int = 1,
) -> dict[str, Any]:
    """Write what each video's window jobs will take at their peak, for each device and chunk (`longtake.memory`).

    Memory: that of a small window job, in a process of its own, and the model's shapes. Time: seconds for each distinct
    (frame size, number of objects), however many videos there are.

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
        A tab-separated table with the columns of `longtake.memory.forecast.COLUMNS`.

    Returns
    -------
    dict
        Counts, and the base that was measured, in bytes.

    Raises
    ------
    ModelError
        The folder is no tracker's.
    """
    digest = tracker_digest(model_dir)
    line: Machine | None = None
    known: dict[Case, Needs] = {}
    rows: list[Forecast] = []
    for path in summaries:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if facts["status"] != "ok":
            continue
        for case in cases(facts, objects.get(facts["video"], 0), options):
            if case not in known:
                known[case] = needs(model_dir, case)
            line = line or calibrated(model_dir, known[case].flops / case.objects, threads)
            devices = ("cpu",) if force_cpu else ("cpu", "cuda")
            rows += [_forecast(line, digest, facts["video"], case, device, known[case]) for device in devices]
    write_tsv(out, COLUMNS, (row.row() for row in rows))
    counts = {"videos": len({row.video for row in rows}), "forecasts": len(rows), "cases": len(known)}
    if line is None:
        return counts
    log.info("%s; base %.0f MiB, slope %.2f, %s", counts, line.line.base / MIB, line.line.slope, line.source)
    return counts | {"base_bytes": round(line.line.base), "slope": round(line.line.slope, 3), "source": line.source}


def cases(facts: Mapping[str, Any], objects: int, options: Mapping[str, Any]) -> list[Case]:
    """List the ways to follow `objects` in a video with these facts: batches as asked, then halves down to one."""
    asked = int(options.get("object_batch", 1))
    given = options.get("dense_seeding", "never")
    seeding = given == ALWAYS or (given == AUTO and (not objects or options.get("continuity") == OVERLAP))
    scale = float(options["scale"])
    source = int(facts["width"]), int(facts["height"])
    decoded = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
    count = objects or (FOUND if seeding else 1)
    case = Case(
        objects=count,
        chunk=asked,
        decoded=decoded,
        coded=(int(facts.get("coded_width") or source[0]), int(facts.get("coded_height") or source[1])),
        source=source,
        sample_bytes=2 if any(bits in str(facts.get("pixel_format")) for bits in ("10", "12", "14", "16")) else 1,
        precision=str(options.get("precision", "float32")),
        max_conditioning_frames=options.get("max_conditioning_frames"),
        seeding=seeding,
        block_frames=_blocks(facts, options, decoded),
    )
    smaller = []
    chunk = asked
    while chunk > 1:
        chunk //= 2
        if chunk < count:
            smaller.append(replace(case, chunk=chunk))
    return [case, *smaller]


def _blocks(facts: Mapping[str, Any], options: Mapping[str, Any], decoded: tuple[int, int]) -> int:
    """Frames that a backward pass holds: two blocks of `longtake.annotate.passes.read_in_order`."""
    if options.get("direction", "forward") == "forward":
        return 0
    interval = int(options.get("frame_interval", 1))
    block = min(BLOCK_FRAMES, BLOCK_BYTES // (3 * decoded[0] * decoded[1]), BLOCK_SPAN // interval + 1)
    return min(2 * max(1, block), -(-int(facts["frames"]) // interval))


def needs(model_dir: Location, case: Case) -> Needs:
    """Rehearse a case; between powers of two of more than eight objects, as a straight line.

    What is needed is the greatest of several straight lines over the number of objects, so that between two of them
    nothing is forecast too low.
    """
    below = 1 << (case.objects.bit_length() - 1)
    if case.objects <= _EACH or below == case.objects:
        return _rehearsed(str(model_dir), case)
    low, high = (_rehearsed(str(model_dir), replace(case, objects=count)) for count in (below, 2 * below))
    part = (case.objects - below) / below
    between = {name: round(value + part * (high.owners[name] - value)) for name, value in low.owners.items()}
    reserved_bytes = round(low.reserved + part * (high.reserved - low.reserved))
    return Needs(between, reserved_bytes, round(low.flops + part * (high.flops - low.flops)))


@cache
def _rehearsed(model_dir: str, case: Case) -> Needs:
    found = rehearse(
        model_dir,
        case.objects,
        object_batch=min(case.chunk, case.objects),
        precision=case.precision,
        max_conditioning_frames=case.max_conditioning_frames,
        seeding=case.seeding,
    )
    parts = {
        "parameters": found.parameters,
        "frames": _frames(found, case),
        "state": found.state,
        "activations": max(footprint(found.events) - found.state, found.activations) + _drawing(found, case),
    }
    return Needs(parts, reserved(found.events) + found.frame, found.flops)


def _frames(found: Rehearsed, case: Case) -> int:
    """Bytes of pictures at the decoder, and of frames on their way to the model: in use, waiting, being made."""
    decoded = 3 * case.decoded[0] * case.decoded[1]
    pictures = DECODER_PICTURES * case.coded[0] * case.coded[1] * 3 // 2 * case.sample_bytes
    made = max(2 * found.frame, 4 * decoded + found.frame)
    return pictures + 2 * decoded + case.block_frames * decoded + DEPTH * found.frame + made


def _drawing(found: Rehearsed, case: Case) -> int:
    """Bytes of masks that wait to be drawn, and of one being drawn over the whole frame."""
    return found.logits + 3 * 4 * case.source[0] * case.source[1]


def _forecast(  # noqa: PLR0917 - each is a fact of its own
    known: Machine, digest: str, video: str, case: Case, device: str, needed: Needs
) -> Forecast:
    at_a_time = min(case.chunk, case.objects)
    parts = dict(needed.owners)
    host, gpu = {"base": round(known.line.base), **parts}, {}
    # What the heap holds for nothing lies between tensors that come and go.
    host["activations"] += round((known.line.slope - 1) * sum(parts.values()))
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
        f"{case.objects} objects, {at_a_time} at a time",
        host,
        gpu,
        seconds_per_frame=needed.flops / known.flops_per_s if device == "cpu" else None,
        source=known.source if device == "cpu" else SIMULATED,
        key=key_of(step="annotate", device=device, **facts),
    )


def calibrated(model_dir: Location, flops: float, threads: int = 1) -> Machine:
    """Try the model itself on this machine, where that is cheap; else what the embedded model told counts.

    `flops` are floating point operations of a frame with one object.
    """
    told = _tried(str(EMBEDDED), threads)
    if FRAMES * _TRIED * flops / told.flops_per_s > _CHEAP_S:
        return replace(told, source=SIMULATED)
    try:
        return _tried(str(Path(model_dir).resolve()), threads)
    except OutOfMemory as error:
        log.warning("not calibrated: %s", error)
        return replace(told, source=SIMULATED)


@cache
def _tried(model_dir: str, threads: int) -> Machine:
    points = [] if model_dir == str(EMBEDDED) else list(_tried(str(EMBEDDED), threads).points)
    facts = {"width": SIZE[0], "height": SIZE[1]}
    found = needs(model_dir, cases(facts, _TRIED, {"scale": SCALE, "object_batch": _TRIED})[0])
    trial = run(model_dir, _TRIED, threads=threads)
    points.append((float(sum(found.owners.values())), float(trial.rss)))
    return Machine(tuple(points), fit(points, *_SLOPES), found.flops / trial.seconds_per_frame, CALIBRATED)
