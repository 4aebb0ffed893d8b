"""Two exercises without pictures, before the tracker sees any: paint what a box holds, then follow it.

What a box or a memory *selects* is the slow part of learning to track: with pictures at hand a young
tracker finds every animal, ignores what was asked for, and stays there. On random features a few hundred
cheap steps settle it: the image encoder takes no part.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Sam2VideoModel

from longtake.streams import stream
from trainers.losses import mask_loss
from trainers.tracker import input_side
from trainers.unroll import Step, boxes_around, unroll

_CELL = 4  # model pixels per cell of the low-resolution masks
_FEW = 8  # cells of an ellipse that has all but left


def paint(model: Sam2VideoModel, *, seed: int, steps: int, batch: int = 24) -> list[float]:
    """Paint the ellipse in a box; trains the mask decoder and prompt encoder in place.

    Returns the mean IoU of each step.
    """
    modules = (model.mask_decoder, model.prompt_encoder)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    rng = stream(seed, "exercises", "paint")
    return _practise(model, parameters, lambda: _world(rng, batch, 1, model), steps, rate=8e-4)


def follow(model: Sam2VideoModel, *, seed: int, steps: int, batch: int = 16) -> list[float]:
    """Follow a marked ellipse over three frames past another one; trains all but the image encoder in place.

    Returns the mean IoU on the last frame of each step.
    """
    parameters = [value for name, value in model.named_parameters() if not name.startswith("vision_encoder")]
    rng = stream(seed, "exercises", "follow")
    return _practise(model, parameters, lambda: _world(rng, batch, 3, model), steps, rate=6e-4)


World = tuple[list[list[torch.Tensor]], torch.Tensor, list[torch.Tensor]]


def _practise(
    model: Sam2VideoModel,
    parameters: list[torch.nn.Parameter],
    world: Callable[[], World],
    steps: int,
    *,
    rate: float,
) -> list[float]:
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    reached = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 30)
        features, boxes, targets = world()
        losses = [
            _loss(*pair)
            for pair in zip(unroll(model, features, boxes_around(boxes), range(len(features)))[0], targets, strict=True)
        ]
        optimiser.zero_grad(set_to_none=True)
        torch.stack([loss for loss, _ in losses]).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        reached.append(losses[-1][1])
    return reached


def _loss(step: Step, target: torch.Tensor) -> tuple[torch.Tensor, float]:
    inside = target.sum((1, 2)) > _FEW
    loss, iou = mask_loss(step.logits[inside, 0], target[inside])
    return loss + F.softplus(-step.score).mean(), float(iou.mean())


def _world(rng: np.random.Generator, batch: int, frames: int, model: Sam2VideoModel) -> World:
    """Features of two drifting ellipses, each marked by a random code; the boxes and masks of the first."""
    side, channels = input_side(model), model.hidden_dim
    size = side // _CELL
    centres = rng.uniform(0.1, 0.9, (2, batch, 2)) * side
    halves = rng.uniform(0.04, 0.17, (2, batch, 2)) * side
    drifts = rng.normal(0, 0.03, (2, batch, 2)) * side
    codes = rng.normal(0, 1, (2, batch, channels, 1, 1)).astype(np.float32)
    fine = [torch.zeros(batch, channels // 8, size, size), torch.zeros(batch, channels // 4, size // 2, size // 2)]
    features, targets = [], []
    for frame in range(frames):
        ellipses = [_ellipses(centres[k] + frame * drifts[k], halves[k], size) for k in range(2)]
        ours, other = (F.avg_pool2d(ellipse[:, None], 4) for ellipse in ellipses)
        noise = torch.from_numpy(rng.normal(0, 0.5, (batch, channels, size // 4, size // 4)).astype(np.float32))
        coarse = noise + torch.from_numpy(codes[0]) * ours + torch.from_numpy(codes[1]) * other * (1 - ours)
        features.append([*fine, coarse])
        targets.append(ellipses[0])
    boxes = np.concatenate([centres[0] - halves[0], centres[0] + halves[0]], axis=1)
    return features, torch.from_numpy(boxes.astype(np.float32)), targets


def _ellipses(centre: np.ndarray, half: np.ndarray, size: int) -> torch.Tensor:
    """Filled ellipses (batch, size, size) in {0, 1}; centre and half axes (batch, 2) in model pixels."""
    places = (np.arange(size) + 0.5) * _CELL
    x = (places[None, None, :] - centre[:, 0, None, None]) / half[:, 0, None, None]
    y = (places[None, :, None] - centre[:, 1, None, None]) / half[:, 1, None, None]
    return torch.from_numpy((x**2 + y**2 < 1).astype(np.float32))
