"""One frame for many objects: the model's own modules, given several objects at a time.

The library runs objects one after the other, for their prompts differ. Most objects on most frames have no prompt: they
are all asked the same, each with memories of its own. Where their memories are equally long they make one batch for the
memory attention and the mask decoder; the memory encoder takes all objects of a frame at once, as in the library.
Every object's numbers differ from the library's by rounding at most, and since batches are made of the objects in their
order, a video cut into windows gives what the uncut one gives to the last bit.

Nothing is kept of a frame but what a later one reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import Sam2VideoInferenceSession

# What the library writes into the mask of an object that is out of view.
_NOT_IN_VIEW = -1024.0
# Rows of an object below which a matrix product is made for it alone.
_FEW = 32


@dataclass(frozen=True)
class _Features:
    """A frame as the model sees it: (HW, 1, C) features and positions, and the finer maps for the mask decoder."""

    vision: torch.Tensor
    positions: torch.Tensor
    finer: list[torch.Tensor]


@dataclass(frozen=True)
class _Memories:
    """What an object reads of other frames: outputs by temporal offset, and pointers with their offsets."""

    outputs: list[tuple[int, dict[str, torch.Tensor]]]
    offsets: list[int]
    pointers: list[torch.Tensor]
    max_pointers: int


@dataclass(frozen=True)
class _Drawn:
    """What the model says of an object: (1, 1, h, w) mask logits, (1, 1, 1) object-score logit, (1, 1, C) pointer.

    ``given``: of an object that was given as a mask, that mask's logits at full size; else those are the mask enlarged.
    ``memory``: features and positions, where the library made them with the mask.
    """

    mask: torch.Tensor
    score: torch.Tensor
    pointer: torch.Tensor
    given: torch.Tensor | None = None
    memory: tuple[torch.Tensor, torch.Tensor] | None = None


class _FewRows(TorchFunctionMode):
    """Multiply few rows object by object: a product of 6 rows rounds otherwise than as 6 of 48.

    So on a CPU a batch draws exactly what the objects draw one by one. These products are the prompt tokens' alone, a
    small part of the work; on a GPU, where a call costs more than its arithmetic, they stay together.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.linear and args[0].ndim > 2 and args[0].shape[1:-1].numel() < _FEW:
            return torch.cat([func(part, *args[1:], **(kwargs or {})) for part in args[0].split(1)])
        return func(*args, **(kwargs or {}))


