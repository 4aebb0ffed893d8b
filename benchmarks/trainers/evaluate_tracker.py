"""How well the small SAM 2 follows the animals of held-out scenes: ``python -m trainers.evaluate_tracker``.

The library's stock video session tracks whole scenes, prompted by boxes. IoU and identity are taken at source size
over every processed frame from an animal's first prompt on. Single frames then tell boxes, points on animals and
points on nothing apart.
"""

import argparse
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from longtake.demo.prompting import Prompt, regular_prompts
from longtake.demo.scenes import MIN_VISIBLE_PIXELS, Rendered, Scene, make_scene, render_frame
from longtake.masks import box, iou
from longtake.streams import stream
from trainers.lessons import compress, model_view
from trainers.tracker import input_side
from trainers.train_tracker import normalise

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 500_000
"""Evaluation scenes count up from here; training scenes start at `lessons.TRAINING_SEED`."""
_MATCH = 0.5  # IoU from which on a mask is an animal's
_QUALITY = 80  # of the JPEG round trip that stands for a codec


@dataclass(frozen=True)
class Followed:
    """One animal of one scene: IoU (M,) over its visible frames, and how many of its absent frames got a mask."""

    species: str
    iou: np.ndarray
    prompted_iou: float
    absent: int
    false_alarms: int


@dataclass(frozen=True)
class Identities:
    """Counts of one scene for its A animals, over the frames from an animal's first prompt on.

    `matched` (A, A): frames in which animal i is visible and track j has a mask of IoU >= 0.5 with it; `visible` (A,)
    frames in which animal i is visible; `drawn` (A,) frames in which track j has a mask. Fewer than 64 pixels make
    neither an animal visible nor a mask; where only such a sliver of animal j is seen, track j counts neither way.
    """

    matched: np.ndarray
    visible: np.ndarray
    drawn: np.ndarray


@dataclass(frozen=True)
class Single:
    """One prompt on a frame of its own: `kind`, IoU with the animal, nan on nothing; `is_empty`, no mask came back."""

    kind: str
    iou: float
    is_empty: bool


def evaluate_scene(
    model: Sam2VideoModel, scene: Scene, *, frame_interval: int = 5, every: int | None = None, kind: str = "box"
) -> tuple[list[Followed], Identities]:
    """Track a scene through the stock session; memory grows with the scene, as the stock session's does.

    An animal is prompted once, or again at its first good view `every` frames after its last prompt: by its "box", by
    its innermost "point" or by its "mask".
    """
    prompts = regular_prompts(scene, frame_interval, every=every or scene.n_frames)
    numbers = sorted({prompt.number for prompt in prompts})
    session = _session(scene)
    ious: dict[int, list[float]] = {number: [] for number in numbers}
    absences = {number: [0, 0] for number in numbers}
    matched = np.zeros((len(numbers), len(numbers)), np.int64)
    visible, drawn = np.zeros((2, len(numbers)), np.int64)
    for index, frame in enumerate(range(0, scene.n_frames, frame_interval)):
        rendered = render_frame(scene, frame)
        _ask_due(model, session, [prompt for prompt in prompts if prompt.frame == frame], index, (kind, rendered))
        if session.get_obj_num() == 0:
            continue
        masks = _masks(model, session, scene, rendered, index)
        areas = {number: int((rendered.ids == number).sum()) for number in masks}
        for number, ours in masks.items():
            track, has_mask = numbers.index(number), bool(ours.sum() >= MIN_VISIBLE_PIXELS)
            drawn[track] += has_mask and not 0 < areas[number] < MIN_VISIBLE_PIXELS
            if areas[number] >= MIN_VISIBLE_PIXELS:
                visible[track] += 1
                ious[number].append(iou(ours, np.asarray(rendered.ids == number)))
            elif areas[number] == 0:
                absences[number][0] += 1
                absences[number][1] += has_mask
            for other in masks:
                if has_mask and areas[other] >= MIN_VISIBLE_PIXELS:
                    matched[numbers.index(other), track] += iou(ours, np.asarray(rendered.ids == other)) >= _MATCH
    species = {number: scene.animals[number - 1].species for number in numbers}
    followed = [Followed(species[n], np.array(ious[n]), ious[n][0], *absences[n]) for n in numbers]
    return followed, Identities(matched, visible, drawn)


