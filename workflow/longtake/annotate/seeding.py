"""Objects that nobody prompted: a grid of points asks the model what it sees where nothing is tracked yet.

The criteria are those of SAM's automatic mask generator (Kirillov et al. 2023, section 5; defaults of SAM 2's): a grid
of points, each a prompt of its own on the frame alone, without memory; of the answers those count that the model
predicts to be good and that are stable, and of two that are nearly the same the better one. Three criteria are ours,
because a mask is to begin a track: the object must be in view by the model's own score, neither a speck nor the
ground, and mostly uncovered by what is tracked or found already, so that no part of an object becomes another.

A seed starts as a mask prompt in a session of its own, whose memory is then grafted into the main one: prompted within
it, it would change how the library encodes the memories of all other objects on that frame.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from longtake.annotate.geometry import ModelPrompt
from longtake.annotate.session import POINTER, TRACKED, BoundedSession, Prediction, track
from longtake.annotate.sheet import SEEDED
from longtake.annotate.tracker import Tracker
from longtake.masks import BoolMask

log = logging.getLogger(__name__)

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SeedCriteria:
    """What an answer of the model must be to become a seed.

    ``points_per_side``: the grid is its square. ``points_per_batch``: points answered at once; it bounds the memory.
    ``predicted_iou``, ``stability``: least predicted IoU, and least IoU of the mask cut at logits of +`offset` and
    -`offset`. ``duplicate_iou``: of two masks with a greater IoU, the one of lower predicted IoU is dropped.
    ``least_area``, ``most_area``: as shares of the frame. ``uncovered``: least share of the mask that nothing covers
    yet. ``most``: most seeds of one frame, the largest first.
    """

    points_per_side: int = 32
    points_per_batch: int = 16
    predicted_iou: float = 0.8
    stability: float = 0.95
    offset: float = 1.0
    duplicate_iou: float = 0.7
    least_area: float = 0.0005
    most_area: float = 0.25
    uncovered: float = 0.5
    most: int = 64


CRITERIA = SeedCriteria()


@dataclass(frozen=True)
class _Answer:
    """One mask of one point at the decoder's resolution, its bits packed: (h * w / 8,) uint8."""

    point: int
    mask: int
    predicted_iou: float
    area: int
    bits: Bits


def seed(
    tracker: Tracker,
    session: BoundedSession,
    frame: int,
    pixels: torch.Tensor,
    tracked: Mapping[str, Prediction],
    *,
    prefix: str,
    criteria: SeedCriteria = CRITERIA,
) -> dict[str, Prediction]:
    """Find objects where nothing is tracked, and let the session track them from this frame on.

    Memory: that of `seed_objects`, and of one more session with one object.

    Parameters
    ----------
    session
        Goes forward, and has tracked its objects on `frame`.
    pixels : (3, image_size, image_size) float32
        The frame.
    tracked
        What `track` said of this frame.
    prefix
        Seeds are called ``{prefix}-00``, ``{prefix}-01``, from the largest on, ties from top to bottom.

    Returns
    -------
    dict
        One prediction for each seed, as `track` gives it.
    """
    covered = np.zeros(tracker.model.prompt_encoder.mask_input_size, dtype=bool)
    for each in tracked.values():
        if each.score_logit > 0:
            covered |= each.logits > 0
    vision = look(tracker, pixels)
    found: dict[str, Prediction] = {}
    for number, mask in enumerate(_seeds(tracker, vision, covered, criteria)):
        own = BoundedSession(tracker, session.num_frames)
        own.cache.cache_vision_features(frame, vision)  # one look at the frame is enough for all
        prompt = ModelPrompt(torch.empty(0, 2), torch.empty(0, dtype=torch.int32), torch.from_numpy(mask).float())
        found |= track(tracker, own, frame, pixels, {f"{prefix}-{number:02d}": prompt})
        graft(session, own)
    session.prune(frame)
    return found


def graft(session: BoundedSession, other: BoundedSession) -> None:
    """Let `session` go on with the objects of `other`, which must stand at the same frame and have other names."""
    for place, name in enumerate(other.obj_ids):
        # What both hold is read and never written to, so it may be shared.
        session.output_dict_per_obj[session.obj_id_to_idx(name)] = other.output_dict_per_obj[place]


def gone(tracker: Tracker, session: BoundedSession) -> set[str]:
    """Name the seeds that were out of view for as long as the session remembers, and need not be tracked any more.

    Seeds come with every window and no prompt ends them; without this rule, a long video would track ever more of them.
    A seed is gone where each of the last object pointers, as many as the model can read, is the pointer of absence.
    """
    absent = tracker.model.no_object_pointer
    names = set()
    for place, name in enumerate(session.obj_ids):
        pointers = [output[POINTER] for output in session.output_dict_per_obj[place][TRACKED].values()]
        full = len(pointers) >= tracker.model.config.max_object_pointers_in_encoder - 1
        if SEEDED.fullmatch(str(name)) and full and all(bool((each == absent).all()) for each in pointers):
            names.add(str(name))
    return names


def seed_objects(
    tracker: Tracker, pixels: torch.Tensor, covered: BoolMask, criteria: SeedCriteria = CRITERIA
) -> list[npt.NDArray[np.bool_]]:
    """Find objects on a frame where nothing covers it yet.

    Memory: the model's answers to one batch of points, and one bit a pixel of the decoder's resolution for each answer
    that is good enough.

    Parameters
    ----------
    pixels : (3, image_size, image_size) float32
        The frame, from `longtake.annotate.geometry.model_frame`.
    covered : (h, w) bool
        What is tracked already, at the decoder's resolution.

    Returns
    -------
    list of (image_size, image_size) bool
        From the largest on, ties from top to bottom; the same for the same frame.
    """
    return list(_seeds(tracker, look(tracker, pixels), covered, criteria))


