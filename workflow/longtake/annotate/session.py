"""A tracking session of bounded size that computes what the unbounded one computes.

``Sam2VideoInferenceSession`` keeps every frame, mask and memory it ever made. What a later frame can read of them is
little: the memory features of the last ``num_maskmem - 1`` frames, the object pointers of the last
``max_object_pointers_in_encoder - 1``, the pointers of every conditioning (prompted) frame, and the features of the
last ``max_cond_frame_num`` of these, or of all where that is -1. The session here keeps exactly that, so the model
reads the same numbers, and the session's size depends on objects and prompts but not on time.

A session goes one way. Backward, "last" means the frames that time has still ahead.

Frames are named by their place on the grid of the *whole* video (source frame / frame_interval), in every window alike:
the model encodes differences of these names, and clips some by the number of frames in the video.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Sam2VideoInferenceSession

from longtake.annotate.batch import advance
from longtake.annotate.geometry import FloatArray, ModelPrompt
from longtake.annotate.tracker import Tracker
from longtake.errors import StateError

CONDITIONING, TRACKED = "cond_frame_outputs", "non_cond_frame_outputs"
FEATURES, POSITIONS, POINTER = "maskmem_features", "maskmem_pos_enc", "object_pointer"


@dataclass(frozen=True)
class Prediction:
    """What the model says of one object in one frame.

    ``logits``: (h, w) float32 mask logits over the whole frame, at the decoder's resolution, positive inside.
    ``score_logit``: the decoder's object-score logit; the object is in view where it is above 0.
    """

    logits: FloatArray
    score_logit: float

    @property
    def score(self) -> float:
        """The model's probability that the object is in view: the sigmoid of its object-score logit."""
        return 1.0 / (1.0 + math.exp(-self.score_logit)) if self.score_logit > -700 else 0.0


