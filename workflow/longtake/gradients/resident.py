"""What a job's process holds beside clips and their gradients: Python, the libraries, the model.

It is measured as a job has it, in a supervised child of a fresh process (`longtake.planning.calibrate`): there the
whole job is done once for a clip of a few pixels by a network of a few weights, since much of a library is only loaded
when it is first called; then the real model is loaded, and not called.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from longtake.gradients.cases import Resident
from longtake.gradients.options import Options
from longtake.gradients.window import analyse_window
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.memory.budget import MIB
from longtake.memory.meter import recent_peaks, restart_peaks
from longtake.models import ClipModel, SplitModel, load_model
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import save_classifier
from longtake.planning.calibrate import measure

_FRAMES, _SIDE = 6, 32


def resident(options: Options, threads: int = 1) -> Resident:
    """Measure a process that has loaded the model of these options.

    Raises
    ------
    ModelError : it cannot be loaded.
    OutOfMemory : this machine's memory does not suffice.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"job": _small_job(Path(folder)), "model": options.model, "n_frames": options.max_frames}
        found: Resident = measure(_work_and_load, arguments, threads=threads).result
    return found


def parameter_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict(keep_vars=True).values())


def _work_and_load(job: Mapping[str, Any], model: str, n_frames: int) -> Resident:
    analyse_window(**job)
    restart_peaks()
    loaded = load_model(model)
    parameters = parameter_bytes(loaded.module)
    loading, _, _ = recent_peaks()
    base = psutil.Process().memory_info().rss - parameters
    return Resident(base, parameters, round(loading * MIB), _timed(loaded, n_frames))


def _timed(model: ClipModel, n_frames: int) -> float:
    """Seconds for a frame of what comes before the head, or of a clip where a model cannot do with one frame."""
    height, width = model.input_size(_SIDE, _SIDE)
    split = isinstance(model, SplitModel)
    frames = torch.rand(1 if split else n_frames, 3, height, width)
    with torch.inference_mode():
        for _ in range(2 if split else 1):  # the first call makes what later ones use
            began = time.perf_counter()
            model.encode(frames) if isinstance(model, SplitModel) else model.scores(frames)
            spent = time.perf_counter() - began
    return spent / len(frames)


def _small_job(folder: Path) -> dict[str, Any]:
    """The arguments of a window job whose video and model are written to `folder`."""
    picture = np.arange(3 * _SIDE**2, dtype=np.uint32).reshape(_SIDE, _SIDE, 3)
    frames = ((number, (picture + 7 * number).astype(np.uint8)) for number in range(_FRAMES))
    write_video(folder / "video.mp4", frames, time_base=Fraction(1, 10), width=_SIDE, height=_SIDE)
    save_index(index_video(folder / "video.mp4"), folder / "index.parquet")
    network = ClassifierConfig(("a", "b"), n_frames=_FRAMES, size=_SIDE, channels=(8,) * 5, width=16, depth=1)
    save_classifier(ClipClassifier(network), folder / "model")
    return {
        "video_path": folder / "video.mp4",
        "index_path": folder / "index.parquet",
        "window": Window("small", 0, 0, _FRAMES, 0, _FRAMES, 0.0, _FRAMES / 10),
        "detections_path": folder,
        "species": None,
        "options": Options(model=str(folder / "model"), max_frames=_FRAMES, clips="even", chunk_size=2),
        "seed": 0,
        **{f"{name}_out": folder / name for name in ("curves", "clips", "maps", "perturbations")},
    }
