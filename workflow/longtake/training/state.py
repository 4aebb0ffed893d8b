"""The state of a fit between two optimiser steps, on disk: what is needed to go on to the same bytes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from longtake.errors import SchemaError
from longtake.store.arrays import read_arrays, write_arrays

log = logging.getLogger(__name__)
VERSION = "1"


@dataclass
class Position:
    """Where a fit stands: so many steps of epoch `epoch` are done.

    `loss_sum`, `weight_sum`: of the epoch so far. `history`: a row per finished epoch. `best_epoch`: -1 before the
    first. `planned` is the micro-batch that the fit began with, `micro_batch` the one it has now.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    best_epoch: int = -1
    best_loss: float = float("inf")
    history: list[dict[str, Any]] = field(default_factory=list)
    planned: int = 0
    micro_batch: int = 0


def save_state(
    path: str | Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: dict[str, Tensor],
    position: Position,
    *,
    recipe: str,
) -> None:
    """Write everything to `path`, whole or not at all. `recipe` is the digest of what decides the numbers."""
    arrays: dict[str, np.ndarray] = {f"network.{name}": _array(value) for name, value in network.state_dict().items()}
    arrays |= {f"best.{name}": _array(value) for name, value in best.items()}
    for name, parameter in network.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            arrays[f"optimiser.{key}.{name}"] = _array(value)
    # Infinity has no place in JSON, and before the first epoch no loss is best.
    told = vars(position) | {"best_loss": position.best_loss if position.best_epoch >= 0 else None}
    write_arrays(path, arrays, {"version": VERSION, "recipe": recipe, "position": json.dumps(told)})


def load_state(
    path: str | Path, network: nn.Module, optimiser: torch.optim.Optimizer, *, recipe: str
) -> tuple[Position, dict[str, Tensor]] | None:
    """Fill network and optimiser from `path`; return the position and the best weights; None where there is none.

    A state of another recipe, or one that is damaged, is set aside under another name and never deleted.
    """
    file = Path(path)
    if not file.exists():
        return None
    try:
        arrays, about = read_arrays(file)
        fits = about.get("version") == VERSION and about.get("recipe") == recipe
    except (SchemaError, ValueError, OSError) as error:
        log.warning("%s: %s", file, error)
        arrays, about, fits = {}, {}, False
    if not fits:
        aside = _aside(file)
        file.rename(aside)
        log.warning("%s is no state of this recipe: it is kept as %s, and the fit begins anew", file, aside.name)
        return None
    device = next(network.parameters()).device
    network.load_state_dict(_part(arrays, "network."))
    for name, parameter in network.named_parameters():
        found = {
            key: value for key, value in arrays.items() if key.endswith(f".{name}") and key.startswith("optimiser.")
        }
        state = {}
        for key, value in found.items():
            kind = key.removeprefix("optimiser.").removesuffix(f".{name}")
            if "." not in kind:
                state[kind] = torch.from_numpy(value).to("cpu" if kind == "step" else device)
        if state:
            optimiser.state[parameter] = state
    told = json.loads(about["position"])
    told["best_loss"] = float("inf") if told["best_loss"] is None else told["best_loss"]
    return Position(**told), _part(arrays, "best.")


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(value) for name, value in arrays.items() if name.startswith(prefix)
    }


def _array(value: Any) -> np.ndarray:
    found: np.ndarray = torch.as_tensor(value).detach().cpu().contiguous().numpy()
    return found


def _aside(file: Path) -> Path:
    number = 1
    while (other := file.with_name(f"{file.stem}.other-{number}{file.suffix}")).exists():
        number += 1
    return other
