"""Train the demo's small SAM 2 from nothing: ``python -m trainers.train_tracker --out FOLDER``.

Four cycles, each from the averaged weights of the one before. The first: two exercises without pictures, then pairs of
frames and short clips. The second: animals are recalled from a prompt far back, with nothing known since; without this
a tracker knows where an animal was and not which one it is. The third, at full size: animals are followed for long, and
each step takes up the memories that earlier steps left, so that the tracker learns to live with its own mistakes, with
animals that leave and with animals that meet. Alone that undoes the second after a while; so the fourth does both.
Everything is drawn from the seed: the scenes, the prompts, the weights.
"""

import argparse
import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import Sam2VideoModel

from longtake.store.atomic import atomic_path
from trainers.exercises import follow, paint
from trainers.lessons import Lesson, Stage, make_lesson
from trainers.losses import aside_loss, tracking_loss
from trainers.reading import covered_cells, readings, recognition_loss
from trainers.tracker import (
    FIRST_SIZE,
    IMAGE_MEAN,
    IMAGE_SIZE,
    IMAGE_STD,
    MEMORIES,
    grown,
    input_side,
    new_tracker,
    save_tracker,
)
from trainers.unroll import Asked, Memory, Step, decode, encode, unroll

logger = logging.getLogger(__name__)

PAINTING_STEPS, FOLLOWING_STEPS = 300, 220
_RECOGNITION = 0.5  # weight of the recognition loss
_ASIDE = 0.5  # weight of the points aside
_KEPT = 15  # frames back that any memory or pointer is read


@dataclass(frozen=True)
class Cycle:
    """Stages under one course of the learning rate: up in `warm_up` steps, then `peak`, down in the last `settle`.

    `side` of the input in pixels; `memories` that a frame reads; `decay` of the running average of the weights, which
    is what is kept. A cycle starts from the average of the one before; `from_file`, from that as the half-precision
    file has it. `woven` stages take turns.
    """

    stages: tuple[Stage, ...]
    side: int
    memories: int
    peak: float
    warm_up: int
    settle: int
    decay: float
    from_file: bool = False
    woven: bool = False

    @property
    def plan(self) -> list[tuple[Stage, int]]:
        """Stage and number of each step's lesson."""
        steps = [(stage, number) for stage in self.stages for number in range(stage.steps)]
        return sorted(steps, key=lambda step: (step[1] + 0.5) / step[0].steps) if self.woven else steps


_CLIPS = Stage("clips", 800, 3, 4, (2, 4), (0, 3), (3, 7), (1.0, 4.0), gap=0.3)
_VARIED = replace(_CLIPS, gap=0.0, by_mask=0.1, by_point=0.15, aside=0.5)
YOUNG = Cycle(
    (Stage("pairs", 400, 4, 2, (2, 5), (0, 1), (2, 6), (1.0, 3.0)), _CLIPS),
    side=FIRST_SIZE,
    memories=5,
    peak=6e-4,
    warm_up=40,
    settle=1160,
    decay=0.996,
)
_RECALL = replace(
    _VARIED, name="recall", steps=500, clips=4, frames=3, animals=(3, 6), occluders=(0, 2), followed=4, recall=0.8
)
_LIVES = replace(_VARIED, name="lives", steps=200, animals=(2, 5), side=IMAGE_SIZE, parts=(3, 30), watched=12)
RECALL = Cycle((_RECALL,), side=FIRST_SIZE, memories=MEMORIES, peak=6e-4, warm_up=40, settle=0, decay=0.996)
LIVES = Cycle((_LIVES,), side=IMAGE_SIZE, memories=MEMORIES, peak=5e-4, warm_up=30, settle=0, decay=0.996)
BOTH = Cycle(
    (
        replace(_RECALL, name="recall sharp", steps=280, clips=3, side=IMAGE_SIZE),
        replace(_LIVES, name="short lives", steps=140, parts=(2, 8)),
    ),
    side=IMAGE_SIZE,
    memories=MEMORIES,
    peak=5e-4,
    warm_up=20,
    settle=380,
    decay=0.99,
    from_file=True,
    woven=True,
)
CYCLES = (YOUNG, RECALL, LIVES, BOTH)
_LAST_RATE = 2e-5


