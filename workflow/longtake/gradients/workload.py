"""What a window's gradients will need of memory, for every way they could be had (`longtake.planning.driver`).

A way is simulated without numbers (`longtake.gradients.simulation`). What a process holds beside that is measured on
this machine (`longtake.gradients.resident`), the rest is arithmetic. A way depends on the size at which the model sees
a clip, not on the video, so each size is simulated once. What was found out may be kept (`longtake.planning.cache`);
PyTorch and the model are loaded only where something is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from longtake.gradients.cases import Clips, ClipWay, Resident, Seen
from longtake.gradients.options import Options
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, Footprint, Probe, Workload
from longtake.planning.forecast import DECODER_PICTURES, FOUND
from longtake.unit import Study

if TYPE_CHECKING:
    from longtake.models import ClipModel

SIMULATION = 8 * 2**20
"""Bytes of Python's that stay of a job's own simulations: what is kept of operations, a copy of the model's parts."""
SHUFFLE = "shuffle"
"""As `longtake.gradients.perturbations` has it, which comes with PyTorch."""


def model(study: Study) -> str:
    """Return the model's folder, or what names it."""
    return str(study.facts["options"]["model"])


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the ways to the gradients of a window of each readable video; none of a model that cannot be simulated.

    Facts: ``options``, whose `chunk_size` and `memory_gb` leave out ways that a job may not go; ``objects``, at most
    how many of a video are seen at the same time, 0 where nobody counted them; and ``frames``, of a video's longest
    window: where they are given, it is said how long one takes.

    Raises
    ------
    ModelError : the model cannot be loaded.
    """
    facts, loaded = ask.study.facts, _model(ask)
    options = Options(**facts["options"])
    sizes: dict[tuple[int, int], Clips | None] = {}
    for video in ask.readable():
        size = loaded.input_size(video["height"], video["width"])
        if size not in sizes:
            sizes[size] = loaded.clips(size)
        clips = sizes[size]
        if clips is not None:
            seen = _seen(video["video"], options, facts["objects"], facts["frames"])
            yield from ways(clips, video, seen, options, loaded.resident().parameters)


def probe(ask: Ask, _first: Workload) -> Probe:
    """Measure a process that has loaded the model, and time it."""
    return probe_of(_model(ask).resident())


def probe_of(held: Resident) -> Probe:
    """Return what a process that has loaded the model shows of this machine."""
    speed = 1 / held.seconds_per_frame if held.seconds_per_frame else 0.0
    return Probe(held.base + SIMULATION, loading=held.loading, speed=speed)


def _model(ask: Ask) -> _Model:
    return _Model(Options(**ask.study.facts["options"]), ask.threads, ask.known)


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
        """Return what clips of this size need; None where the model cannot be simulated."""

        def find() -> dict[str, Any] | None:
            from longtake.gradients.simulation import simulated

            clips = simulated(self.load(), size, self._options)
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


def ways(clips: Clips, facts: Mapping[str, Any], seen: Seen, options: Options, parameters: int) -> Iterator[Workload]:
    """Yield the ways to run the job of a window of one video.

    Parameters
    ----------
    facts : what the step probe found of the video
    parameters : bytes of the model's
    """
    frames = frame_bytes(clips, facts, seen, options)
    for each in clips.ways:
        whole = 0 if each.chunk_size else 12 * clips.n_frames * clips.height * clips.width
        held = {"parameters": parameters, "frames": frames}
        yield Workload(
            facts["video"],
            each.chunk_size or clips.n_frames,
            each.name,
            {
                "model": clips.model,
                "clip": [clips.n_frames, clips.height, clips.width],
                "source": [facts["height"], facts["width"], options.clip_stride],
                "clips": seen.objects * options.clips_per_window,
                "blocks": each.told,
            },
            footprint=Footprint(
                {**held, "frames": frames + whole, "activations": each.heap},
                {"parameters": parameters, "frames": whole, "activations": each.reserved},
                held,
                _effort(clips, each, seen, options),
            ),
        )


def frame_bytes(clips: Clips, facts: Mapping[str, Any], seen: Seen, options: Options) -> int:
    """Bytes of pictures: decoded ones, those of open clips with their masks, a disturbed one, and gradient maps."""
    source = facts["height"] * facts["width"]
    decoded = 3 * (options.clip_stride + 2) * source + DECODER_PICTURES * source * 3 // 2
    clip = clips.n_frames * clips.height * clips.width
    # Pixels and masks of each open clip, float16 maps of each that is done; of the present one float32 maps, twice.
    return decoded + seen.objects * (4 + 2 * options.clips_per_window) * clip + (2 * 4 + 3) * clip


def _effort(clips: Clips, way: ClipWay, seen: Seen, options: Options) -> float:
    """Frames that go through the model forward, for each of a window's; backward passes count as one."""
    if not seen.frames:
        return 0.0
    disturbed = sum(options.shuffles if name == SHUFFLE else 1 for name in options.perturbations)
    gradients = seen.objects * options.clips_per_window * (1 + disturbed + bool(options.short_windows))
    # The backward pass takes as long as the forward pass, as parameters have no gradient.
    passes = 2 if way.name == "plain" else 3
    return gradients * clips.n_frames * passes / seen.frames
