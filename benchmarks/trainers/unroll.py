"""SAM 2 over a clip with gradients: what the library's session does frame by frame, batched over objects.

The library's video forward runs without gradients and object by object. Here the same submodules are
called in the same order on N objects at once; a test holds the logits equal to the stock session's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

from longtake.errors import ModelError
from trainers.tracker import input_side

_NO_OBJECT = -1024.0
_GIVEN_SCALE, _GIVEN_BIAS = 20.0, -10.0  # a given mask as logits, as the library has it


@dataclass(frozen=True)
class Asked:
    """What marks N objects on their prompted frame: points, or whole masks.

    `points` (N, P, 2) float32 in the model's input pixels; `labels` (P,) int32, SAM 2's: 1 on the object, 0 off it,
    2 and 3 the corners of a box; `masks` (N, 1, S, S) float32 in {0, 1}, and then the points are not read.
    """

    points: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor | None = None


@dataclass(frozen=True)
class Step:
    """One frame's outputs for N objects.

    `logits` (N, 1, s, s) before the object score decides, `score` (N,) object score logits,
    `iou` (N,) the model's own estimate of the mask's IoU.
    """

    logits: torch.Tensor
    score: torch.Tensor
    iou: torch.Tensor


@dataclass(frozen=True)
class Memory:
    """What one past frame leaves behind: `features` (P, N, 64), `pointer` (N, C)."""

    features: torch.Tensor
    pointer: torch.Tensor

    def detached(self) -> "Memory":
        """The same numbers without their history."""
        return Memory(self.features.detach(), self.pointer.detach())


def boxes_around(boxes: torch.Tensor) -> Asked:
    """Prompts by boxes (N, 4) float32, x_min, y_min, x_max, y_max in the model's input pixels."""
    return Asked(boxes.reshape(-1, 2, 2), torch.tensor([2, 3], dtype=torch.int32, device=boxes.device))


def encode(model: Sam2VideoModel, pixels: torch.Tensor) -> list[torch.Tensor]:
    """Image features of frames (B, 3, S, S): three levels, each (B, C, s, s), fine to coarse."""
    outputs = model.get_image_features(pixels, return_dict=True)
    return [
        level.permute(1, 2, 0).reshape(len(pixels), -1, *size)
        for level, size in zip(outputs.fpn_hidden_states, model.backbone_feature_sizes, strict=True)
    ]


def unroll(
    model: Sam2VideoModel,
    features: Sequence[list[torch.Tensor]],
    asked: Asked,
    indices: Sequence[int],
    *,
    carried: Mapping[int, Memory] | None = None,
) -> tuple[list[Step], dict[int, Memory]]:
    """Track N objects from their prompts on the first frame.

    Parameters
    ----------
    model
        A tracker with one mask per object (no multimask output).
    features
        Per frame the output of `encode`, already expanded to the N objects.
    asked
        The prompts on frame ``indices[0]``.
    indices
        Ascending frame numbers; only differences matter. A gap means frames that were not processed, or
        that were processed before and are in `carried`.
    carried
        By frame number, memories of frames between ``indices[0]`` and ``indices[1]``.

    Returns
    -------
    steps
        One `Step` per frame of `indices`.
    memories
        By frame number, the carried and the new memories (the prompted frame's included).
    """
    steps: list[Step] = []
    memories = dict(carried or {})
    prompted = indices[0]
    for levels, index in zip(features, indices, strict=True):
        coarse = levels[-1]
        if index == prompted and asked.masks is not None:
            step, pointer = _given(model, levels, asked.masks)
        elif index == prompted:
            step, token = decode(model, levels, coarse + model.no_memory_embedding.reshape(1, -1, 1, 1), asked)
            pointer = _pointer(model, step, token)
        else:
            step, token = decode(model, levels, _attend(model, coarse, memories, prompted, index), None)
            pointer = _pointer(model, step, token)
        memories[index] = _remember(model, coarse, step, pointer, is_prompted=index == prompted)
        steps.append(step)
    return steps, memories


def decode(
    model: Sam2VideoModel, levels: list[torch.Tensor], conditioned: torch.Tensor, asked: Asked | None
) -> tuple[Step, torch.Tensor]:
    """Masks from conditioned features (N, C, h, w), with points on a prompted frame; also the mask tokens (N, C)."""
    n = len(conditioned)
    if asked is None:
        points = torch.zeros(n, 1, 1, 2, device=conditioned.device)
        labels = -torch.ones(n, 1, 1, dtype=torch.int32, device=conditioned.device)
    else:
        points = asked.points[:, None]
        labels = asked.labels.repeat(n, 1, 1)
    return _decode(model, levels, conditioned, (points, labels), None)


def _given(model: Sam2VideoModel, levels: list[torch.Tensor], masks: torch.Tensor) -> tuple[Step, torch.Tensor]:
    """A given mask is the output; the decoder sees it only to make the object's pointer (N, C).

    Two things differ from the library. Its memory holds the given mask to the pixel, this one as the decoder's grid has
    it; it reads the pointer off the second mask token, this one off the first, as on every other frame. A tracker
    trained so follows given masks no worse than boxes (`evaluate_tracker`, which runs the library's session).
    """
    n, side = len(masks), model.prompt_encoder.mask_input_size
    points = torch.zeros(n, 1, 1, 2, device=masks.device)
    labels = -torch.ones(n, 1, 1, dtype=torch.int32, device=masks.device)
    seen, token = _decode(model, levels, levels[-1], (points, labels), model.mask_downsample(masks))
    logits = F.interpolate(
        masks * _GIVEN_SCALE + _GIVEN_BIAS, size=side, mode="bilinear", align_corners=False, antialias=True
    )
    present = (masks.flatten(1) > 0).any(1).float()
    step = Step(logits, _GIVEN_SCALE * present + _GIVEN_BIAS, torch.ones_like(present))
    return step, _pointer(model, seen, token)


