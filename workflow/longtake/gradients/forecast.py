"""What a window's gradients will need of memory, for every way they could be had.

A way is rehearsed with fake tensors (`longtake.bounded.planning`); what the heap, or a GPU's allocator, would take for
its allocations is found by replaying them (`longtake.memory.heap`, `longtake.memory.caching`). What a process holds
beside that is measured on this machine (`longtake.gradients.resident`), the rest is arithmetic. A way depends on the
size at which the model sees a clip, not on the video, so each size is rehearsed once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.bounded.planning import Rehearsed, splits
from longtake.bounded.run import Way
from longtake.config import GradientOptions
from longtake.errors import ModelError
from longtake.gradients.attribution import ClipFrames, Grant, ways_for
from longtake.gradients.perturbations import SHUFFLE
from longtake.gradients.resident import Resident, resident
from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES, GIB
from longtake.memory.caching import reserved
from longtake.memory.forecast import CALIBRATED, COLUMNS, DECODER_PICTURES, FOUND, SIMULATED, Forecast, key_of
from longtake.memory.heap import footprint
from longtake.models import Adapter, SplitAdapter, load_model
from longtake.models.targets import FixedTarget
from longtake.store.atomic import write_tsv

logger = logging.getLogger(__name__)
PathLikes = Sequence[str | PathLike[str]]

LOOSE, LOOSE_BYTES = 0.125, 8 * 2**20
"""Of what the heap takes for a gradient's tensors: what it takes more, as other blocks come between them, and other
gradients before; a share, and so many bytes of a small one again. Measured with `benchmarks/forecast_gradients.py`."""
REHEARSAL = 8 * 2**20
"""Bytes of Python's that stay of a job's own rehearsals: what is kept of operations, a copy of the model's parts."""


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


@dataclass(frozen=True)
class Seen:
    """What is known of a video's windows: objects at a time, and processed frames of the longest; 0 for unknown."""

    objects: int
    frames: int = 0


def forecast_gradients(
    *,
    summaries: PathLikes,
    options: GradientOptions,
    force_cpu: bool,
    out: str | PathLike[str],
    objects: Mapping[str, int] | None = None,
    frames: Mapping[str, int] | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write a table of `Forecast` of the windows of each readable video: on the CPU, and on a GPU if it may be used.

    Parameters
    ----------
    summaries : what the step probe found, JSON, one of each video
    options : their `chunk_size` and `memory_gb` leave out ways that a job may not go
    objects : at most how many of a video are seen at the same time; 0 where nobody counted them
    frames : processed frames of a video's longest window; where they are given, it is said how long one takes
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
    held = resident(options, threads)
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
                seen = _seen(facts["video"], options, objects or {}, frames or {})
                pairs = list(forecasts(clips, facts, seen, options, held))
                rows += [cpu for cpu, _ in pairs] + [cuda for _, cuda in pairs if not force_cpu]
        if progress is not None:
            progress(done, len(summaries))
    write_tsv(out, COLUMNS, [row.row() for row in rows])
    return {"videos": len({row.video for row in rows}), "sizes": len(known), "rows": len(rows)}


def _seen(video: str, options: GradientOptions, objects: Mapping[str, int], frames: Mapping[str, int]) -> Seen:
    found = objects.get(video) or FOUND
    return Seen(1 if options.clips == "even" else found, frames.get(video, 0))


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
    heaps = tuple(_loose(footprint(each.events)) for each in found)
    return Clips(options.max_frames, *size, _digest(adapter), tuple(found), heaps)


def _loose(heap: int) -> int:
    return heap + round(LOOSE * heap) + min(heap, LOOSE_BYTES)


def forecasts(
    clips: Clips, facts: Mapping[str, Any], seen: Seen, options: GradientOptions, held: Resident
) -> Iterator[tuple[Forecast, Forecast]]:
    """Forecast the job of a window of one video, for each way: on the CPU, and on a GPU.

    Parameters
    ----------
    facts : what the step probe found of the video
    held : what the process holds beside that
    """
    frames = frame_bytes(clips, facts, seen, options)
    for each, heap in zip(clips.ways, clips.heaps, strict=True):
        whole = 0 if each.way.chunk_size else 12 * clips.n_frames * clips.height * clips.width
        base = held.base + REHEARSAL
        mine = {"base": base, "parameters": held.parameters, "frames": frames + whole, "activations": heap}
        beside = {"base": base + CUDA_LIBRARIES, "parameters": held.parameters, "frames": frames}
        for host in (mine, beside):
            # The peak may be where the model is loaded: its weights are then read a second time.
            host["parameters"] += max(0, held.loading - sum(host.values()))
        gpu = {"context": CONTEXT, "parameters": held.parameters, "frames": whole, "activations": reserved(each.events)}
        known = key_of(
            step="gradients",
            model=clips.model,
            clip=[clips.n_frames, clips.height, clips.width],
            source=[facts["height"], facts["width"], options.clip_stride],
            clips=seen.objects * options.clips_per_window,
            blocks=repr(each.way),
        )
        cpu = Forecast(
            "gradients",
            facts["video"],
            "cpu",
            each.way.chunk_size or clips.n_frames,
            each.way.name,
            mine,
            seconds_per_frame=_pace(clips, each.way, seen, options, held),
            source=CALIBRATED,
            key=f"{known}-cpu",
        )
        cuda = replace(cpu, device="cuda", host=beside, gpu=gpu, key=f"{known}-cuda")
        yield cpu, replace(cuda, seconds_per_frame=None, source=SIMULATED)


def frame_bytes(clips: Clips, facts: Mapping[str, Any], seen: Seen, options: GradientOptions) -> int:
    """Bytes of pictures: decoded ones, those of open clips with their masks, a disturbed one, and gradient maps."""
    source = facts["height"] * facts["width"]
    decoded = 3 * (options.clip_stride + 2) * source + DECODER_PICTURES * source * 3 // 2
    clip = clips.n_frames * clips.height * clips.width
    # Pixels and masks of each open clip, float16 maps of each that is done; of the present one float32 maps, twice.
    return decoded + seen.objects * (4 + 2 * options.clips_per_window) * clip + (2 * 4 + 3) * clip


def _pace(clips: Clips, way: Way, seen: Seen, options: GradientOptions, held: Resident) -> float | None:
    """Seconds of a window for each of its frames, by counting passes through the model as long as the one timed."""
    if not seen.frames:
        return None
    disturbed = sum(options.shuffles if name == SHUFFLE else 1 for name in options.perturbations)
    gradients = seen.objects * options.clips_per_window * (1 + disturbed + bool(options.short_windows))
    # The backward pass takes as long as the forward pass, as parameters have no gradient.
    passes = 2 if way.name == "plain" else 3
    return gradients * clips.n_frames * passes * held.seconds_per_frame / seen.frames


def _digest(adapter: Adapter) -> str:
    """What the memory of a model's gradient depends on: its parts in order, and the shapes of their tensors."""
    parts = [(name, type(part).__name__) for name, part in adapter.module.named_modules()]
    shapes = [(name, tuple(each.shape), str(each.dtype)) for name, each in adapter.module.state_dict().items()]
    return hashlib.sha256(repr((parts, shapes)).encode()).hexdigest()[:16]
