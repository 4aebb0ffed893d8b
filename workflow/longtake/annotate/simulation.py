"""A tracker's steps with fake tensors, which have shapes and no numbers: what they would take, at the cost of neither.

The model is built from its config.json alone, and the real step (`longtake.annotate.session.step`) runs on it; so what
is counted is what the job will make, in the order in which it will. A session's memory is full after as many frames as
the model reads; they are not waited for, but copied from one.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from longtake.annotate.cases import Taken
from longtake.annotate.geometry import ModelPrompt
from longtake.annotate.pipeline import DEPTH
from longtake.annotate.seeding import CRITERIA, ask, look
from longtake.annotate.session import CONDITIONING, FEATURES, POINTER, POSITIONS, TRACKED, BoundedSession, step
from longtake.annotate.tracker import Tracker, hollow_tracker
from longtake.bounded.live import LiveBytes
from longtake.planning.caching import reserved
from longtake.planning.heap import Event, footprint

# The frame of the prompts, amid a long video, so that no encoding is of a beginning.
_PROMPTED, _VIDEO = 1000, 100_000
# With all memories full, the first frame finds a heap that has not seen such a frame yet.
_STEADY_FRAMES = 3


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Operations of attention on a CPU, of which the counter does not know: two products of matrices."""
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])


_FLOPS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


@dataclass(frozen=True)
class Simulated:
    """What the model's part of a window job takes, in bytes.

    Attributes
    ----------
    parameters : weights and buffers, each once
    state : what the session keeps between frames
    activations : the most tensors that are alive at a time beside parameters, state and the frame
    frame : one frame as the model takes it
    logits : the masks of one frame as they are handed to whoever draws them
    flops : floating point operations of a frame
    events : every allocation in order, the state's included (`longtake.planning.heap`)
    """

    parameters: int
    state: int
    activations: int
    frame: int
    logits: int
    flops: int
    events: list[Event]


def taken(found: Simulated) -> Taken:
    """Replay the events of a simulation: what the heap of this machine, and a GPU's allocator, would take for them."""
    heap = footprint(found.events)
    return Taken(
        parameters=found.parameters,
        state=found.state,
        activations=max(heap - found.state, found.activations),
        frame=found.frame,
        logits=found.logits,
        flops=found.flops,
        reserved=reserved(found.events),
    )


class _Session(BoundedSession):
    """A bounded session whose encodings of positions are told apart by type: they have no numbers to be compared."""

    def _constant(self, positions: torch.Tensor) -> torch.Tensor:
        known = next((each for each in self.positions if each.dtype == positions.dtype), None)
        if known is None:
            known = positions.clone()
            self.positions.append(known)
        return known

    @property
    def last(self) -> int:
        """The last frame that was tracked."""
        return max(self.output_dict_per_obj[0][TRACKED])

    def fill(self, tracked: range, prompted: range) -> None:
        """Copy to these frames what each object has of one, as far as the session would still keep it."""
        most = self._conditioning - 1 if self._conditioning >= 1 else len(prompted)
        nearest = prompted[max(0, len(prompted) - most) :]
        with_memory = {*tracked[-self._memories :], *nearest}
        for outputs in self.output_dict_per_obj.values():
            for kind, frames in ((TRACKED, tracked), (CONDITIONING, prompted)):
                (given,) = outputs[kind].values()
                for frame in frames:
                    outputs[kind][frame] = {POINTER: given[POINTER].clone()}
                    if frame in with_memory:
                        outputs[kind][frame] |= {FEATURES: given[FEATURES].clone(), POSITIONS: given[POSITIONS]}
        self.prune(tracked[-1])

    def live_bytes(self) -> int:
        """As the session's own, of tensors without addresses."""
        storages = {id(tensor.untyped_storage()): tensor.untyped_storage() for tensor in self.tensors()}
        return sum(storage.nbytes() for storage in storages.values())


def simulate(
    folder: str | os.PathLike[str],
    objects: int,
    *,
    object_batch: int = 1,
    precision: str = "float32",
    max_conditioning_frames: int | None = None,
    conditioning_frames: int = 1,
    seeding: bool = False,
) -> Simulated:
    """Simulate the steps of a window job, on the CPU, for the tracker in a folder.

    Parameters
    ----------
    objects
        How many are tracked at a time; at least 1.
    conditioning_frames
        On how many frames each object was prompted.
    seeding
        Whether a frame is searched for objects as well.

    Raises
    ------
    ModelError
        The folder holds no config.json of a tracker.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    hollow = hollow_tracker(
        folder, precision, max_conditioning_frames=max_conditioning_frames, object_batch=object_batch
    )
    _forget_encodings(hollow.model)
    try:
        with mode, torch.inference_mode():
            tracker = replace(hollow, model=hollow.model.to_empty(device="cpu"), device=torch.device("cpu"))
            held = {id(each.untyped_storage()): each.untyped_storage().nbytes() for each in _held(tracker)}
            side = tracker.preprocessing.image_size
            pixels = torch.empty(3, side, side)
            with LiveBytes(keep_events=True) as live:
                session = _Session(tracker, _VIDEO)
                logits = _track(tracker, session, pixels, objects, conditioning_frames)
                if seeding:
                    ask(tracker, look(tracker, pixels), torch.empty(CRITERIA.points_per_batch, 2))
            state = session.live_bytes()
            with FlopCounterMode(display=False, custom_mapping=_FLOPS) as counted:
                step(tracker, session, session.last + 1, pixels, ())
    finally:
        _forget_encodings(hollow.model)
    return Simulated(
        parameters=sum(held.values()),
        state=state,
        activations=max(0, live.peak - state),
        frame=pixels.untyped_storage().nbytes(),
        logits=logits,
        flops=counted.get_total_flops(),
        events=live.events or [],
    )


def _forget_encodings(model: torch.nn.Module) -> None:
    """Empty what the library keeps of positions for all models of a process: those of a simulation have no numbers."""
    for kind in {type(part) for part in model.modules()}:
        for value in vars(kind).values():
            for cell in getattr(getattr(value, "__func__", value), "__closure__", None) or ():
                if hasattr(cell.cell_contents, "cache_clear"):
                    cell.cell_contents.cache_clear()


def _held(tracker: Tracker) -> list[torch.Tensor]:
    return [*tracker.model.parameters(), *tracker.model.buffers()]


def _track(tracker: Tracker, session: _Session, pixels: torch.Tensor, objects: int, conditioning_frames: int) -> int:
    """Prompt all objects, track them, fill their memories, and track on; the bytes of a frame's masks."""
    corners = torch.empty(2, 2), torch.empty(2, dtype=torch.int32)
    names = [f"object {number}" for number in range(objects)]
    frame = _PROMPTED
    session.go(False)
    session.prompt({name: ModelPrompt(*corners) for name in names}, frame)
    step(tracker, session, frame, pixels, names)
    step(tracker, session, frame + 1, pixels, ())
    memory = max(tracker.model.config.num_maskmem, tracker.model.config.max_object_pointers_in_encoder)
    session.fill(range(frame + 2, frame + 1 + memory), range(frame - conditioning_frames + 1, frame))
    # Masks wait for whoever draws them while the next frames are tracked, amid the heap.
    waiting: deque[torch.Tensor] = deque(maxlen=DEPTH)
    for at in range(frame + 1 + memory, frame + 1 + memory + _STEADY_FRAMES):
        waiting.append(step(tracker, session, at, pixels, ())[0])
    return waiting[-1].untyped_storage().nbytes()
