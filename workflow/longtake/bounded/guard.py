"""What must hold of a model before its gradient may be computed in parts, and how it is seen that it did not.

A bounded gradient calls parts of the model more than once. That gives the gradient of one forward pass only if a second
call computes what the first did. Three things can be in the way: training mode (dropout draws anew, batch
normalisation depends on who else is in the batch), memory of one's own (a part keeps something from call to
call), and random numbers or kernels that are not deterministic. The first is refused before anything runs
(`frozen`), the second when anything that a part keeps has changed (`refuse_memory`), and all of them when a recomputed
output differs from that of the first pass by a single bit (`fingerprint`).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from longtake.bounded.remembered import Memory, changed, memory_of
from longtake.errors import ExactnessError

COLUMNS = 16
"""Words of 8 bytes in a row of a fingerprint."""
SPREAD = 0x5851F42D4C957F2C
"""Even, and of no pattern: what the number of a place is multiplied by."""


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Switch off the parameters' gradients for a while; refuse a module that is not in eval mode.

    Attention's inference-only fast path is switched off too: without a graph it would be another function, in the
    last bits, than with one.

    Raises
    ------
    ExactnessError : a part of the module is in training mode.
    """
    for name, part in module.named_modules():
        if part.training:
            raise ExactnessError(
                f"{called(name, part)} is in training mode: dropout and batch statistics would make the "
                "two passes differ. Call model.eval() first."
            )
    parameters = list(module.parameters())
    before = [parameter.requires_grad for parameter in parameters]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
        for parameter, value in zip(parameters, before, strict=True):
            parameter.requires_grad_(value)


def called(name: str, part: nn.Module) -> str:
    """A module's name for a message: where it stands, and what it is."""
    return f"{name or 'the model itself'} ({type(part).__name__})"


def refuse_memory(module: nn.Module, before: Memory) -> None:
    """Compare with what `memory_of` said before the model was called.

    Raises
    ------
    ExactnessError : a part keeps something of the call; the message names it.
    """
    place = changed(before, memory_of(module, before.owner))
    if place is not None:
        name, key = place
        raise ExactnessError(
            f"{called(name, module.get_submodule(name))} changed its {key!r} while it was called: it remembers "
            "earlier calls, so its gradient would depend on what was asked before. If this is a table that it "
            "makes once, call the model once before; else reset it, or switch its memory off."
        )


def check_scalar(value: Tensor) -> None:
    """Refuse what cannot be differentiated.

    Raises
    ------
    ExactnessError : not one number, or one that does not depend on what we differentiate with respect to.
    """
    if value.numel() != 1 or not value.requires_grad:
        raise ExactnessError(
            f"the score must be one number that depends on the features, not a tensor of shape "
            f"{tuple(value.shape)} with requires_grad={value.requires_grad}"
        )


def has_values(tensor: Tensor) -> bool:
    """False for the fake tensors with which a run is simulated."""
    return not isinstance(tensor, FakeTensor)


def simulating() -> bool:
    """Whether fake tensors are being made: what has values then was there before, and belongs to others."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


def fingerprint(tensor: Tensor) -> Tensor:
    """Sums (COLUMNS + 1,) int64 of a tensor's bits, by which two passes are compared without keeping the first.

    The bytes are read as 64-bit words, laid out in rows of `COLUMNS`, and the rows in a square. Sums over the square's
    lines and over its columns are multiplied by an odd number of their place each and summed, all with wrap-around: a
    change of one element changes a sum, and so do rows that change places. The last sum is of the words and bytes that
    fill no row. Memory: square roots of the tensor's size, unless it is not contiguous.
    """
    # A conjugate is a bit of the view, which views as bytes cannot have.
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()
    raw = flat.view(-1).view(torch.uint8)
    row = 8 * COLUMNS
    whole = raw.numel() // row * row
    rows = raw[:whole].view(torch.int64).view(-1, COLUMNS)
    side = math.isqrt(len(rows))
    square = rows[: side * side].view(side, side, COLUMNS)
    sums = torch.cat([square.sum(0), square.sum(1), rows[side * side :]])
    places = torch.arange(len(sums), device=sums.device)[:, None] * SPREAD | 1
    return torch.cat([(sums * places).sum(0), raw[whole:].sum(dtype=torch.int64)[None]])
