"""What the tracker is trained for: masks, presence, and knowing how good a mask is."""

import torch
import torch.nn.functional as F

from trainers.lessons import Aside, Lesson
from trainers.unroll import Step


def tracking_loss(steps: list[Step], lesson: Lesson) -> tuple[torch.Tensor, dict[str, float]]:
    """Focal + dice on visible animals, presence on all, and the error of the model's own IoU estimate.

    Returns the loss per frame and figures: the loss, the IoU on the prompted and on later frames.
    """
    total = torch.zeros(())
    first: list[float] = []
    later: list[float] = []
    for t, step in enumerate(steps):
        target = torch.from_numpy(lesson.targets[:, t]).float() / 255
        visible = torch.from_numpy(lesson.visible[:, t])
        known, seen = visible >= 0, visible == 1
        presence = F.binary_cross_entropy_with_logits(step.score, seen.float(), reduction="none")
        # Absences are rare and costly: a tracker that never lets go takes up with the next animal.
        weight = known * torch.where(seen, 1.0, 3.0)
        total = total + (presence * weight).sum() / known.sum().clamp(min=1)
        if not seen.any():
            continue
        mask, iou = mask_loss(_enlarged(step.logits, target)[seen], target[seen])
        total = total + mask + F.mse_loss(step.iou[seen], iou)
        (later if t else first).append(float(iou.mean()))
    figures = {"loss": float(total.detach()) / len(steps), "first": _mean(first), "later": _mean(later)}
    return total / len(steps), figures


def aside_loss(step: Step, aside: Aside) -> torch.Tensor:
    """Points on an animal give its mask, points on water and stones give nothing, and the score tells."""
    target = torch.from_numpy(aside.targets).float() / 255
    seen = target.flatten(1).any(1)
    presence = F.binary_cross_entropy_with_logits(step.score, seen.float())
    mask, iou = mask_loss(_enlarged(step.logits, target)[seen], target[seen])
    return presence + mask + F.mse_loss(step.iou[seen], iou)


def _enlarged(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Logits (n, 1, h, w) at the size of the targets (n, s, s): (n, s, s)."""
    return F.interpolate(logits, size=target.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def mask_loss(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mask loss of (n, s, s) logits against (n, s, s) in [0, 1], and the IoU (n,) that they reach."""
    chance = torch.sigmoid(logits)
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = 20 * (cross * (chance - target).square()).mean()
    overlap = (chance * target).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (chance.sum((1, 2)) + target.sum((1, 2)) + 1)
    with torch.no_grad():
        ours, truth = logits > 0, target > 0.5
        iou = (ours & truth).sum((1, 2)) / (ours | truth).sum((1, 2)).clamp(min=1)
    return focal + dice.mean(), iou


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