def _seeds(tracker: Tracker, vision: dict[str, Any], covered: BoolMask, criteria: SeedCriteria) -> Iterator[BoolMask]:
    side = tracker.preprocessing.image_size
    centres = (np.arange(criteria.points_per_side) + 0.5) / criteria.points_per_side
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    rows, columns = (grid[:, ::-1] * covered.shape).astype(int).T
    points = torch.from_numpy(grid[~covered[rows, columns]] * side).float()
    answers = [
        answer
        for start in range(0, len(points), criteria.points_per_batch)
        for answer in _good(tracker, vision, points[start : start + criteria.points_per_batch], start, criteria)
    ]
    chosen = _choose(answers, covered, criteria)
    if len(chosen) == criteria.most:
        log.warning(
            "%d objects were found on one frame, the most that are taken; smaller ones may be left", criteria.most
        )
    for answer in chosen:
        # Asked again, because at the decoder's full depth all answers would not fit into a bounded memory.
        logits = ask(tracker, vision, points[answer.point : answer.point + 1])[0][0, answer.mask]
        fine = functional.interpolate(logits[None, None], (side, side), mode="bilinear", align_corners=False)
        yield (fine[0, 0] > 0).cpu().numpy()


def look(tracker: Tracker, pixels: torch.Tensor) -> dict[str, Any]:
    """Encode a frame, in the form in which the library's sessions cache it."""
    with _inference(tracker):
        found = tracker.model.get_image_features(pixels[None].to(tracker.device), return_dict=True)
    return {"vision_feats": found.fpn_hidden_states, "vision_pos_embeds": found.fpn_position_encoding}


def ask(
    tracker: Tracker, vision: dict[str, Any], points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompt the frame with each of P points alone, as the library does on an object's first frame.

    Parameters
    ----------
    points : (P, 2) float32
        In the model's square.

    Returns
    -------
    logits : (P, M, h, w) float32
        M masks to a point: several where the model was made to answer one point by several, else one.
    predicted_iou : (P, M) float32
    score_logit : (P,) float32
    """
    model, config = tracker.model, tracker.model.config
    several = config.multimask_output_in_sam and config.multimask_min_pt_num <= 1 <= config.multimask_max_pt_num
    with _inference(tracker):
        *fine, coarse = vision["vision_feats"]
        features = [*fine, coarse + model.no_memory_embedding]
        maps = [
            feature.permute(1, 2, 0).view(1, -1, *size)
            for feature, size in zip(features, model.backbone_feature_sizes, strict=True)
        ]
        given = points[None, :, None].to(tracker.device)
        labels = torch.ones(given.shape[:3], dtype=torch.int32, device=tracker.device)
        sparse, dense = model.prompt_encoder(given, labels, None, None)
        logits, predicted_iou, _, score_logit = model.mask_decoder(
            image_embeddings=maps[-1],
            image_positional_embeddings=model.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=maps[:-1],
        )
    return logits[0].float(), predicted_iou[0].float(), score_logit[0, :, 0].float()


def _good(
    tracker: Tracker, vision: dict[str, Any], points: torch.Tensor, first: int, criteria: SeedCriteria
) -> Iterator[_Answer]:
    """Yield the answers to a batch of points that hold by themselves; `first` is the number of the first point."""
    logits, predicted_iou, score_logit = ask(tracker, vision, points)
    area, inner, outer = ((logits > cut).flatten(2).sum(2) for cut in (0.0, criteria.offset, -criteria.offset))
    pixels = logits.shape[-1] * logits.shape[-2]
    good = (
        (score_logit[:, None] > 0)
        & (predicted_iou >= criteria.predicted_iou)
        & (inner >= criteria.stability * outer)
        & (area >= max(1.0, criteria.least_area * pixels))
        & (area <= criteria.most_area * pixels)
    )
    for point, mask in good.nonzero().tolist():
        bits = np.packbits((logits[point, mask] > 0).cpu().numpy())
        yield _Answer(first + point, mask, predicted_iou[point, mask].item(), int(area[point, mask]), bits)


def _choose(answers: list[_Answer], covered: BoolMask, criteria: SeedCriteria) -> list[_Answer]:
    """Drop duplicates, the less good first; then take the largest first, each mostly uncovered by those before."""
    kept: list[_Answer] = []
    for answer in sorted(answers, key=lambda it: (-it.predicted_iou, it.point, it.mask)):
        if all(_iou(answer, other) <= criteria.duplicate_iou for other in kept):
            kept.append(answer)
    taken = np.packbits(covered)
    chosen: list[_Answer] = []
    for answer in sorted(kept, key=lambda it: (-it.area, it.point, it.mask)):
        if len(chosen) < criteria.most and _count(answer.bits & ~taken) >= criteria.uncovered * answer.area:
            taken |= answer.bits
            chosen.append(answer)
    return chosen


def _iou(one: _Answer, other: _Answer) -> float:
    shared = _count(one.bits & other.bits)
    return shared / (one.area + other.area - shared)


def _count(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum())


def _inference(tracker: Tracker) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(torch.inference_mode())
    half = tracker.precision == "bfloat16"
    stack.enter_context(torch.autocast(tracker.device.type, dtype=torch.bfloat16, enabled=half))
    return stack
