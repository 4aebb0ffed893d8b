"""What a window's gradients will need of memory, for every way they could be had.

A way is rehearsed with fake tensors (`longtake.bounded.planning`); what the heap would take for its allocations is
found by replaying them (`longtake.memory.heap`). What a process holds before its first clip is measured on this machine
(`longtake.gradients.resident`), the rest is arithmetic. A way depends on the size at which the model sees a clip, not
on the video, so each size is rehearsed once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.bounded.planning import Rehearsed, splits
from longtake.config import GradientOptions
from longtake.errors import ModelError
from longtake.gradients.attribution import ClipFrames, Grant, ways_for
from longtake.gradients.resident import Resident, resident
from longtake.memory.budget import CONTEXT, GIB
from longtake.memory.forecast import COLUMNS, Forecast, key_of
from longtake.memory.heap import footprint
from longtake.models import Adapter, SplitAdapter, load_model
from longtake.models.targets import FixedTarget
from longtake.store.atomic import write_tsv

logger = logging.getLogger(__name__)
PathLikes = Sequence[str | PathLike[str]]

LIBRARIES = 2**30
"""Bytes of the host's memory that a process that uses a GPU takes more for its libraries; not measured."""
SEGMENT = 20 * 2**20
"""PyTorch's allocator takes tensors of 1 to 10 MiB out of segments of this size, so up to one is held for nothing."""
OBJECTS = 4
"""Objects that are taken to be seen at the same time. One more takes the pixels of its clips."""
DECODER = 8
"""Pictures that a decoder holds for reference, and on their way out."""


@dataclass(frozen=True)
class Clips:
    """Clips of one shape as a model sees them, and how their gradient can be had, fastest first.

    `model` is a digest of the model's parts and their shapes.
    """

    n_frames: int
    height: int
    width: int
    model: str
    ways: tuple[Rehearsed, ...]
    heaps: tuple[int, ...]


def forecast_gradients(
    *,
    summaries: PathLikes,
    options: GradientOptions,
    force_cpu: bool,
    out: str | PathLike[str],
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write a table of `Forecast` of the windows of each readable video: on the CPU, and on a GPU if it may be used.

    Parameters
    ----------
    summaries : what the step probe found, JSON, one of each video
    options : their `chunk_size` and `memory_gb` leave out ways that a job may not go
    threads : as many as a job will have
    progress : called with videos done and videos

    Returns
    -------
    Number of videos, of sizes that were rehearsed, and of rows. A model whose memory cannot be rehearsed has no rows.

    Raises
    ------
    ModelError : the model cannot be loaded.
    """
    torch.set_num_threads(threads)
    adapter = load_model(options.model)
    held = resident(options.model, threads)
    known: dict[tuple[int, int], Clips | None] = {}
    rows: list[Forecast] = []
    for done, path in enumerate(summaries, start=1):
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if facts["status"] == "ok":
            size = adapter.input_size(facts["height"], facts["width"])
            if size not in known:
                known[size] = rehearsed(adapter, size, options)
            clips = known[size]
            if clips is not None:
                rows += forecasts(clips, facts, options, held, force_cpu=force_cpu)
        if progress is not None:
            progress(done, len(summaries))
    write_tsv(out, COLUMNS, [row.row() for row in rows])
    return {"videos": len({row.video for row in rows}), "sizes": len(known), "rows": len(rows)}


def rehearsed(adapter: Adapter, size: tuple[int, int], options: GradientOptions) -> Clips | None:
    """Rehearse the ways to the gradient of a clip of this size; None where the model cannot be rehearsed.

    A way that takes no less than a faster one is left out, and so is one that takes more than `memory_gb`, unless
    nothing would be left. For a model that splits, one frame at a time is the last that is looked at.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (options.max_frames, *size, 3), dtype=np.uint8)
    frames = ClipFrames(pixels, torch.device("cpu"))
    grant = Grant(chunk_size=options.chunk_size, splits=isinstance(adapter, SplitAdapter) and splits(adapter, frames))
    found: list[Rehearsed] = []
    try:
        for each in ways_for(adapter, frames, FixedTarget(None, adapter.class_names), grant):
            if grant.splits and found and each.way.chunk_size is None:
                break
            if not found or each.peak < found[-1].peak:
                found.append(each)
    except ModelError as error:
        logger.warning("no forecast for clips of %d x %d pixels: %s", *size, error)
        return None
    limit = options.memory_gb * GIB
    found = [each for each in found if not limit or each.peak <= limit] or found[-1:]
    heaps = tuple(footprint(each.events) for each in found)
    return Clips(options.max_frames, *size, _digest(adapter), tuple(found), heaps)


def forecasts(
    clips: Clips, facts: Mapping[str, Any], options: GradientOptions, held: Resident, *, force_cpu: bool
) -> Iterator[Forecast]:
    """Forecast the job of a window of one video, one row for each way and device.

    Parameters
    ----------
    facts : what the step probe found of the video
    held : what the process holds beside that
    """
    frames = frame_bytes(clips, facts, options)
    for device in ["cpu"] if force_cpu else ["cpu", "cuda"]:
        for each, heap in zip(clips.ways, clips.heaps, strict=True):
            chunk = each.way.chunk_size or clips.n_frames
            whole = 0 if each.way.chunk_size else 12 * clips.n_frames * clips.height * clips.width
            host = {"base": held.base, "parameters": held.parameters, "frames": frames}
            gpu: dict[str, int] = {}
            if device == "cpu":
                host |= {"frames": frames + whole, "activations": heap}
            else:
                host["base"] += LIBRARIES
                gpu = {"context": CONTEXT, "parameters": held.parameters, "frames": whole}
                gpu["activations"] = each.peak + SEGMENT
            # Where the peak is when the model is loaded: its weights are then read a second time.
            host["parameters"] += max(0, held.loading - sum(host.values()))
            key = key_of(
                step="gradients",
                model=clips.model,
                clip=[clips.n_frames, clips.height, clips.width],
                source=[facts["height"], facts["width"], options.clip_stride],
                chunk=chunk,
                way=each.way.name,
                device=device,
                torch=torch.__version__,
            )
            name = each.way.name
            yield Forecast("gradients", facts["video"], device, chunk, name, host, gpu, key=key)


def frame_bytes(clips: Clips, facts: Mapping[str, Any], options: GradientOptions) -> int:
    """Bytes of pictures: decoded ones, those of open clips with their masks, a disturbed one, and gradient maps."""
    source = facts["height"] * facts["width"]
    decoded = 3 * (options.clip_stride + 2) * source + DECODER * source * 3 // 2
    clip = clips.n_frames * clips.height * clips.width
    kept = OBJECTS * options.clips_per_window
    # Pixels and masks of each open clip, float16 maps of each that is done; of the present one float32 maps, twice.
    return decoded + OBJECTS * 4 * clip + kept * 2 * clip + 2 * 4 * clip + 3 * clip


def _digest(adapter: Adapter) -> str:
    """What the memory of a model's gradient depends on: its parts in order, and the shapes of their tensors."""
    parts = [(name, type(part).__name__) for name, part in adapter.module.named_modules()]
    shapes = [(name, tuple(each.shape), str(each.dtype)) for name, each in adapter.module.state_dict().items()]
    return hashlib.sha256(repr((parts, shapes)).encode()).hexdigest()[:16]
