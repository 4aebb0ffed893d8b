"""What a window's gradients will need of memory, for every way they could be had.

A way is rehearsed without numbers (`longtake.gradients.rehearsal`). What a process holds beside that is measured on
this machine (`longtake.gradients.resident`), the rest is arithmetic. A way depends on the size at which the model sees
a clip, not on the video, so each size is rehearsed once. What was found out may be kept (`longtake.planning.cache`);
PyTorch and the model are loaded only where something is not known yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.gradients.cases import Clips, ClipWay, Resident, Seen
from longtake.gradients.options import Options
from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES
from longtake.planning.cache import Known
from longtake.planning.forecast import CALIBRATED, COLUMNS, DECODER_PICTURES, FOUND, SIMULATED, Forecast, key_of
from longtake.status import Status
from longtake.store.atomic import write_tsv

if TYPE_CHECKING:
    from longtake.models import ClipModel

PathLikes = Sequence[str | PathLike[str]]

REHEARSAL = 8 * 2**20
"""Bytes of Python's that stay of a job's own rehearsals: what is kept of operations, a copy of the model's parts."""
SHUFFLE = "shuffle"
"""As `longtake.gradients.perturbations` has it, which comes with PyTorch."""


def forecast_gradients(
    *,
    summaries: PathLikes,
    options: Options,
    force_cpu: bool,
    out: str | PathLike[str],
    objects: Mapping[str, int] | None = None,
    frames: Mapping[str, int] | None = None,
    threads: int = 1,
    known: Known | None = None,
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
    known : what was found out before; by default everything is found out, and nothing is kept
    progress : called with videos done and videos

    Returns
    -------
    Number of videos, of sizes of clips, of rows, and of what was known and found out. A model whose memory cannot be
    rehearsed has no rows.

    Raises
    ------
    ModelError : the model cannot be loaded.
    """
    known = (known or Known()).of_model(options.model)
    model = _Model(options, threads, known)
    held = model.resident()
    sizes: dict[tuple[int, int], Clips | None] = {}
    rows: list[Forecast] = []
    for done, path in enumerate(summaries, start=1):
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if facts["status"] == Status.OK:
            size = model.input_size(facts["height"], facts["width"])
            if size not in sizes:
                sizes[size] = model.clips(size)
            clips = sizes[size]
            if clips is not None:
                seen = _seen(facts["video"], options, objects or {}, frames or {})
                pairs = list(forecasts(clips, facts, seen, options, held))
                rows += [cpu for cpu, _ in pairs] + [cuda for _, cuda in pairs if not force_cpu]
        if progress is not None:
            progress(done, len(summaries))
    write_tsv(out, COLUMNS, [row.row() for row in rows])
    return {"videos": len({row.case for row in rows}), "sizes": len(sizes), "rows": len(rows), **known.counts}


class _Model:
    """What must be known of the model of these options; it is loaded where that is not known yet."""

    def __init__(self, options: Options, threads: int, known: Known) -> None:
        self._options, self._threads, self._known = options, threads, known
        self._loaded: ClipModel | None = None

    def load(self) -> ClipModel:
        """Return the model; it is loaded at the first call."""
        if self._loaded is None:
            import torch

            from longtake.models import load_model

            torch.set_num_threads(self._threads)
            self._loaded = load_model(self._options.model)
        return self._loaded

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width at which the model sees such a video."""
        found = self._known.value(lambda: self.load().input_size(height, width), what="size", source=[height, width])
        return found[0], found[1]

    def clips(self, size: tuple[int, int]) -> Clips | None:
        """Return what clips of this size need; None where the model cannot be rehearsed."""

        def find() -> dict[str, Any] | None:
            from longtake.gradients.rehearsal import rehearsed

            clips = rehearsed(self.load(), size, self._options)
            return None if clips is None else asdict(clips)

        asked = {name: getattr(self._options, name) for name in ("max_frames", "chunk_size", "memory_gb")}
        found = self._known.value(find, what="clips", size=size, **asked)
        return None if found is None else Clips.read(found)

    def resident(self) -> Resident:
        """Return what a process that has loaded the model holds."""

        def find() -> dict[str, Any]:
            from longtake.gradients.resident import resident

            self.load()  # one that cannot be is told at once, and not after a small job of another
            return asdict(resident(self._options, self._threads))

        known = self._known.here(self._threads)
        return Resident(**known.value(find, what="resident", max_frames=self._options.max_frames))


def _seen(video: str, options: Options, objects: Mapping[str, int], frames: Mapping[str, int]) -> Seen:
    found = objects.get(video) or FOUND
    return Seen(1 if options.clips == "even" else found, frames.get(video, 0))


def forecasts(
    clips: Clips, facts: Mapping[str, Any], seen: Seen, options: Options, held: Resident
) -> Iterator[tuple[Forecast, Forecast]]:
    """Forecast the job of a window of one video, for each way: on the CPU, and on a GPU.

    Parameters
    ----------
    facts : what the step probe found of the video
    held : what the process holds beside that
    """
    frames = frame_bytes(clips, facts, seen, options)
    for each in clips.ways:
        whole = 0 if each.chunk_size else 12 * clips.n_frames * clips.height * clips.width
        base = held.base + REHEARSAL
        mine = {"base": base, "parameters": held.parameters, "frames": frames + whole, "activations": each.heap}
        beside = {"base": base + CUDA_LIBRARIES, "parameters": held.parameters, "frames": frames}
        for host in (mine, beside):
            # The peak may be where the model is loaded: its weights are then read a second time.
            host["parameters"] += max(0, held.loading - sum(host.values()))
        gpu = {"context": CONTEXT, "parameters": held.parameters, "frames": whole, "activations": each.reserved}
        key = key_of(
            step="gradients",
            model=clips.model,
            clip=[clips.n_frames, clips.height, clips.width],
            source=[facts["height"], facts["width"], options.clip_stride],
            clips=seen.objects * options.clips_per_window,
            blocks=each.told,
        )
        cpu = Forecast(
            "gradients",
            facts["video"],
            "cpu",
            each.chunk_size or clips.n_frames,
            each.name,
            mine,
            pace=_pace(clips, each, seen, options, held),
            source=CALIBRATED,
            key=f"{key}-cpu",
        )
        cuda = replace(cpu, device="cuda", host=beside, gpu=gpu, key=f"{key}-cuda")
        yield cpu, replace(cuda, pace=None, source=SIMULATED)


def frame_bytes(clips: Clips, facts: Mapping[str, Any], seen: Seen, options: Options) -> int:
    """Bytes of pictures: decoded ones, those of open clips with their masks, a disturbed one, and gradient maps."""
    source = facts["height"] * facts["width"]
    decoded = 3 * (options.clip_stride + 2) * source + DECODER_PICTURES * source * 3 // 2
    clip = clips.n_frames * clips.height * clips.width
    # Pixels and masks of each open clip, float16 maps of each that is done; of the present one float32 maps, twice.
    return decoded + seen.objects * (4 + 2 * options.clips_per_window) * clip + (2 * 4 + 3) * clip


def _pace(clips: Clips, way: ClipWay, seen: Seen, options: Options, held: Resident) -> float | None:
    """Seconds of a window for each of its frames, by counting passes through the model as long as the one timed."""
    if not seen.frames:
        return None
    disturbed = sum(options.shuffles if name == SHUFFLE else 1 for name in options.perturbations)
    gradients = seen.objects * options.clips_per_window * (1 + disturbed + bool(options.short_windows))
    # The backward pass takes as long as the forward pass, as parameters have no gradient.
    passes = 2 if way.name == "plain" else 3
    return gradients * clips.n_frames * passes * held.seconds_per_frame / seen.frames
