"""What ``step_NNN_metadata.json`` says of a latent: prompt, seed, step, timestep, sigma, axes, pipeline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MOST_BYTES = 2**20


def read_metadata(folder: str | Path, file: str, step: int) -> tuple[dict[str, Any], list[str]]:
    """What is known of a latent beside its numbers, and notices of what could not be used.

    A file that is absent says nothing. One that is broken is a notice, and the video stays unmatched; where it
    contradicts the name of the latent's file, the name counts.
    """
    path = Path(folder) / f"{file.partition('.')[0]}_metadata.json"
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}, [f"{path.name} is larger than a MiB and was not read"]
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path.name} cannot be read ({type(error).__name__}); the video is not matched by it"]
    if not isinstance(held, Mapping):
        return {}, [f"{path.name} is no JSON object; the video is not matched by it"]
    return _plain(held, path.name, step)


def _plain(held: Mapping[str, Any], name: str, step: int) -> tuple[dict[str, Any], list[str]]:
    known: dict[str, Any] = {}
    notices: list[str] = []
    for key, value in held.items():
        if key in ("seed", "step"):
            whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
            if whole:
                known[key] = int(value)
            elif value is not None:
                notices.append(f"{name}: {key} is {str(value)[:40]!r}, which is no whole number")
        elif key in ("timestep", "sigma"):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                known[key] = float(value)
            elif value is not None:
                notices.append(f"{name}: {key} is {str(value)[:40]!r}, which is no number")
        elif key in ("prompt", "axes", "pipeline") and isinstance(value, str):
            known[key] = value
    if known.get("step", step) != step:
        notices.append(f"{name} says step {known['step']}, the file's name says {step}, which counts")
    if "seed" in known and not -(2**63) <= known["seed"] < 2**63:
        notices.append(f"{name}: seed {known.pop('seed')} does not fit into 64 bits")
    return known, notices