def identity_f1(scenes: Iterable[Identities]) -> float:
    """IDF1: 2 matched / (visible + drawn) under each scene's best one-to-one pairing of animals and tracks.

    Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016.
    """
    right = total = 0
    for found in scenes:
        rows, columns = linear_sum_assignment(found.matched, maximize=True)
        right += int(found.matched[rows, columns].sum())
        total += int(found.visible.sum() + found.drawn.sum())
    return 2 * right / max(1, total)


def evaluate_prompts(model: Sam2VideoModel, scene: Scene, *, interval: int = 100) -> list[Single]:
    """Prompt every visible animal on every `interval`-th frame, each frame alone, and eight points on nothing.

    Kinds: "box"; "point", the animal's innermost pixel; "points", another of its pixels as well and two beside it;
    "nothing", a pixel eight or more away from every animal.
    """
    rng = stream(scene.seed, "evaluation", "points")
    found = []
    for frame in range(0, scene.n_frames, interval):
        rendered = render_frame(scene, frame)
        asked = list(_questions(rng, rendered, len(scene.animals)))
        session = _session(scene)
        for k, (_, _, points, labels) in enumerate(asked):
            _ask(model, session, k, 0, (points, labels))
        session.obj_with_new_inputs = list(range(len(asked)))
        masks = _masks(model, session, scene, rendered, 0)
        for k, (kind, number, _, _) in enumerate(asked):
            overlap = iou(masks[k], np.asarray(rendered.ids == number)) if number else float("nan")
            found.append(Single(kind, overlap, not masks[k].any()))
    return found


Question = tuple[str, int, np.ndarray, list[int]]


def _questions(rng: np.random.Generator, rendered: Rendered, n_animals: int) -> Iterable[Question]:
    """Kind, animal (0 = nothing), points (P, 2) in source pixels and labels of every prompt of one frame."""
    apart = cv2.distanceTransform((rendered.ids == 0).astype(np.uint8), cv2.DIST_L2, 5)
    for number in range(1, n_animals + 1):
        mask = rendered.ids == number
        edges = box(mask)
        if edges is None or mask.sum() < MIN_VISIBLE_PIXELS:
            continue
        inmost = _innermost(mask)
        more, beside = _pixels(rng, mask, 1), _pixels(rng, (apart > 4) & (apart < 40), 2)
        yield "box", number, np.array(edges, float).reshape(2, 2), [2, 3]
        yield "point", number, inmost, [1]
        yield "points", number, np.concatenate([inmost, more, beside]), [1, 1, 0, 0]
    for point in _pixels(rng, apart >= 8, 8):
        yield "nothing", 0, point[None], [1]


def _innermost(mask: np.ndarray) -> np.ndarray:
    """The pixel (1, 2), x and y, that lies farthest from the mask's edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.array(np.unravel_index(depth.argmax(), depth.shape))[None, ::-1]


def _pixels(rng: np.random.Generator, mask: np.ndarray, count: int) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    which = rng.integers(0, len(rows), count)
    return np.stack([columns[which], rows[which]], axis=1)


def _session(scene: Scene) -> Sam2VideoInferenceSession:
    return Sam2VideoInferenceSession(video_height=scene.height, video_width=scene.width, dtype=torch.float32)


def _ask_due(
    model: Sam2VideoModel,
    session: Sam2VideoInferenceSession,
    due: list[Prompt],
    index: int,
    shown: tuple[str, Rendered],
) -> None:
    kind, rendered = shown
    for prompt in due:
        mask = rendered.ids == prompt.number
        if kind == "mask":
            size = (input_side(model),) * 2
            small = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
            given = torch.from_numpy(small).float()[None, None]
            session.add_mask_inputs(session.obj_id_to_idx(prompt.number), index, given)
        elif kind == "point":
            _ask(model, session, prompt.number, index, (_innermost(mask), [1]))
        else:
            _ask(model, session, prompt.number, index, (np.array(prompt.box).reshape(2, 2), [2, 3]))
    if due:
        session.obj_with_new_inputs = [prompt.number for prompt in due]


def _ask(
    model: Sam2VideoModel,
    session: Sam2VideoInferenceSession,
    number: int,
    index: int,
    marks: tuple[np.ndarray, list[int]],
) -> None:
    """Hand an object's points (P, 2) in source pixels and their labels to the session."""
    points, labels = marks
    scale = input_side(model) / np.array([session.video_width, session.video_height])
    inputs = {
        "point_coords": torch.tensor(points * scale, dtype=torch.float32)[None, None],
        "point_labels": torch.tensor([[labels]], dtype=torch.int32),
    }
    session.add_point_inputs(session.obj_id_to_idx(number), index, inputs)


