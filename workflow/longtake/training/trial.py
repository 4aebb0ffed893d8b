"""A few steps of a network on drawn clips: what they hold, how long they last, and the same with fake tensors."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from longtake.bounded.live import LiveBytes
from longtake.bounded.profile import simulation
from longtake.errors import ModelError
from longtake.models.networks.build import ClipNetwork, build, describe
from longtake.planning.caching import reserved
from longtake.training.accumulate import accumulate, recomputed
from longtake.training.loop import trainable

log = logging.getLogger(__name__)
# The optimiser makes its state in the first step; memory is flat after the second (measured).
_STEPS = 3


@dataclass(frozen=True)
class Steps:
    """Bytes by owner that a fit holds (``frames`` of one clip), and seconds for each clip."""

    held: dict[str, int]
    seconds: float


def steps(depends: Mapping[str, Any]) -> Steps:
    """Train for a few steps on drawn clips; the process' peak is read by whoever started it."""
    network = network_of(depends)
    parameters = trainable(network, freeze=depends["freeze"])
    optimiser = torch.optim.AdamW(parameters)
    micro_batch = int(depends["micro_batch"])
    shape = (depends["frames"], depends["size"], depends["size"], 3)
    clips = [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(micro_batch)]
    labels = torch.arange(micro_batch) % depends["classes"]
    # The best epoch's weights lie beside the network.
    best = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    spent = []
    with recomputed(network, active=depends["recompute"]):
        for _ in range(_STEPS):
            began = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            accumulate(
                network,
                clips,
                labels,
                torch.ones(depends["classes"]),
                list(range(micro_batch)),
                micro_batch=micro_batch,
                precision=depends["precision"],
            )
            optimiser.step()
            spent.append(time.perf_counter() - began)
    return Steps(held_by(network, parameters, best), min(spent) / micro_batch)


def held_by(network: nn.Module, parameters: list[nn.Parameter], best: Mapping[str, Any]) -> dict[str, int]:
    """Return bytes by owner; the best epoch's weights are a cache, for they could be read again."""
    trained = sum(value.numel() * value.element_size() for value in parameters)
    config = network.config if isinstance(network, ClipNetwork) else None
    clip = 3 * config.frames * config.size**2 if config else 0
    return {
        "parameters": sum(value.numel() * value.element_size() for value in network.state_dict().values()),
        "gradients": trained,
        "optimizer": 2 * trained,
        "cache": sum(value.numel() * value.element_size() for value in best.values()),
        # As bytes, and as floats on the device.
        "frames": clip + 4 * clip,
    }


def network_of(depends: Mapping[str, Any]) -> ClipNetwork:
    """Build the network that a forecast is of."""
    names = tuple(f"class {number}" for number in range(depends["classes"]))
    about = (depends["network"], names, depends["frames"], depends["size"], depends["weights"])
    return build(describe(*about, norm=depends["norm"]), 0)


def simulated(depends: Mapping[str, Any]) -> int | None:
    """Return what a GPU's allocator would take for the activations of one micro-batch; None where it cannot be told."""
    # In evaluation mode, for masks of dropout are drawn numbers; they are small.
    network = network_of(depends).eval()
    parameters = trainable(network, freeze=depends["freeze"])
    trained = sum(value.numel() * value.element_size() for value in parameters)
    micro_batch = int(depends["micro_batch"])
    clips = torch.empty(micro_batch, depends["frames"], 3, depends["size"], depends["size"])
    labels = torch.arange(micro_batch) % depends["classes"]
    try:
        with (
            simulation(network, clips) as (double, fake),
            recomputed(double, active=depends["recompute"]),
            LiveBytes(keep_events=True) as live,
        ):
            with torch.autocast("cpu", torch.bfloat16, enabled=depends["precision"] == "bfloat16"):
                answer = double(fake)
            functional.cross_entropy(answer.float(), labels).backward()
    except ModelError as error:
        log.warning("no forecast for a GPU of %s: %s", depends["network"], error)
        return None
    # The gradients are made by this step and stay, and have an owner of their own.
    return max(0, reserved(live.events or []) - trained)


def warm_up() -> None:
    """Train the smallest network for a step, so that what libraries load at their first call is there."""
    small = {"network": "small_cnn", "classes": 2, "frames": 4, "size": 16, "norm": "group", "precision": "float32"}
    steps({**small, "freeze": False, "weights": "", "micro_batch": 1, "recompute": False})