def advance(
    model: Any,
    session: Sam2VideoInferenceSession,
    frame: int,
    size: int,
    *,
    reverse: bool = False,
    memory_batch: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advance every object of a session by one frame, at most `size` objects at a time, and store what they leave.

    Memory: the frame's features, the memories that `size` objects read, every object's mask and new memory, and what it
    takes to make the memories of `memory_batch` objects: some tens of MiB each at 1024 pixels.

    Parameters
    ----------
    frame
        A frame of the session on which no object has been yet.
    reverse
        Memories are those of later frames.
    memory_batch
        How many objects' memories are made at a time; None for all, as the library does. Rounding may depend on it.

    Returns
    -------
    masks : (N, 1, h, w)
        Mask logits of the N objects in their order.
    scores : (N,)
        Object-score logits.
    """
    features = _features(model, session, frame)
    prompted = [place for place, name in enumerate(session.obj_ids) if name in session.obj_with_new_inputs]
    session.obj_with_new_inputs = []
    drawn = {place: _draw_prompted(model, session, place, frame) for place in prompted}
    memories = {
        place: _memories(model, session, place, frame, reverse and not _after(place, prompted))
        for place in range(len(session.obj_ids))
        if place not in prompted
    }
    for places in _batches(memories, size):
        fused = _attend(model, features, [memories[place] for place in places])
        with nullcontext() if fused.is_cuda else _FewRows():
            drawn |= dict(zip(places, _decode(model, features, fused), strict=True))
    everyone = [drawn[place] for place in range(len(session.obj_ids))]
    for place, (memory, positions) in enumerate(_encode(model, features, everyone, bool(prompted), memory_batch)):
        kind = "cond_frame_outputs" if place in prompted else "non_cond_frame_outputs"
        session.output_dict_per_obj[place][kind][frame] = {
            "object_pointer": drawn[place].pointer,
            "maskmem_features": memory,
            "maskmem_pos_enc": positions,
        }
    return torch.cat([each.mask for each in everyone]), torch.cat([each.score.flatten() for each in everyone])


def _resamples(model: Any) -> bool:
    """Tell EdgeTAM, which shortens each frame's memory to a few latent tokens, batch first, object by object."""
    return hasattr(model, "spatial_perceiver")


def _after(place: int, prompted: Sequence[int]) -> bool:
    """Tell the objects for which the library forgets on a frame that time runs backward: those after a prompted one."""
    return any(earlier < place for earlier in prompted)


def _batches(memories: Mapping[int, _Memories], size: int) -> Iterator[list[int]]:
    """Give objects whose memories are equally long, at most `size` at a time."""
    alike: dict[tuple[int, int], list[int]] = {}
    for place, read in memories.items():
        alike.setdefault((len(read.outputs), len(read.pointers)), []).append(place)
    for places in alike.values():
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _features(model: Any, session: Sam2VideoInferenceSession, frame: int) -> _Features:
    vision, positions = model._prepare_vision_features(session, frame, 1)
    finer = [
        each.permute(1, 2, 0).view(each.size(1), each.size(2), *size)
        for each, size in zip(vision[:-1], model.backbone_feature_sizes[:-1], strict=True)
    ]
    return _Features(vision[-1], positions[-1], finer)


def _memories(model: Any, session: Sam2VideoInferenceSession, place: int, frame: int, reverse: bool) -> _Memories:
    outputs = model._gather_memory_frame_outputs(session, place, frame, reverse)
    offsets, pointers, max_pointers = model._get_object_pointers(
        session, place, frame, session.num_frames, session.inference_device, reverse
    )
    return _Memories([(at, output) for at, output in outputs if output is not None], offsets, pointers, max_pointers)


def _draw_prompted(model: Any, session: Sam2VideoInferenceSession, place: int, frame: int) -> _Drawn:
    """Draw a prompted object as the library does: alone, and without memories."""
    mask = session.mask_inputs_per_obj[place].get(frame)
    output = model._run_single_frame_inference(
        session,
        frame_idx=frame,
        obj_idx=place,
        batch_size=1,
        is_init_cond_frame=True,
        point_inputs=session.point_inputs_per_obj[place].get(frame),
        mask_inputs=mask,
        reverse=False,
        **({"run_mem_encoder": True} if _resamples(model) else {}),
    )
    drawn = _Drawn(output["pred_masks"], output["object_score_logits"], output["object_pointer"])
    if _resamples(model):
        return replace(drawn, memory=(output["maskmem_features"], output["maskmem_pos_enc"]))
    return replace(drawn, given=output["high_res_masks"]) if mask is not None else drawn


def _encode(
    model: Any, features: _Features, drawn: Sequence[_Drawn], any_prompted: bool, size: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Make the memory of each object, features and positions, of `size` at a time."""
    if _resamples(model):
        yield from (each.memory or _encode_together(model, features, [each], False)[0] for each in drawn)
        return
    size = size or len(drawn)
    for start in range(0, len(drawn), size):
        # The library binarises the masks of all objects of a frame where one of them is prompted.
        yield from _encode_together(model, features, drawn[start : start + size], any_prompted)


def _encode_together(
    model: Any, features: _Features, drawn: Sequence[_Drawn], binary: bool
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    masks = torch.cat([_enlarged(model, each.mask) if each.given is None else each.given for each in drawn])
    scores = torch.cat([each.score for each in drawn])
    vision = features.vision.expand(-1, len(drawn), -1)
    memory, positions = model._encode_new_memory(vision, masks, scores, binary)
    axis = 0 if _resamples(model) else 1
    return list(zip(memory.split(1, axis), positions.split(1, axis), strict=True))


def _enlarged(model: Any, masks: torch.Tensor) -> torch.Tensor:
    side = (model.image_size, model.image_size)
    return functional.interpolate(masks.float(), size=side, mode="bilinear", align_corners=False).to(masks.dtype)


def _attend(model: Any, features: _Features, memories: list[_Memories]) -> torch.Tensor:
    """Fuse the frame's features with each object's memories: (N, C, h, w)."""
    count, device = len(memories), features.vision.device
    tokens, positions, pointer_tokens = [], [], 0
    for read in memories:
        parts, places = model._build_memory_attention_inputs(read.outputs, device)
        if read.pointers:
            pointers, encoded = model._process_object_pointers(
                read.offsets, read.pointers, read.max_pointers, 1, model.hidden_dim, device
            )
            pointer_tokens = pointers.shape[0]
            parts, places = [*parts, pointers], [*places, encoded]
        tokens.append(torch.cat(parts))
        positions.append(torch.cat(places))
    memory = torch.cat(tokens, dim=1)
    fused = model.memory_attention(
        current_vision_features=features.vision.expand(-1, count, -1),
        current_vision_position_embeddings=features.positions,
        memory=memory if _resamples(model) else memory.to(torch.float32),
        memory_posision_embeddings=torch.cat(positions, dim=1),
        num_object_pointer_tokens=pointer_tokens,
        **({"num_spatial_memory_tokens": len(memories[0].outputs)} if _resamples(model) else {}),
    )
    return (
        fused.reshape(count, -1, model.hidden_dim)
        .transpose(1, 2)
        .reshape(count, model.hidden_dim, *model.backbone_feature_sizes[-1])
    )


def _decode(model: Any, features: _Features, fused: torch.Tensor) -> list[_Drawn]:
    """Run the mask decoder without a prompt for each of (N, C, h, w), and choose among its masks."""
    count = len(fused)
    several = model._use_multimask(False, None)
    sparse, dense = model.prompt_encoder(
        input_points=fused.new_zeros(count, 1, 1, 2),
        input_labels=torch.full((count, 1, 1), -1, dtype=torch.int32, device=fused.device),
        input_boxes=None,
        input_masks=None,
    )
    masks, qualities, tokens, scores = model.mask_decoder(
        image_embeddings=fused,
        image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(count, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=several,
        high_resolution_features=features.finer,
    )
    each = torch.arange(count, device=fused.device)
    best = qualities[:, 0].argmax(dim=-1) if several else torch.zeros_like(each)
    in_view = scores > 0
    chosen = torch.where(in_view[..., None], masks[each, 0, best][:, None], _NOT_IN_VIEW)
    token = tokens[each, 0, best if tokens.size(2) > 1 else torch.zeros_like(best)][:, None]
    pointers = model.object_pointer_proj(token)
    shown = in_view.to(pointers.dtype)
    pointers = shown * pointers + (1 - shown) * model.no_object_pointer
    return [_Drawn(*parts) for parts in zip(chosen.split(1), scores.split(1), pointers.split(1), strict=True)]