def _masks(
    model: Sam2VideoModel, session: Sam2VideoInferenceSession, scene: Scene, rendered: Rendered, index: int
) -> dict[int, np.ndarray]:
    """Track one frame: by object id, its mask (H, W) bool at source size."""
    pixels = normalise(model_view(compress(rendered.image, _QUALITY), input_side(model))[None])
    output = model(inference_session=session, frame=pixels, frame_idx=index)
    size = (scene.width, scene.height)
    return {
        number: cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0
        for number, logits in zip(output.object_ids, output.pred_masks[:, 0].float().numpy(), strict=True)
    }


def held_out_scene(k: int, duration_s: float) -> Scene:
    """Held-out scene k, with three or four animals."""
    return make_scene(HELD_OUT_SEED + k, duration_s=duration_s, n_animals=3 + k % 2)


def evaluate(
    model: Sam2VideoModel, *, scenes: int, duration_s: float, every: int | None = None, kind: str = "box"
) -> tuple[list[Followed], list[Identities]]:
    """All animals of the first `scenes` held-out scenes."""
    followed, identities = [], []
    for k in range(scenes):
        scene = held_out_scene(k, duration_s)
        found, counts = evaluate_scene(model, scene, every=every, kind=kind)
        means = " ".join(f"{animal.species} {animal.iou.mean():.3f}" for animal in found)
        logger.info("scene %d: IDF1 %.3f, %s", scene.seed, identity_f1([counts]), means)
        followed += found
        identities.append(counts)
    return followed, identities


def _report(followed: list[Followed], identities: list[Identities]) -> None:
    everything = np.concatenate([animal.iou for animal in followed])
    per_animal = np.array([animal.iou.mean() for animal in followed])
    absent, alarms = sum(a.absent for a in followed), sum(a.false_alarms for a in followed)
    logger.info("mean IoU over %d visible animal frames: %.3f", everything.size, everything.mean())
    logger.info("IDF1: %.3f", identity_f1(identities))
    logger.info("first prompted frames: %.3f", np.mean([animal.prompted_iou for animal in followed]))
    logger.info(
        "per animal: median %.3f, worst %.3f, %d of %d below 0.5",
        np.median(per_animal),
        per_animal.min(),
        (per_animal < 0.5).sum(),
        per_animal.size,
    )
    for species in sorted({animal.species for animal in followed}):
        own = np.concatenate([animal.iou for animal in followed if animal.species == species])
        logger.info("%s: %.3f", species, own.mean())
    logger.info("absent animal frames with a mask: %d of %d", alarms, absent)


def _report_singles(singles: list[Single]) -> None:
    for kind in ("box", "point", "points"):
        ious = [single.iou for single in singles if single.kind == kind]
        logger.info("%s on a frame alone: IoU %.3f over %d animals", kind, np.mean(ious), len(ious))
    empty = [single.is_empty for single in singles if single.kind == "nothing"]
    logger.info("points on nothing: %d of %d gave no mask", sum(empty), len(empty))


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="IoU and identities of the small SAM 2 on held-out scenes.")
    parser.add_argument("--model", type=Path, default=Path("workflow/models/sam2-pond"))
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--duration-s", type=float, default=60.0)
    parser.add_argument("--every", type=int, help="source frames after which an animal is prompted again")
    parser.add_argument("--prompt", choices=["box", "point", "mask"], default="box", help="what marks an animal")
    parser.add_argument("--singles", action="store_true", help="prompt single frames instead: boxes and points")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Sam2VideoModel.from_pretrained(arguments.model).eval()
    if arguments.singles:
        scenes = (held_out_scene(k, arguments.duration_s) for k in range(arguments.scenes))
        _report_singles([single for scene in scenes for single in evaluate_prompts(model, scene)])
    else:
        length = {"scenes": arguments.scenes, "duration_s": arguments.duration_s}
        _report(*evaluate(model, **length, every=arguments.every, kind=arguments.prompt))


if __name__ == "__main__":
    main()
