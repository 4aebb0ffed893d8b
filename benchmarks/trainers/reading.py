"""Where a tracked frame looks in its memories, and a loss that teaches it to recognise.

Left to the masks alone, a young tracker follows whatever is near; that an animal is *the same* it learns
late. Here the last cross-attention is told directly: cells of the animal look at its own cells in the
memories, cells of another animal look elsewhere.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import apply_rotary_pos_emb_2d

from trainers.lessons import Lesson
from trainers.unroll import memory_frames

_HALF = 0.5  # of a coarse cell covered, and the cell is the animal's


@dataclass
class Readings:
    """Per tracked frame, in order, how strongly each of Q cells looks at each of K memory cells: (N, Q, K)."""

    shares: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def readings(model: Sam2VideoModel) -> Iterator[Readings]:
    """Collect the attention of the last memory layer while frames are tracked, with gradients."""
    found = Readings()

    def look(module: nn.Module, _: Any, inputs: dict[str, Any]) -> None:
        found.shares.append(_shares(module, inputs))

    layer: Any = model.memory_attention.layers[-1]
    handle = layer.cross_attn_image.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()


def _shares(module: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The softmax over spatial memory cells, as the attention itself computes it: one head."""
    query, key = module.q_proj(inputs["query"]), module.k_proj(inputs["key"])
    n_pointers = inputs["num_k_exclude_rope"]
    cos, sin = inputs["position_embeddings"]
    query, key = apply_rotary_pos_emb_2d(query, key, cos, sin, num_k_exclude_rope=n_pointers, repeat_freqs_k=True)
    logits = (query @ key.transpose(2, 3))[:, 0] * module.scaling
    return logits[..., : logits.shape[-1] - n_pointers].softmax(-1)


def covered_cells(model: Sam2VideoModel, lesson: Lesson) -> dict[int, torch.Tensor]:
    """By frame number, which of the Q cells of memory each animal covers by half or more: (N, Q) bool."""
    cells = model.backbone_feature_sizes[-1][0]
    targets = torch.from_numpy(lesson.targets).float() / 255
    covered = (F.adaptive_avg_pool2d(targets, (cells, cells)) > _HALF).flatten(2)
    return {index: covered[:, t] for t, index in enumerate(lesson.indices)}


def recognition_loss(
    model: Sam2VideoModel, found: Readings, lesson: Lesson, covered: Mapping[int, torch.Tensor]
) -> torch.Tensor:
    """Mean over tracked frames of -log(share on the own memory cells), and of -log(1 - it) for other animals.

    `covered` as `covered_cells` gives it, and for the frames whose memories the lesson was given.
    """
    owner = torch.from_numpy(lesson.owner)
    others = (owner[:, None] == owner[None, :]) & ~torch.eye(len(owner), dtype=torch.bool)
    total = torch.zeros(())
    prompted, *tracked = lesson.indices
    for index, shares in zip(tracked, found.shares, strict=True):
        known = [frame for frame in covered if frame < index]
        own = torch.cat([covered[k] for k in memory_frames(model, prompted, index, known)], dim=1)
        now = covered[index]
        caught = (shares * own[:, None, :]).sum(-1).clamp(1e-5, 1 - 1e-5)
        same = now & own.any(1)[:, None]
        strange = (others.float() @ now.float() > 0) & own.any(1)[:, None] & ~now
        for cells_of, value in ((same, -caught.log()), (strange, -(1 - caught).log())):
            total = total + (value * cells_of).sum() / cells_of.sum().clamp(min=1)
    return total / max(1, len(found.shares))