@dataclass
class State:
    """What a checkpoint holds: the model that learns, its running average, the optimiser, steps done."""

    model: Sam2VideoModel
    average: Sam2VideoModel
    optimiser: torch.optim.AdamW
    step: int


@dataclass(frozen=True)
class Carried:
    """What the lessons of one life leave to its next: by frame number, memories and the cells that animals cover."""

    memories: Mapping[int, Memory]
    covered: Mapping[int, torch.Tensor]


class _Lessons(Dataset):
    """Lessons by step, so that a worker process can render ahead."""

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


def train(out: Path, checkpoint: Path, *, seed: int, cycles: tuple[Cycle, ...] = CYCLES, threads: int = 1) -> None:
    """Run (or resume from `checkpoint`) all cycles, then write the averaged tracker to `out`."""
    torch.set_num_threads(threads)
    state = _state(seed, checkpoint, cycles[0])
    if state.step == 0:
        _exercise(state.model, seed)
        state.average.load_state_dict(state.model.state_dict())
    begin = 0
    for cycle in cycles:
        end = begin + len(cycle.plan)
        if begin <= state.step < end:
            if 0 < begin == state.step:
                average = state.average.half().float() if cycle.from_file else state.average
                state = _ready(grown(average, cycle.side, cycle.memories), begin)
            _teach(state, cycle, begin, out=out, checkpoint=checkpoint, seed=seed)
        begin = end


def _teach(state: State, cycle: Cycle, begin: int, *, out: Path, checkpoint: Path, seed: int) -> None:
    """Take the cycle's steps that are left; its first one has the number `begin`."""
    plan = cycle.plan
    remaining = plan[state.step - begin :]
    lessons = DataLoader(_Lessons(seed, remaining), batch_size=None, num_workers=1, prefetch_factor=4)
    encoding = state.model.vision_encoder.neck.position_encoding
    state.model.vision_encoder.neck.position_encoding = _FixedPositions(encoding)
    started = time.monotonic()
    recent: list[dict[str, float]] = []
    lives: dict[int, Carried] = {}
    for (stage, _), lesson in zip(remaining, lessons, strict=True):
        at = state.step - begin
        for group in state.optimiser.param_groups:
            group["lr"] = _rate(at, cycle)
        recent.append(_learn(state, lesson, lives, min(cycle.decay, (1 + at) / (10 + at))))
        state.step += 1
        is_last = state.step == begin + len(plan)
        if state.step % 20 == 0 or is_last:
            figures = " ".join(f"{name} {_mean_known(r[name] for r in recent):.3f}" for name in recent[0])
            since = time.monotonic() - started
            logger.info("%s %d/%d %.0f s %s", stage.name, at + 1, len(plan), since, figures)
            recent = []
        if state.step % 50 == 0 or is_last:
            _keep(state, checkpoint)
            save_tracker(state.average, out)


def _exercise(model: Sam2VideoModel, seed: int) -> None:
    painted = paint(model, seed=seed, steps=PAINTING_STEPS)
    logger.info("painting what a box holds: IoU %.3f after %d steps", np.mean(painted[-30:]), len(painted))
    followed = follow(model, seed=seed, steps=FOLLOWING_STEPS)
    logger.info("following it by memory: IoU %.3f after %d steps", np.mean(followed[-30:]), len(followed))


def _ready(model: Sam2VideoModel, step: int) -> State:
    """`model`, its average equal to it, and a fresh optimiser."""
    average = grown(model, input_side(model), model.config.num_maskmem).requires_grad_(False)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}])
    return State(model.train(), average.eval(), optimiser, step)


def _state(seed: int, checkpoint: Path, first: Cycle) -> State:
    if not checkpoint.exists():
        return _ready(new_tracker(seed, first.side, first.memories), 0)
    saved = torch.load(checkpoint, weights_only=True)
    state = _ready(new_tracker(seed, saved["side"], saved["memories"]), saved["step"])
    state.model.load_state_dict(saved["model"])
    state.average.load_state_dict(saved["average"])
    state.optimiser.load_state_dict(saved["optimiser"])
    return state


def _keep(state: State, checkpoint: Path) -> None:
    with atomic_path(checkpoint) as path:
        torch.save(
            {
                "model": state.model.state_dict(),
                "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
                "side": input_side(state.model),
                "memories": state.model.config.num_maskmem,
            },
            path,
        )


