"""How well the small SAM 2 follows the animals of held-out scenes: ``python -m longtake.demo.evaluate_tracker``.

The library's stock video session tracks whole scenes, prompted by boxes; the IoU is taken at source
size over every processed frame from the prompt on in which the animal is visible.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from longtake.demo.lessons import compress, model_view
from longtake.demo.prompting import Prompt, regular_prompts
from longtake.demo.scenes import Scene, is_visible, make_scene, render_frame
from longtake.demo.tracker import IMAGE_SIZE
from longtake.demo.train_tracker import normalise
from longtake.masks import iou

logger = logging.getLogger(__name__)

HELD_OUT_SEED = 500_000
"""Evaluation scenes count up from here; training scenes start at `lessons.TRAINING_SEED`."""


@dataclass(frozen=True)
class Followed:
    """One animal of one scene: IoU (M,) over its visible frames, the share of absent frames left empty."""

    species: str
    iou: np.ndarray
    prompted_iou: float
    absent: int
    false_alarms: int


def evaluate_scene(
    model: Sam2VideoModel, scene: Scene, *, frame_interval: int = 5, every: int | None = None
) -> list[Followed]:
    """Track a scene through the stock session; memory grows with the scene, as the stock session's does.

    An animal is prompted once, or again at its first good view `every` frames after its last prompt.
    """
    prompts = regular_prompts(scene, frame_interval, every=every or scene.n_frames)
    session = Sam2VideoInferenceSession(video_height=scene.height, video_width=scene.width, dtype=torch.float32)
    ious: dict[int, list[float]] = {prompt.number: [] for prompt in prompts}
    absences = {prompt.number: [0, 0] for prompt in prompts}
    for index, frame in enumerate(range(0, scene.n_frames, frame_interval)):
        rendered = render_frame(scene, frame)
        due = [prompt for prompt in prompts if prompt.frame == frame]
        _prompt(session, scene, due, index)
        if session.get_obj_num() == 0:
            continue
        pixels = normalise(model_view(compress(rendered.image, 80))[None])
        output = model(inference_session=session, frame=pixels, frame_idx=index)
        for number, logits in zip(output.object_ids, output.pred_masks[:, 0].float().numpy(), strict=True):
            ours = cv2.resize(logits, (scene.width, scene.height), interpolation=cv2.INTER_LINEAR) > 0
            if is_visible(scene, rendered.ids, number):
                ious[number].append(iou(ours, np.asarray(rendered.ids == number)))
            elif not (rendered.ids == number).any():
                absences[number][0] += 1
                absences[number][1] += int(ours.sum() > 64)
    return [Followed(scene.animals[n - 1].species, np.array(ious[n]), ious[n][0], *absences[n]) for n in sorted(ious)]


def _prompt(session: Sam2VideoInferenceSession, scene: Scene, due: list[Prompt], index: int) -> None:
    scale = IMAGE_SIZE / torch.tensor([scene.width, scene.height])
    for prompt in due:
        inputs = {
            "point_coords": torch.tensor(prompt.box).reshape(1, 1, 2, 2) * scale,
            "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
        }
        session.add_point_inputs(session.obj_id_to_idx(prompt.number), index, inputs)
    if due:
        session.obj_with_new_inputs = [prompt.number for prompt in due]


def evaluate(model: Sam2VideoModel, *, scenes: int, duration_s: float, every: int | None = None) -> list[Followed]:
    """All animals of `scenes` held-out scenes with three or four animals each."""
    followed = []
    for k in range(scenes):
        scene = make_scene(HELD_OUT_SEED + k, duration_s=duration_s, n_animals=3 + k % 2)
        found = evaluate_scene(model, scene, every=every)
        means = " ".join(f"{animal.species} {animal.iou.mean():.3f}" for animal in found)
        logger.info("scene %d: %s", scene.seed, means)
        followed += found
    return followed


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="IoU of the small SAM 2 on held-out scenes.")
    parser.add_argument("--model", type=Path, default=Path("workflow/models/sam2-pond"))
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--duration-s", type=float, default=60.0)
    parser.add_argument("--every", type=int, help="source frames after which an animal is prompted again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Sam2VideoModel.from_pretrained(arguments.model).eval()
    followed = evaluate(model, scenes=arguments.scenes, duration_s=arguments.duration_s, every=arguments.every)
    everything = np.concatenate([animal.iou for animal in followed])
    per_animal = np.array([animal.iou.mean() for animal in followed])
    absent, alarms = sum(a.absent for a in followed), sum(a.false_alarms for a in followed)
    logger.info("mean IoU over %d visible animal frames: %.3f", everything.size, everything.mean())
    logger.info("prompted frames: %.3f", np.mean([animal.prompted_iou for animal in followed]))
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


if __name__ == "__main__":
    main()