def _decode(
    model: Sam2VideoModel,
    levels: list[torch.Tensor],
    conditioned: torch.Tensor,
    marks: tuple[torch.Tensor, torch.Tensor],
    dense: torch.Tensor | None,
) -> tuple[Step, torch.Tensor]:
    n, (points, labels) = len(conditioned), marks
    sparse, dense = model.prompt_encoder(input_points=points, input_labels=labels, input_boxes=None, input_masks=dense)
    masks, iou, tokens, score = model.mask_decoder(
        image_embeddings=conditioned,
        image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(n, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
        high_resolution_features=levels[:-1],
    )
    return Step(masks[:, 0].float(), score[:, 0, 0].float(), iou[:, 0, 0].float()), tokens[:, 0, 0]


def _pointer(model: Sam2VideoModel, step: Step, token: torch.Tensor) -> torch.Tensor:
    seen = (step.score > 0).to(token.dtype)[:, None]
    return seen * model.object_pointer_proj(token) + (1 - seen) * model.no_object_pointer


def _remember(
    model: Sam2VideoModel, coarse: torch.Tensor, step: Step, pointer: torch.Tensor, *, is_prompted: bool
) -> Memory:
    is_seen = step.score > 0
    logits = torch.where(is_seen[:, None, None, None], step.logits, _NO_OBJECT)
    size = [input_side(model)] * 2
    logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    mask = (logits > 0).float() if is_prompted else torch.sigmoid(logits)
    mask = mask * model.config.sigmoid_scale_for_mem_enc + model.config.sigmoid_bias_for_mem_enc
    features, _ = model.memory_encoder(coarse, mask)
    hidden = (~is_seen).to(features.dtype)[:, None, None, None]
    features = features + hidden * _occlusion(model)
    # The session stores memories in bfloat16; round here too.
    features = features.to(torch.bfloat16).flatten(2).permute(2, 0, 1).float()
    return Memory(features, pointer)


def memory_frames(model: Sam2VideoModel, prompted: int, index: int, known: Collection[int]) -> list[int]:
    """The frame numbers whose memories are read at frame `index`: the prompt's, then of the `known` old to new."""
    recent = (index - k for k in range(model.num_maskmem - 1, 0, -1))
    return [prompted, *(frame for frame in recent if frame in known and frame != prompted)]


def _attend(
    model: Sam2VideoModel, coarse: torch.Tensor, memories: Mapping[int, Memory], prompted: int, index: int
) -> torch.Tensor:
    n, channels, height, width = coarse.shape
    spatial = model.memory_encoder.position_encoding((n, model.mem_dim, height, width), coarse.device, torch.float32)
    spatial = spatial.flatten(2).permute(2, 0, 1)
    temporal = model.memory_temporal_positional_encoding
    read = memory_frames(model, prompted, index, memories)
    keys = [memories[frame].features for frame in read]
    # The prompt's memory has the last temporal encoding, whatever its age.
    positions = [spatial + temporal[-1], *(spatial + temporal[index - frame - 1] for frame in read[1:])]
    longest = model.config.max_object_pointers_in_encoder
    recent = [index - k for k in range(1, longest) if index - k in memories and index - k != prompted]
    pointers = torch.stack([memories[k].pointer for k in (prompted, *recent)])
    offsets = torch.tensor([index - k for k in (prompted, *recent)], dtype=torch.float32, device=coarse.device)
    encoding = model.temporal_positional_encoding_projection_layer(get_1d_sine_pe(offsets / (longest - 1), channels))
    splits = channels // model.mem_dim
    keys.append(pointers.reshape(-1, n, splits, model.mem_dim).permute(0, 2, 1, 3).flatten(0, 1))
    positions.append(encoding[:, None].expand(-1, n, -1).repeat_interleave(splits, dim=0))
    outputs = model.memory_attention(
        current_vision_features=coarse.flatten(2).permute(2, 0, 1),
        current_vision_position_embeddings=_image_positions(model, coarse),
        memory=torch.cat(keys),
        memory_posision_embeddings=torch.cat(positions),
        num_object_pointer_tokens=splits * len(pointers),
    )
    return outputs.reshape(n, height * width, channels).transpose(1, 2).reshape(n, channels, height, width)


def _image_positions(model: Sam2VideoModel, coarse: torch.Tensor) -> torch.Tensor:
    encoding = model.vision_encoder.neck.position_encoding(coarse.shape, coarse.device, torch.float32)
    return encoding.flatten(2).permute(2, 0, 1)


def _occlusion(model: Sam2VideoModel) -> torch.Tensor:
    """What a memory of an unseen animal is marked with: (1, 64, 1, 1)."""
    mark = model.occlusion_spatial_embedding_parameter
    if mark is None:
        raise ModelError("this SAM 2 has no occlusion embedding: set enable_occlusion_spatial_embedding in its config")
    return mark[..., None, None]
