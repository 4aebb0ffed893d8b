"""What following objects will take of memory, said before any window runs: a table of all videos, devices and chunks.

The model's part is rehearsed without numbers (`longtake.annotate.rehearsal`); what Python and the libraries hold is
measured on this machine, once, by a window job of the embedded model in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from longtake.annotate.passes import BLOCK_BYTES
from longtake.annotate.pipeline import DEPTH
from longtake.annotate.rehearsal import Rehearsed, rehearse
from longtake.annotate.tracker import tracker_digest
from longtake.annotate.window import ALWAYS, AUTO, OVERLAP, annotate_window
from longtake.media import index_video, save_index, write_video
from longtake.memory.calibrate import measure
from longtake.memory.forecast import COLUMNS, Forecast, key_of
from longtake.memory.heap import footprint
from longtake.sheets import Prompt
from longtake.store.atomic import write_tsv
from longtake.windows import Window

log = logging.getLogger(__name__)

Location = str | os.PathLike[str]
EMBEDDED = Path(__file__).parents[2] / "models" / "sam2-pond"
# Objects where nobody counted them and frames are searched; measured peaks of jobs correct it.
_FOUND = 16
# Pictures that a decoder holds: those others refer to, and those that wait for their turn.
_PICTURES = 8
# A context of CUDA with the libraries' handles. No GPU was at hand to measure it.
_CONTEXT = 512 * 2**20
_LIBRARIES = ("torch", "transformers", "numpy", "av")


@dataclass(frozen=True)
class Case:
    """What the memory of a window job depends on, apart from the model and the machine.

    `decoded`, `coded` and `source` are widths and heights in pixels; `chunk` is as asked, more than there are objects
    being no more than all of them.
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
    backward: bool


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
    machine = _Machine(Path(model_dir), tracker_digest(model_dir), measured_base(threads))
    known: dict[Case, dict[str, int]] = {}
    rows: list[Forecast] = []
    for path in summaries:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if facts["status"] != "ok":
            continue
        for case in cases(facts, objects.get(facts["video"], 0), options):
            if case not in known:
                known[case] = owners(model_dir, case)
            devices = ("cpu",) if force_cpu else ("cpu", "cuda")
            rows += [_forecast(machine, facts["video"], case, device, known[case]) for device in devices]
    write_tsv(out, COLUMNS, (row.row() for row in rows))
    counts = {"videos": len({row.video for row in rows}), "forecasts": len(rows), "rehearsals": len(known)}
    log.info("%s; the base is %.0f MiB", counts, machine.base / 2**20)
    return counts | {"base_bytes": machine.base}


@dataclass(frozen=True)
class _Machine:
    """What all forecasts of a run share: the model, and what this machine holds before it is loaded."""

    folder: Path
    digest: str
    base: int


def cases(facts: Mapping[str, Any], objects: int, options: Mapping[str, Any]) -> list[Case]:
    """List the ways to follow `objects` in a video with these facts: batches as asked, then halves down to one."""
    asked = int(options.get("object_batch", 1))
    given = options.get("dense_seeding", "never")
    seeding = given == ALWAYS or (given == AUTO and (not objects or options.get("continuity") == OVERLAP))
    scale = float(options["scale"])
    source = int(facts["width"]), int(facts["height"])
    count = objects or (_FOUND if seeding else 1)
    case = Case(
        objects=count,
        chunk=asked,
        decoded=(max(1, round(source[0] * scale)), max(1, round(source[1] * scale))),
        coded=(int(facts.get("coded_width") or source[0]), int(facts.get("coded_height") or source[1])),
        source=source,
        sample_bytes=2 if any(bits in str(facts.get("pixel_format")) for bits in ("10", "12", "14", "16")) else 1,
        precision=str(options.get("precision", "float32")),
        max_conditioning_frames=options.get("max_conditioning_frames"),
        seeding=seeding,
        backward=options.get("direction", "forward") != "forward",
    )
    smaller = []
    chunk = asked
    while chunk > 1:
        chunk //= 2
        if chunk < count:
            smaller.append(replace(case, chunk=chunk))
    return [case, *smaller]


