"""What a job's process holds before its first clip: Python, the libraries, the model.

It is measured, as a job has it, in a child that a fresh process forks (`longtake.memory.calibrate`): pages of libraries
count only where that child looks at them, and which kind of model is loaded decides which libraries are.
"""

from __future__ import annotations

import psutil
import torch
from torch import nn
from torch.nn import functional

import longtake.gradients.window  # noqa: F401 (loaded, as a job has it)
from longtake.bounded.planning import rehearse
from longtake.bounded.run import Way
from longtake.memory.calibrate import measure
from longtake.models import load_model


def resident(model: str, threads: int = 1) -> dict[str, int]:
    """Return the bytes of a process that has loaded the model of this specification: `base` and `parameters`."""
    return dict(measure(_load, {"model": model}, threads=threads).result)


def parameter_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict(keep_vars=True).values())


def _load(model: str) -> dict[str, int]:
    """In the child: load the model, call each kind of operation once, and say what is resident."""
    adapter = load_model(model)
    _operate()
    parameters = parameter_bytes(adapter.module)
    return {"base": psutil.Process().memory_info().rss - parameters, "parameters": parameters}


def _operate() -> None:
    """A small network forward and backward, for the pages of the libraries' code that every model has them load."""
    frames = torch.rand(2, 3, 16, 16, requires_grad=True)
    seen = functional.group_norm(functional.conv2d(frames, torch.rand(8, 3, 3, 3), padding=1), 2)
    tokens = functional.layer_norm(functional.gelu(seen).flatten(2).transpose(1, 2), (8,))
    tokens = functional.linear(functional.scaled_dot_product_attention(tokens, tokens, tokens), torch.rand(4, 8))
    torch.autograd.grad(tokens.softmax(-1).square().mean(1)[0, 1], frames)
    functional.conv3d(torch.rand(1, 3, 4, 8, 8), torch.rand(2, 3, 2, 3, 3))
    # Rehearsing has libraries of its own.
    network = nn.Sequential(nn.Linear(3, 2)).eval().requires_grad_(False)
    rehearse(network, torch.rand(2, 3), torch.sum, Way())