def _rate(step: int, cycle: Cycle) -> float:
    if step < cycle.warm_up:
        return cycle.peak * (step + 1) / cycle.warm_up
    done = max(0, step - (len(cycle.plan) - cycle.settle)) / max(1, cycle.settle)
    return _LAST_RATE + (cycle.peak - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def _learn(state: State, lesson: Lesson, lives: dict[int, Carried], decay: float) -> dict[str, float]:
    """One optimiser step; returns the loss and what it is made of. `lives` is kept up to date."""
    model = state.model
    carried = Carried({}, {})
    if lesson.life is not None and lesson.part:
        carried = lives.pop(lesson.life, carried)
    levels = lesson_features(model, lesson)
    with readings(model) as found:
        steps, memories = forward(model, lesson, levels, carried.memories)
    loss, figures = tracking_loss(steps, lesson)
    covered = {**carried.covered, **covered_cells(model, lesson)}
    recognition = recognition_loss(model, found, lesson, covered)
    loss = loss + _RECOGNITION * recognition
    figures["recognition"] = float(recognition.detach())
    figures["aside"] = math.nan
    if lesson.aside is not None:
        aside = aside_loss(_look_aside(model, lesson, levels), lesson.aside)
        loss = loss + _ASIDE * aside
        figures["aside"] = float(aside.detach())
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if torch.isfinite(norm):
        state.optimiser.step()
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    if lesson.life is not None:
        recent = [index for index in memories if index > max(lesson.indices[-1] - _KEPT, lesson.indices[0])]
        lives[lesson.life] = Carried({k: memories[k].detached() for k in recent}, {k: covered[k] for k in recent})
    return figures | {"norm": float(norm)}


def lesson_features(model: Sam2VideoModel, lesson: Lesson) -> list[torch.Tensor]:
    """The image features of a lesson's frames: per level (B, T, C, s, s)."""
    clips, frames = lesson.pixels.shape[:2]
    levels = encode(model, normalise(lesson.pixels.reshape(clips * frames, *lesson.pixels.shape[2:])))
    return [level.reshape(clips, frames, *level.shape[1:]) for level in levels]


def forward(
    model: Sam2VideoModel,
    lesson: Lesson,
    levels: list[torch.Tensor],
    carried: Mapping[int, Memory] | None = None,
) -> tuple[list[Step], dict[int, Memory]]:
    """The tracker over a lesson: T steps for its N animals, and all their memories."""
    owner = torch.from_numpy(lesson.owner)
    features = [[level[owner, t] for level in levels] for t in range(len(lesson.indices))]
    masks = None
    if lesson.by_mask:
        target = torch.from_numpy(lesson.targets[:, :1]).float() / 255
        size = lesson.pixels.shape[2:4]
        masks = (F.interpolate(target, size=size, mode="bilinear", align_corners=False) > 0.5).float()
    asked = Asked(torch.from_numpy(lesson.points), torch.from_numpy(lesson.labels), masks)
    return unroll(model, features, asked, lesson.indices, carried=carried)


def _look_aside(model: Sam2VideoModel, lesson: Lesson, levels: list[torch.Tensor]) -> Step:
    if lesson.aside is None:
        raise ValueError("this lesson has no points aside")
    owner = torch.from_numpy(lesson.aside.owner)
    first = [level[owner, 0] for level in levels]
    conditioned = first[-1] + model.no_memory_embedding.reshape(1, -1, 1, 1)
    asked = Asked(torch.from_numpy(lesson.aside.points), torch.ones(1, dtype=torch.int32))
    return decode(model, first, conditioned, asked)[0]


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


def shortened(cycle: Cycle, share: float) -> Cycle:
    """The cycle with a share of its steps."""
    stages = tuple(replace(stage, steps=max(1, round(share * stage.steps))) for stage in cycle.stages)
    return replace(cycle, stages=stages, settle=round(share * cycle.settle), warm_up=round(share * cycle.warm_up))


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = _arguments()
    cycles = CYCLES if arguments.share == 1.0 else tuple(shortened(cycle, arguments.share) for cycle in CYCLES)
    checkpoint = arguments.checkpoint or Path("results") / f"{arguments.out.name}.checkpoint.pt"
    train(arguments.out, checkpoint, seed=arguments.seed, cycles=cycles, threads=arguments.threads)


if __name__ == "__main__":
    main()
