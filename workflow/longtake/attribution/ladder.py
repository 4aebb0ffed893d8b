"""The ways to run a volume's job, the later the less memory; those that are not exact come last, where allowed.

Within less memory the gradient is planned anew (`longtake.attribution.exact`): slabs, halved as long as it helps, then
blocks that are computed twice, then tensors in files. All of these give the same numbers. Fewer draws of noise are no
way: they are summed one at a time, so fewer take no less memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from longtake.attribution.exact import Exact
from longtake.attribution.options import Options
from longtake.attribution.sheet import VolumeRow
from longtake.attribution.target import Target
from longtake.models.volumes import coarser, load_volume_model
from longtake.supervise.ladder import Rung, on_the_cpu
from longtake.volumes.axes import Axes
from longtake.volumes.reading import read_volume

PARTS = {"half the memory": 0.5, "a quarter of the memory": 0.25, "an eighth of the memory": 0.125}
SAMPLE = 48
"""Edge of the middle of a volume on which a way that is not exact is compared with the exact one, at most."""


def asked(options: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a job from the rule's params and, for what changes no number, resources `tile` and `gradient_mb`."""
    memory = {"tile": resources.get("tile") or 0, "memory_gb": (resources.get("gradient_mb") or 0) / 1024}
    return {**options, **memory}


def ladder(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the ways to run `longtake.attribution.volume.analyse_volume` with these arguments."""
    rungs = [Rung("as asked"), *(Rung(name, {"part": part, "rung": name}) for name, part in PARTS.items())]
    rungs += [Rung(rung.name, {**rung.changes, "rung": rung.name}) for rung in on_the_cpu(arguments)]
    least = PARTS["an eighth of the memory"]
    lossy = {"in bfloat16": ("bfloat16",), "at half the resolution, in bfloat16": ("half resolution", "bfloat16")}
    changes = {name: {"part": least, "rung": name, "lossy": kinds} for name, kinds in lossy.items()}
    return [*rungs, *(Rung(name, changes[name], (error_of_gradient,)) for name in lossy)]


def error_of_gradient(
    *, row: Mapping[str, Any], options: Mapping[str, Any], lossy: Sequence[str], device: str = "cpu", **_: Any
) -> str:
    """Say how far the gradient computed in the `lossy` ways is from the exact one, in the middle of the volume."""
    line, chosen = VolumeRow(**row), Options(**options)
    axes = Axes(line.axes or chosen.axes, chosen.model_axes)
    raw = read_volume(line.path, axes, variable=line.variable or chosen.variable, divide_by=chosen.divide_by)
    middle = [slice(max(0, (size - SAMPLE) // 2), (size + SAMPLE) // 2) for size in raw.shape[1:]]
    part = torch.from_numpy(np.ascontiguousarray(raw[:, *middle])).to(device)
    del raw
    model = load_volume_model(chosen.model, chosen.checkpoint, device)
    given = model.prepare(part)
    exact = Exact(model).gradient(given, Target(0), measure=False)
    other = Exact(coarser(model, lossy)).gradient(given, Target(0), measure=False)
    off = float((other.gradient - exact.gradient).norm() / exact.gradient.norm().clamp(min=1e-30))
    score = abs(other.value - exact.value)
    where = f"in the middle, {tuple(part.shape[1:])}"
    return f"{where}, its gradient differs from the exact one by {off:.2%}, a score by {score:.2g}"
