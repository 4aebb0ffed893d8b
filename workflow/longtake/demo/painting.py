"""A first exercise without pictures: paint the ellipse that a box holds.

What a box means is the slow part of learning to segment from boxes: with pictures at hand a young tracker
finds every animal and ignores the box. A few hundred steps of the mask decoder alone settle it.
"""

import numpy as np
import torch
from transformers import Sam2VideoModel

from longtake.demo.losses import mask_loss
from longtake.demo.tracker import IMAGE_SIZE
from longtake.demo.unroll import decode
from longtake.streams import stream

_CELL = 4  # model pixels per cell of the low-resolution masks


def paint(model: Sam2VideoModel, *, seed: int, steps: int, batch: int = 24, rate: float = 8e-4) -> list[float]:
    """Train the prompt encoder and mask decoder of `model` in place; returns the mean IoU of each step."""
    parameters = [*model.mask_decoder.parameters(), *model.prompt_encoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    rng = stream(seed, "painting", "boxes")
    size = IMAGE_SIZE // _CELL
    levels = [torch.zeros(batch, 16, size, size), torch.zeros(batch, 32, size // 2, size // 2)]
    reached = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 30)
        boxes, ellipses = _boxes(rng, batch, size)
        noise = torch.from_numpy(rng.normal(0, 0.5, (batch, model.hidden_dim, size // 4, size // 4)).astype(np.float32))
        outputs, _ = decode(model, [*levels, noise], noise, boxes)
        loss, iou = mask_loss(outputs.logits[:, 0], ellipses)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        reached.append(float(iou.mean()))
    return reached


def _boxes(rng: np.random.Generator, batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (batch, 4) in model pixels and the ellipses that they hold (batch, size, size) in {0, 1}."""
    centre = rng.uniform(0, IMAGE_SIZE, (batch, 2))
    half = rng.uniform(0.04, 0.17, (batch, 2)) * IMAGE_SIZE
    places = (np.arange(size) + 0.5) * _CELL
    x = (places[None, None, :] - centre[:, 0, None, None]) / half[:, 0, None, None]
    y = (places[None, :, None] - centre[:, 1, None, None]) / half[:, 1, None, None]
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy((x**2 + y**2 < 1).astype(np.float32))
