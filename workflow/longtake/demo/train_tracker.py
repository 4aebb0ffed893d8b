"""Train the demo's small SAM 2 from nothing: ``python -m longtake.demo.train_tracker --out FOLDER``.

First two exercises without pictures; then pairs of frames, and short clips with gaps and
absences. Everything is drawn from the seed: the scenes, the boxes, the weights.
"""

import argparse
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Sam2VideoModel

from longtake.demo.exercises import follow, paint
from longtake.demo.lessons import Lesson, Stage, make_lesson
from longtake.demo.losses import tracking_loss
from longtake.demo.reading import readings, recognition_loss
from longtake.demo.tracker import IMAGE_MEAN, IMAGE_STD, new_tracker, save_tracker
from longtake.demo.unroll import Step, encode, unroll
from longtake.store.atomic import atomic_path

logger = logging.getLogger(__name__)

PAINTING_STEPS, FOLLOWING_STEPS = 300, 220
STAGES = (
    Stage("pairs", 400, 4, 2, (2, 5), (0, 1), (2, 6), (1.0, 3.0)),
    Stage("clips", 800, 3, 4, (2, 4), (0, 3), (3, 7), (1.0, 4.0), gap=0.3),
)
_PEAK_RATE, _LAST_RATE, _WARM_UP = 6e-4, 2e-5, 40
_RECOGNITION = 0.5  # weight of the recognition loss
_DECAY = 0.996  # of the running average of the weights, which is what is kept


@dataclass
class State:
    """What a checkpoint holds: the model that learns, its running average, the optimiser, steps done."""

    model: Sam2VideoModel
    average: Sam2VideoModel
    optimiser: torch.optim.AdamW
    step: int


class _Lessons(Dataset):
    """Lessons by global step, so that a worker process can render ahead."""

    def __init__(self, seed: int, plan: list[tuple[Stage, int]]) -> None:
        self.seed, self.plan = seed, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, at: int) -> Lesson:
        stage, number = self.plan[at]
        return make_lesson(self.seed, number, stage)


class _FixedPositions(torch.nn.Module):
    """The neck's position encoding of one image, shared over the batch: the same numbers, computed once."""

    def __init__(self, encoding: torch.nn.Module) -> None:
        super().__init__()
        self.encoding = encoding
        self.known: dict[tuple[int, ...], torch.Tensor] = {}

    def forward(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        key = tuple(shape[1:])
        if key not in self.known:
            self.known[key] = self.encoding((1, *key), device, dtype)
        return self.known[key].expand(shape[0], -1, -1, -1)


def train(out: Path, checkpoint: Path, *, seed: int, stages: tuple[Stage, ...] = STAGES, threads: int = 1) -> None:
    """Run (or resume from `checkpoint`) all stages, then write the averaged tracker to `out`."""
    torch.set_num_threads(threads)
    plan = [(stage, number) for stage in stages for number in range(stage.steps)]
    state = _state(seed, checkpoint)
    if state.step == 0:
        _exercise(state.model, seed)
        state.average.load_state_dict(state.model.state_dict())
    remaining = plan[state.step :]
    lessons = DataLoader(_Lessons(seed, remaining), batch_size=None, num_workers=1, prefetch_factor=4)
    encoding = state.model.vision_encoder.neck.position_encoding
    state.model.vision_encoder.neck.position_encoding = _FixedPositions(encoding)
    started = time.monotonic()
    recent: list[dict[str, float]] = []
    for (stage, _), lesson in zip(remaining, lessons, strict=True):
        for group in state.optimiser.param_groups:
            group["lr"] = _rate(state.step, len(plan))
        recent.append(_learn(state, lesson, stage))
        state.step += 1
        if state.step % 20 == 0 or state.step == len(plan):
            figures = " ".join(f"{name} {_mean_known(r[name] for r in recent):.3f}" for name in recent[0])
            logger.info("%s %d/%d %.0f s %s", stage.name, state.step, len(plan), time.monotonic() - started, figures)
            recent = []
        if state.step % 50 == 0 or state.step == len(plan):
            _keep(state, checkpoint)
            save_tracker(state.average, out)


def _exercise(model: Sam2VideoModel, seed: int) -> None:
    painted = paint(model, seed=seed, steps=PAINTING_STEPS)
    logger.info("painting what a box holds: IoU %.3f after %d steps", np.mean(painted[-30:]), len(painted))
    followed = follow(model, seed=seed, steps=FOLLOWING_STEPS)
    logger.info("following it by memory: IoU %.3f after %d steps", np.mean(followed[-30:]), len(followed))


def _state(seed: int, checkpoint: Path) -> State:
    model, average = new_tracker(seed), new_tracker(seed).requires_grad_(False)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}])
    state = State(model.train(), average.eval(), optimiser, 0)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        state = replace(state, step=saved["step"])
    return state


def _keep(state: State, checkpoint: Path) -> None:
    with atomic_path(checkpoint) as path:
        torch.save(
            {
                "model": state.model.state_dict(),
                "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
            },
            path,
        )


def _rate(step: int, total: int) -> float:
    if step < _WARM_UP:
        return _PEAK_RATE * (step + 1) / _WARM_UP
    done = (step - _WARM_UP) / max(1, total - _WARM_UP)
    return _LAST_RATE + (_PEAK_RATE - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def _learn(state: State, lesson: Lesson, stage: Stage) -> dict[str, float]:
    """One optimiser step; returns the loss and what it is made of."""
    with readings(state.model) as found:
        steps = forward(state.model, lesson, detach_every=stage.detach_every)
    loss, figures = tracking_loss(steps, lesson)
    recognition = recognition_loss(state.model, found, lesson)
    loss = loss + _RECOGNITION * recognition
    figures["recognition"] = float(recognition.detach())
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    if torch.isfinite(norm):
        state.optimiser.step()
    decay = min(_DECAY, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), state.model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    return figures | {"norm": float(norm)}


def forward(model: Sam2VideoModel, lesson: Lesson, *, detach_every: int = 0) -> list[Step]:
    """The tracker over a lesson: T steps for its N animals."""
    clips, frames = lesson.pixels.shape[:2]
    levels = encode(model, normalise(lesson.pixels.reshape(clips * frames, *lesson.pixels.shape[2:])))
    owner = torch.from_numpy(lesson.owner)
    by_clip = [level.reshape(clips, frames, *level.shape[1:]) for level in levels]
    features = [[level[owner, t] for level in by_clip] for t in range(frames)]
    return unroll(model, features, torch.from_numpy(lesson.boxes), lesson.indices, detach_every=detach_every)


def normalise(pixels: np.ndarray) -> torch.Tensor:
    """Frames (B, S, S, 3) uint8 as the model's input (B, 3, S, S) float32."""
    mean, std = torch.tensor(IMAGE_MEAN), torch.tensor(IMAGE_STD)
    return ((torch.from_numpy(pixels).float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def _mean_known(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the demo's small SAM 2 on synthetic scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--checkpoint", type=Path, help="file to resume from (default: results/OUT.checkpoint.pt)")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps of each stage, for a trial run")
    return parser.parse_args()


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = _arguments()
    stages = tuple(replace(stage, steps=max(1, round(arguments.share * stage.steps))) for stage in STAGES)
    checkpoint = arguments.checkpoint or Path("results") / f"{arguments.out.name}.checkpoint.pt"
    train(arguments.out, checkpoint, seed=arguments.seed, stages=stages, threads=arguments.threads)


if __name__ == "__main__":
    main()
