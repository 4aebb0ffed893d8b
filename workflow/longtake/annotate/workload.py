"""What following objects will take of memory, said before any window runs (`longtake.planning.driver`).

The model's part is simulated without numbers (`longtake.annotate.simulation`); what Python and the libraries hold is
measured on this machine, once, by a window job of the embedded model in a process of its own. What was found out may be
kept (`longtake.planning.cache`); PyTorch is loaded only where something is not known yet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
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
from longtake.planning.cache import Known
from longtake.planning.calibrate import fit
from longtake.planning.driver import Ask, Footprint, Probe, Workload
from longtake.planning.forecast import CALIBRATED, SIMULATED
from longtake.unit import Study

log = logging.getLogger(__name__)

EMBEDDED = Path(__file__).resolve().parents[2] / "models" / "sam2-pond"
# Each number of objects up to this one is simulated for itself.
_EACH = 8
# A model is tried with so many objects, where that takes no more seconds than this.
_TRIED = 4
_CHEAP_S = 60.0
# Bytes that a job's process took for each that was simulated: least, most, usual. Chosen by hand after a first run of
# some cases of benchmarks/forecast.py, in which it was 1.02 to 1.45; two trials of small models differ by chance.
_SLOPES = 1.0, 1.25, 1.15


def model(study: Study) -> str:
    """Return the tracker's folder."""
    return str(study.facts["model"])


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the ways to follow the objects of each video: batches as asked, then halves down to one.

    Facts: ``model``, the tracker's folder; ``objects`` at a time, and ``prompted`` frames of one, of each video; and
    ``options`` of `longtake.annotate.window.annotate_window` that hold for all windows, with the ``direction``.

    Memory: the model's shapes. Time: seconds for each distinct number of objects that is not known yet, however many
    videos there are.

    Raises
    ------
    ModelError
        The folder is no tracker's.
    """
    facts = ask.study.facts
    options, prompted = facts["options"], facts["prompted"]
    folder, known = model(ask.study), ask.known
    digest = known.value(lambda: _digest(folder), what="digest")
    needed: dict[Case, Needs] = {}
    for video in ask.readable():
        name = video["video"]
        read = _frames_read(folder, prompted.get(name, 1), options, known)
        for case in cases(video, facts["objects"].get(name, 0), options, read):
            if case not in needed:
                needed[case] = needs(folder, case, known)
            at_a_time = min(case.chunk, case.objects)
            yield Workload(
                name,
                case.chunk,
                _way(case, at_a_time),
                {**vars(case), "chunk": at_a_time, "model": digest},
                {"objects": case.objects, "prompted": case.conditioning_frames},
                _footprint(needed[case]),
                case,
            )


def probe(ask: Ask, first: Workload) -> Probe:
    """Try the model on this machine (`calibrated`)."""
    effort = first.footprint.effort if first.footprint else 0.0
    machine = calibrated(model(ask.study), effort / first.detail.objects, ask.threads, ask.known)
    return Probe(round(machine.line.base), machine.line.slope, speed=machine.flops_per_s, source=machine.source)


def _footprint(needed: Needs) -> Footprint:
    parts = needed.owners
    gpu = {name: parts[name] for name in ("parameters", "state")}
    gpu["activations"] = max(0, needed.reserved - parts["state"])
    return Footprint(parts, gpu, {name: parts[name] for name in ("parameters", "frames")}, needed.flops)


def needs(model_dir: Location, case: Case, known: Known | None = None) -> Needs:
    """Simulate a case; between powers of two of more than eight objects, as a straight line.

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
    return Taken(**known.value(lambda: asdict(_simulated(str(model_dir), **facts)), what="steps", **facts))


# What is not known yet needs PyTorch and the model, which take seconds to load.


def _digest(model_dir: Location) -> str:
    from longtake.annotate.tracker import tracker_digest

    return tracker_digest(model_dir)


def _most_read(model_dir: Location, setting: int | None) -> int:
    from longtake.annotate.tracker import most_conditioning_frames

    return most_conditioning_frames(model_dir, setting)


@cache
def _simulated(model_dir: str, **facts: Any) -> Taken:
    from longtake.annotate.simulation import simulate, taken

    return taken(simulate(model_dir, **facts))


@cache
def _tried(folder: Path, threads: int) -> Trial:
    from longtake.annotate.trial import run

    return run(folder, _TRIED, threads=threads)


def _way(case: Case, at_a_time: int) -> str:
    read = f", {case.conditioning_frames} prompted frames of each" if case.conditioning_frames > 1 else ""
    return f"{case.objects} objects, {at_a_time} at a time{read}"