def owners(model_dir: Location, case: Case) -> dict[str, int]:
    """Return the bytes of everything but base and context, by owner, on the CPU."""
    found = rehearse(
        model_dir,
        case.objects,
        object_batch=min(case.chunk, case.objects),
        precision=case.precision,
        max_conditioning_frames=case.max_conditioning_frames,
        seeding=case.seeding,
    )
    return {
        "parameters": found.parameters,
        "frames": _frames(found, case),
        "state": found.state,
        "activations": footprint(found.events) - found.state + _drawing(found, case),
    }


def _frames(found: Rehearsed, case: Case) -> int:
    """Bytes of pictures at the decoder, and of frames on their way to the model: in use, waiting, being made."""
    decoded = 3 * case.decoded[0] * case.decoded[1]
    pictures = _PICTURES * case.coded[0] * case.coded[1] * 3 // 2 * case.sample_bytes
    made = max(2 * found.frame, 4 * decoded + found.frame)
    block = 2 * BLOCK_BYTES if case.backward else 0
    return pictures + 2 * decoded + block + (DEPTH * found.frame) + made


def _drawing(found: Rehearsed, case: Case) -> int:
    """Bytes of masks that wait to be drawn, and of one being drawn over the whole frame."""
    return DEPTH * found.logits + 3 * 4 * case.source[0] * case.source[1]


def _forecast(machine: _Machine, video: str, case: Case, device: str, needs: Mapping[str, int]) -> Forecast:
    at_a_time = min(case.chunk, case.objects)
    host, gpu = {"base": machine.base, **needs}, {}
    if device == "cuda":
        gpu = {"context": _CONTEXT, **{owner: needs[owner] for owner in ("parameters", "state", "activations")}}
        host = {"base": machine.base, "parameters": needs["parameters"], "frames": needs["frames"]}
    libraries = {name: version(name) for name in _LIBRARIES}
    facts = {**vars(case), "chunk": at_a_time, "model": machine.digest, "libraries": libraries}
    key = key_of(step="annotate", device=device, **facts)
    way = f"{case.objects} objects, {at_a_time} at a time"
    return Forecast("annotate", video, device, case.chunk, way, host, gpu, key=key)


@cache
def measured_base(threads: int = 1) -> int:
    """Measure what a window job has resident on this machine beside what is forecast of it, in bytes.

    A job of the embedded model runs in a process of its own; what is forecast of that is taken off its peak.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = _small_job(Path(folder))
        peak = measure(annotate_window, arguments, threads=threads).rss
    width, height = _SMALL
    facts = {"width": width, "height": height}
    (case,) = cases(facts, 1, {"scale": 1.0})
    return peak - sum(owners(EMBEDDED, case).values())


_SMALL = 128, 96
_SMALL_FRAMES = 6


def _small_job(folder: Path) -> dict[str, Any]:
    """Give the arguments of a window job on a small video that is written to `folder`."""
    width, height = _SMALL
    picture = np.arange(3 * width * height, dtype=np.uint32).reshape(height, width, 3)
    frames = ((number, (picture + 7 * number).astype(np.uint8)) for number in range(_SMALL_FRAMES))
    write_video(folder / "video.mp4", frames, time_base=Fraction(1, 10), width=width, height=height)
    save_index(index_video(folder / "video.mp4"), folder / "index.parquet")
    box = (0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height)
    return {
        "video_path": folder / "video.mp4",
        "index_path": folder / "index.parquet",
        "window": Window("small", 0, 0, _SMALL_FRAMES, 0, _SMALL_FRAMES, 0.0, _SMALL_FRAMES / 10),
        "prompts": [Prompt(2, "small", "object", "object", 0, None, *box, None)],
        "model_dir": EMBEDDED,
        "scale": 1.0,
        "frame_interval": 1,
        "state_in": None,
        "detections_out": folder / "detections.parquet",
        "state_out": folder / "state.safetensors",
    }
