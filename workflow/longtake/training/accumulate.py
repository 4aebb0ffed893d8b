"""The gradient of an effective batch, micro-batch by micro-batch: the same whatever fits into memory.

The loss is the sum of weighted losses over the sum of weights of the *effective* batch. The mean of the micro-batches'
means is another loss: class weights cancel within a micro-batch of one, and a last one of fewer clips counts for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from longtake.models.networks.layers import keyed


def accumulate(
    network: nn.Module,
    clips: Sequence[Tensor],
    labels: Tensor,
    weights: Tensor,
    seeds: Sequence[int],
    *,
    micro_batch: int,
    precision: str = "float32",
) -> float:
    """Add the gradient of the effective batch to the parameters' ``grad``; return its loss.

    Parameters
    ----------
    clips
        Of the batch, each (T, H, W, 3) uint8 on the CPU; at most `micro_batch` of them are on the device at a time.
    labels, weights
        (B,) int64, and the weight of each class (classes,), on the device.
    seeds
        One a clip, for its dropout.
    """
    total = weights[labels].sum()
    loss = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(clips), micro_batch):
        part = slice(start, start + micro_batch)
        with keyed(network, tuple(seeds[part])):
            answer = logits(network, clips[part], labels.device, precision)
            each = functional.cross_entropy(answer, labels[part], reduction="none")
            share = (weights[labels[part]] * each).sum() / total
            share.backward()
        loss += share.detach().cpu().double()
    return float(loss)


def logits(network: nn.Module, clips: Sequence[Tensor], device: torch.device, precision: str = "float32") -> Tensor:
    """Logits (B, classes) float32 of clips (T, H, W, 3) uint8, moved as bytes and made floats on the device."""
    batch = torch.stack(list(clips)).to(device, non_blocking=True)
    # Of the parameters' type: float64 in tests of exactness.
    dtype = next(network.parameters()).dtype
    frames = batch.permute(0, 1, 4, 2, 3).to(dtype) / 255
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        answer: Tensor = network(frames)
    return answer if answer.dtype == torch.float64 else answer.float()


@contextmanager
def recomputed(network: nn.Module, *, active: bool) -> Iterator[None]:
    """Let the blocks of `network` recompute their activations in the backward pass (Chen et al. 2016).

    Gradients stay the same to the bit: dropout is keyed by clip, and no norm counts a batch twice.
    """
    with ExitStack() as stack:
        for block in blocks_of(network) if active else ():
            stack.enter_context(_patched(block))
        yield


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks that are worth recomputing: the entries of the longest lists of modules, none inside another."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    inner = [each for each in lists if not any(_holds_list(block) for block in each)]
    return [block for each in inner for block in each if any(True for _ in block.parameters())]


def _holds_list(block: nn.Module) -> bool:
    return any(isinstance(module, nn.ModuleList) and len(module) > 1 for module in block.modules())


@contextmanager
def _patched(block: nn.Module) -> Iterator[None]:
    plain = block.forward

    def forward(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*given, **named)
        return checkpoint(plain, *given, use_reentrant=False, preserve_rng_state=False, **named)

    block.forward = forward
    try:
        yield
    finally:
        del block.forward