class BoundedSession(Sam2VideoInferenceSession):
    """The library's session, told the length of a video it never holds, and emptied of what is never read again."""

    def __init__(self, tracker: Tracker, num_frames: int) -> None:
        super().__init__(
            inference_device=tracker.device,
            inference_state_device=tracker.device,
            video_storage_device=tracker.device,
            dtype=torch.float32,
        )
        self._num_frames = num_frames
        # The library's own setting moves each frame's features there and back, too.
        self.state_device = tracker.state_device
        config = tracker.model.config
        self._memories = config.num_maskmem - 1
        self._pointers = config.max_object_pointers_in_encoder - 1
        self._conditioning = config.max_cond_frame_num
        # Of the model alone: the positions in a frame, the same for all objects and frames, of which the library
        # stores a copy with each. Half precision makes a second where a mask was given.
        self.positions: list[torch.Tensor] = []
        # Whether time runs backward; unknown before the first frame.
        self.reverse: bool | None = None
        # Why a window before was not computed as it was asked for; what goes on from it is as far off.
        self.approximate = ""
        # Objects of which `tracker.max_conditioning_frames` hid prompted frames that the model alone would have read.
        self.shortened: dict[str, None] = {}

    @property
    def num_frames(self) -> int:
        """The number of grid frames of the whole video."""
        return self._num_frames

    def prompt(self, prompts: Mapping[str, ModelPrompt], frame: int) -> None:
        """Give prompts, by object, for the next call of the model on `frame`."""
        for name, given in prompts.items():
            index = self.obj_id_to_idx(name)  # type: ignore[arg-type]  # any hashable serves as an id
            if given.mask is not None:
                self.add_mask_inputs(index, frame, given.mask[None, None])
            else:
                inputs = {"point_coords": given.points[None, None], "point_labels": given.labels[None, None]}
                self.add_point_inputs(index, frame, inputs)
        self.obj_with_new_inputs = list(prompts)

    def end(self, ended: set[str]) -> None:
        """Forget objects, and close the gaps that they leave in the library's numbering."""
        kept = [index for name, index in self._obj_id_to_idx.items() if name not in ended]
        names = [self._obj_idx_to_id[index] for index in kept]
        self._obj_id_to_idx = type(self._obj_id_to_idx)((name, place) for place, name in enumerate(names))
        self._obj_idx_to_id = type(self._obj_idx_to_id)(enumerate(names))
        self.obj_ids = names
        for table in ("point_inputs_per_obj", "mask_inputs_per_obj", "output_dict_per_obj", "frames_tracked_per_obj"):
            rows = getattr(self, table)
            setattr(self, table, {place: rows[index] for place, index in enumerate(kept)})

    def go(self, reverse: bool) -> None:
        """Check that a session goes one way only: memories of the other way were not kept."""
        if self.reverse is None:
            self.reverse = reverse
        elif self.reverse != reverse:
            ways = {False: "forward", True: "backward"}
            raise StateError(f"this session tracks {ways[self.reverse]}; begin another one to go {ways[reverse]}.")

    def note_shortened(self, limit: int, prompted: Collection[str]) -> None:
        """Note the objects that are about to be tracked with fewer conditioning frames than the model's own."""
        for name, index in self._obj_id_to_idx.items():
            if name not in prompted and len(self.output_dict_per_obj[index][CONDITIONING]) > limit:
                self.shortened[name] = None

    def prune(self, frame: int) -> None:
        """Drop what no frame that comes after `frame` reads; views are copied, or they would keep what they view."""
        self.processed_frames = {}
        self.cache.clear_all()
        for index in range(len(self.obj_ids)):
            self.point_inputs_per_obj[index].clear()
            self.mask_inputs_per_obj[index].clear()
            # Only asked whether the frame at hand was tracked before, and no frame comes twice.
            self.frames_tracked_per_obj[index].clear()
            outputs = self.output_dict_per_obj[index]
            # The nearest come first in the model's choice, and a frame that is passed over once stays so.
            nearest = sorted(outputs[CONDITIONING], key=lambda at: self._age(at, frame))
            chosen = set(nearest[: self._conditioning] if self._conditioning >= 1 else nearest)
            outputs[CONDITIONING] = {
                at: self._kept(output, at in chosen or self._age(at, frame) <= self._memories)
                for at, output in outputs[CONDITIONING].items()
            }
            outputs[TRACKED] = {
                at: self._kept(output, self._age(at, frame) <= self._memories)
                for at, output in outputs[TRACKED].items()
                if self._age(at, frame) <= max(self._memories, self._pointers)
            }

    def _age(self, at: int, frame: int) -> int:
        """Count the frames since `at` as the frame after `frame` will."""
        return (at - frame if self.reverse else frame - at) + 1

    def _kept(self, output: dict[str, torch.Tensor], with_memory: bool) -> dict[str, torch.Tensor]:
        kept = {POINTER: _own(output[POINTER])}
        if with_memory:
            kept |= {
                FEATURES: _own(output[FEATURES].to(self.state_device)),
                POSITIONS: self._constant(output[POSITIONS]),
            }
        return kept

    def _constant(self, positions: torch.Tensor) -> torch.Tensor:
        for known in self.positions:
            if known is positions or (known.dtype == positions.dtype and torch.equal(known, positions)):
                return known
        self.positions.append(positions.clone())
        return self.positions[-1]

    def conditioning_frames(self) -> int:
        """Count the prompted frames that are kept; the one part of the session that grows, with prompts."""
        return sum(len(outputs[CONDITIONING]) for outputs in self.output_dict_per_obj.values())

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield every tensor that the session holds."""
        yield from _tensors(vars(self) | {"cache": self.cache._vision_features})

    def live_bytes(self) -> int:
        """Count the bytes of all storages that the session keeps alive, each once."""
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in self.tensors()}
        return sum(storage.nbytes() for storage in storages.values())


def track(
    tracker: Tracker,
    session: BoundedSession,
    frame: int,
    pixels: torch.Tensor,
    prompts: Mapping[str, ModelPrompt],
    *,
    reverse: bool = False,
) -> dict[str, Prediction]:
    """Advance every object of the session by one frame.

    Parameters
    ----------
    frame
        The frame's place on the grid of the whole video; frames are given in ascending order, descending where
        `reverse`, without gaps while any object is tracked.
    pixels : (3, image_size, image_size) float32
        From `longtake.annotate.geometry.model_frame`.
    prompts
        What acts on this frame, by object.
    reverse
        Time runs backward: memories are those of later frames. All frames of a session go the same way.

    Returns
    -------
    dict
        One prediction for every object of the session, in the order in which they began.

    Raises
    ------
    StateError
        The session has gone the other way.
    """
    session.go(reverse)
    session.prompt(prompts, frame)
    if not session.obj_ids:
        return {}
    masks, scores = step(tracker, session, frame, pixels, prompts, reverse=reverse)
    logits, score_logits = masks.numpy(), scores.tolist()
    return {name: Prediction(logits[place], score_logits[place]) for place, name in enumerate(session.obj_ids)}


def step(
    tracker: Tracker,
    session: BoundedSession,
    frame: int,
    pixels: torch.Tensor,
    prompts: Collection[str],
    *,
    reverse: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `track` does with tensors: (N, h, w) float32 mask logits on the host, and (N,) object-score logits.

    It looks at no number, so that it can be simulated with tensors that have none; `session` has its prompts already.
    """
    if tracker.max_conditioning_frames is not None:
        session.note_shortened(tracker.max_conditioning_frames, prompts)
    session.add_new_frame(pixels, frame)
    with (
        torch.inference_mode(),
        torch.autocast(tracker.device.type, dtype=torch.bfloat16, enabled=tracker.precision == "bfloat16"),
    ):
        masks, scores = _advance(tracker, session, frame, reverse)
        session.prune(frame)
        return masks[:, 0].float().cpu(), scores.float()


def _advance(tracker: Tracker, session: BoundedSession, frame: int, reverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Call the model, the library's own way for one object at a time: (N, 1, h, w) masks and (N,) scores."""
    model = tracker.model
    masked = any(inputs for inputs in session.mask_inputs_per_obj.values())
    # EdgeTAM's own loop does not take a mask beside other objects: its score has another shape there.
    if tracker.object_batch > 1 or tracker.memory_batch or (masked and model.config.model_type == "edgetam_video"):
        size, memory_batch = tracker.object_batch, tracker.memory_batch
        return advance(model, session, frame, size, reverse=reverse, memory_batch=memory_batch)
    output = model(session, frame_idx=frame, reverse=reverse)
    return output.pred_masks, output.object_score_logits.flatten()


def _own(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
