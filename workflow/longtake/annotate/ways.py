"""The ways to run a window job that need less and less memory, and how far off the one is that is not exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.annotate.geometry import ModelPrompt, model_frame, model_prompt
from longtake.annotate.prompts import Placed, place_prompts
from longtake.annotate.session import BoundedSession, Prediction, track
from longtake.annotate.sheet import Prompt
from longtake.annotate.tracker import Tracker, load_tracker
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.supervise.ladder import AS_ASKED, Rung


def ladder(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the ways to run `longtake.annotate.window.annotate_window` with these arguments, the later the less memory.

    With few objects a frame's own features take most, and nothing exact takes less on the same device; with many, it is
    what is made of each: first fewer of them are looked at together, then each one's memory of the frame is made by
    itself, then these memories leave the GPU. bfloat16 takes about half of what float32 does, the weights apart.
    """
    rungs: list[Rung] = [AS_ASKED]
    given: dict[str, Any] = {}
    device, several = arguments["device"], len({prompt.object for prompt in arguments["prompts"]}) != 1
    if several and arguments.get("object_batch", 1) > 1:
        given = {"object_batch": 1}
        rungs.append(Rung("one object at a time", given))
    if several:
        given = given | {"memory_batch": 1}
        rungs.append(Rung("one object at a time, its memory too", given))
    lossy = [Rung("in bfloat16", given, (error_of_bfloat16,))]
    if device != "cpu":
        on_gpu, on_cpu = given | {"state_on_host": True}, given | {"device": "cpu"}
        rungs += [Rung("memories in the host's memory", on_gpu), Rung("on the CPU", on_cpu)]
        lossy = [
            Rung("in bfloat16", on_gpu, (error_of_bfloat16, error_of_bfloat16_on_the_cpu)),
            Rung("in bfloat16 on the CPU", on_cpu, (error_of_bfloat16,)),
        ]
    return rungs + (lossy if arguments.get("precision", "float32") == "float32" else [])


def error_of_bfloat16(
    *,
    video_path: str | Path,
    index_path: str | Path,
    window: Window,
    prompts: Sequence[Prompt],
    model_dir: str | Path,
    scale: float,
    frame_interval: int,
    device: str,
    **_: Any,
) -> str:
    """Say how far bfloat16 is from float32: the window's first prompt alone, on its frame and the next.

    Without a prompt in the window it is the video's first, and without any the middle of the window's first frame.
    Takes the arguments of `longtake.annotate.window.annotate_window`.

    Memory: the model, and what two frames of one object take.
    """
    index = load_index(index_path, video_path)
    tracker = load_tracker(model_dir, device)
    placed = [each for each in place_prompts(prompts, index, frame_interval) if not each.reason]
    grid = range(window.start // frame_interval, -(-window.stop // frame_interval))
    first = next(iter([each for each in placed if each.grid_frame in grid] or placed), None)
    begin = first.grid_frame if first is not None else -(-window.start // frame_interval)
    frames = [frame for frame in (begin, begin + 1) if frame * frame_interval < index.n_frames]
    size = (max(1, round(index.width * scale)), max(1, round(index.height * scale)))
    read = read_frames(index, [frame * frame_interval for frame in frames], size=size)
    pixels = {at: model_frame(frame.pixels, tracker.preprocessing) for at, frame in zip(frames, read, strict=True)}
    prompt = _asked(first, index, tracker)
    exact, rounded = (
        _answers(replace(tracker, precision=precision), pixels, prompt) for precision in ("float32", "bfloat16")
    )
    what = f"object {first.prompt.object!r}" if first is not None else "what is in the middle"
    return f"on {len(frames)} frames from {begin * frame_interval}, {what} alone, {_compared(exact, rounded)}"


def error_of_bfloat16_on_the_cpu(**arguments: Any) -> str:
    """Say the same where the GPU has no room for it."""
    return f"{error_of_bfloat16(**arguments | {'device': 'cpu'})} (measured on the CPU)"


def _asked(first: Placed | None, index: VideoIndex, tracker: Tracker) -> ModelPrompt:
    side = tracker.preprocessing.image_size
    if first is not None:
        return model_prompt(first, index.width, index.height, side)
    return ModelPrompt(torch.full((1, 2), side / 2), torch.ones(1, dtype=torch.int32))


def _answers(tracker: Tracker, pixels: Mapping[int, torch.Tensor], prompt: ModelPrompt) -> list[Prediction]:
    session = BoundedSession(tracker, max(pixels) + 1)
    asked = {"it": prompt}
    return [
        track(tracker, session, at, frame.to(tracker.device), asked if at == min(pixels) else {})["it"]
        for at, frame in pixels.items()
    ]


def _compared(exact: Sequence[Prediction], rounded: Sequence[Prediction]) -> str:
    """Compare as detections are drawn: an object out of view has no mask."""
    ious, off, largest = [], 0.0, 0.0
    for one, other in zip(exact, rounded, strict=True):
        masks = [(each.logits > 0) & (each.score_logit > 0) for each in (one, other)]
        union = np.count_nonzero(masks[0] | masks[1])
        ious.append(np.count_nonzero(masks[0] & masks[1]) / union if union else 1.0)
        off = max(off, float(np.abs(one.logits - other.logits).max()))
        largest = max(largest, float(np.abs(one.logits).max()))
    return (
        f"masks have an IoU of at least {min(ious):.4f} with float32's, logits up to {largest:.3g} differ by {off:.2g}"
    )
