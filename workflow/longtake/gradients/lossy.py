"""Gradients in half precision, for jobs that fit into memory in no exact way, and how far off they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.gradients.attribution import ClipFrames, attribute_clip
from longtake.gradients.options import Options
from longtake.gradients.planner import Planner, granted
from longtake.media.index_file import load_index
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.models import ClipModel, load_model
from longtake.models.rounded import rounded
from longtake.supervise.ladder import Rung

_FEWEST = 2


def in_bfloat16(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the ways to run `longtake.gradients.window.analyse_window` that are not exact."""
    least = {"part": 0.125, "options": arguments["options"].model_copy(update={"chunk_size": 1})}
    rungs = [Rung("in bfloat16", least, (error_of_gradient, error_of_scores))]
    if arguments["device"] != "cpu":
        rungs.append(Rung("in bfloat16 on the CPU", least | {"device": "cpu"}, (error_of_gradient, error_of_scores)))
    return rungs


def error_of_gradient(**arguments: Any) -> str:
    """Say how far bfloat16 is from float32 in the gradient of the shortest clip that the model takes.

    It is of the whole frame, at the beginning of the window. Takes the arguments of
    `longtake.gradients.window.analyse_window`.

    Memory: what the exact gradient of that clip takes at least.
    """
    model, pixels, where = _short_clip(**arguments)
    budget = granted(arguments["options"].memory_gb, arguments["device"], part=0.125, chunk_size=1)
    nothing: list[np.ndarray | None] = [None] * len(pixels)
    exact = attribute_clip(model, pixels, nothing, target=None, planner=Planner(model, budget))
    half = rounded(model)
    other = attribute_clip(half, pixels, nothing, target=exact.target, planner=Planner(half, budget))
    off = float(np.linalg.norm(other.maps - exact.maps) / max(float(np.linalg.norm(exact.maps)), 1e-30))
    return f"{where} the gradient's maps differ from float32's by {off:.2%}, {_scores_off(exact.scores, other.scores)}"


def error_of_scores(**arguments: Any) -> str:
    """Say the same of the scores alone, where the exact gradient of no clip fits."""
    model, pixels, where = _short_clip(**arguments)
    frames = ClipFrames(pixels, next(model.module.parameters()).device)[:]
    with torch.inference_mode():
        exact, other = (each.scores(frames).double().cpu().numpy() for each in (model, rounded(model)))
    return f"{where} {_scores_off(exact, other)}; there was no memory to compare gradients"


def _scores_off(exact: np.ndarray, other: np.ndarray) -> str:
    return f"scores up to {np.abs(exact).max():.3g} by {np.abs(other - exact).max():.2g}"


def _short_clip(
    *,
    video_path: str | Path,
    index_path: str | Path,
    window: Window,
    options: Options,
    device: str,
    **_: Any,
) -> tuple[ClipModel, np.ndarray, str]:
    """The model, (n, h, w, 3) uint8 of the window's first frames at the model's size, and which these are in words."""
    model = load_model(options.model, device)
    index = load_index(index_path, video_path)
    length = model.n_frames or min(_FEWEST, options.max_frames)
    height, width = model.input_size(index.height, index.width)
    last = max(0, min(index.n_frames - 1, window.start + (length - 1) * options.clip_stride))
    shown = np.linspace(window.start, last, length).astype(int)
    read = {
        frame.frame: frame.pixels for frame in read_frames(index, sorted(set(shown.tolist())), size=(width, height))
    }
    pixels = np.stack([read[frame] for frame in shown.tolist()])
    return model, pixels, f"on {length} frames from {window.start}"
