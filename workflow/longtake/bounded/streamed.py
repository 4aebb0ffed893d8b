"""Sums over a whole volume, of which only a slab is in memory: normalisation per instance or group, and means.

Such an operation is a *statistic* and something that is done row by row with it. The statistic is summed over the slabs
that own the rows. Backward, the gradient with respect to it is summed over the slabs of what comes after, and then
handed to the rows it was made of, in a pass of its own: for mean m and reciprocal deviation r of N numbers x,
dm/dx = 1 / N and dr/dx = -r^3 (x - m) / N.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from longtake.bounded.tape import Held, Op, Ref


@dataclass(frozen=True)
class Moments:
    """Running count, mean and sum of squared deviations, (groups,) float64."""

    count: int
    mean: Tensor
    squares: Tensor

    def merged(self, other: "Moments") -> "Moments":
        """Of both parts together (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        delta = other.mean - self.mean
        squares = self.squares + other.squares + delta.square() * (self.count * other.count / count)
        return Moments(count, self.mean + delta * (other.count / count), squares)


@dataclass(frozen=True)
class Statistic:
    """How an operation depends on all rows of one value.

    Attributes
    ----------
    source : number of the value whose rows are summed
    groups : of channels that have a statistic in common
    eps : added to the variance; None where the statistic is the mean alone
    shape : of the mean, where that is the operation's output
    weight, bias : of a normalisation, or None
    """

    source: int
    groups: int
    eps: float | None = None
    shape: tuple[int, ...] = ()
    weight: Any = None
    bias: Any = None

    def moments(self, rows: Tensor) -> Moments:
        """Of some rows (1, C, d, h, w)."""
        grouped = rows.reshape(self.groups, -1)
        total = grouped.double()
        mean = total.mean(1)
        squares = (total - mean[:, None]).square().sum(1) if self.eps is not None else mean
        return Moments(grouped.shape[1], mean, squares)

    def values(self, moments: Moments, like: Tensor) -> tuple[Tensor, ...]:
        """The statistic in the precision of the rows: mean, or mean and reciprocal deviation, each (groups,)."""
        mean = moments.mean.to(like.dtype)
        if self.eps is None:
            return (mean,)
        return mean, (moments.squares / moments.count + self.eps).rsqrt().to(like.dtype)

    def applied(self, rows: Tensor | None, values: tuple[Tensor, ...], held: dict[str, Tensor]) -> Tensor:
        """The operation's output: of the rows, or the mean in its shape."""
        if self.eps is None or rows is None:
            return values[0].reshape(self.shape)
        channels = rows.shape[1]
        wide = (1, channels, *[1] * (rows.dim() - 2))
        mean, scale = (value[:, None].expand(-1, channels // self.groups).reshape(-1) for value in values)
        weight, bias = (held[each.name] if isinstance(each, Held) else each for each in (self.weight, self.bias))
        scale = scale if weight is None else scale * weight
        out = (rows - mean.view(wide)) * scale.view(wide)
        return out if bias is None else out + bias.view(wide)

    def pulled(self, rows: Tensor, values: tuple[Tensor, ...], gradients: tuple[Tensor, ...], count: int) -> Tensor:
        """Gradient with respect to some rows, from that with respect to the statistic, (groups,) each."""
        grouped = rows.reshape(self.groups, -1)
        if self.eps is None:
            return (gradients[0].to(rows.dtype)[:, None] / count).expand_as(grouped).reshape(rows.shape)
        mean, scale = values
        slope = (gradients[1].to(rows.dtype) * scale**3 / count)[:, None]
        return (gradients[0].to(rows.dtype)[:, None] / count - slope * (grouped - mean[:, None])).reshape(rows.shape)


def statistic_of(op: Op, shapes: list[torch.Size]) -> Statistic | None:
    """The statistic of an operation that has one; None for any other."""
    for function, read in _READERS.items():
        if op.function is function:
            return read(op, shapes)
    return None


def _bound(op: Op, *names: str) -> dict[str, Any]:
    """The operation's arguments by name."""
    return dict(zip(names, op.args, strict=False)) | dict(op.kwargs)


def _group_norm(op: Op, _shapes: list[torch.Size]) -> Statistic | None:
    given = _bound(op, "input", "num_groups", "weight", "bias", "eps")
    return _norm(given, given["num_groups"])


def _instance_norm(op: Op, shapes: list[torch.Size]) -> Statistic | None:
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    given = _bound(op, *names)
    if not given.get("use_input_stats", True) or not isinstance(given["input"], Ref):
        return None
    return _norm(given, shapes[given["input"].number][1])


def _norm(given: dict[str, Any], groups: int) -> Statistic | None:
    if not isinstance(given["input"], Ref):
        return None
    return Statistic(
        given["input"].number,
        groups,
        float(given.get("eps", 1e-5)),
        weight=given.get("weight"),
        bias=given.get("bias"),
    )


def _pooled(op: Op, shapes: list[torch.Size]) -> Statistic | None:
    given = _bound(op, "input", "output_size")
    size = given["output_size"]
    sizes = [size] if isinstance(size, int) else list(size)
    if not isinstance(given["input"], Ref) or any(each != 1 for each in sizes):
        return None
    shape = shapes[given["input"].number]
    return Statistic(given["input"].number, shape[1], shape=(1, shape[1], 1, 1, 1))


def _mean(op: Op, shapes: list[torch.Size]) -> Statistic | None:
    given = _bound(op, "input", "dim", "keepdim")
    if not isinstance(given["input"], Ref) or given.get("dim") is None or "dtype" in given:
        return None
    shape = shapes[given["input"].number]
    dims = [given["dim"]] if isinstance(given["dim"], int) else list(given["dim"])
    if len(shape) != 5 or sorted(dim % 5 for dim in dims) != [2, 3, 4]:
        return None
    kept = (1, shape[1], 1, 1, 1) if given.get("keepdim") else (1, shape[1])
    return Statistic(given["input"].number, shape[1], shape=kept)


_READERS: dict[Callable[..., Any], Callable[[Op, list[torch.Size]], Statistic | None]] = {
    functional.group_norm: _group_norm,
    functional.instance_norm: _instance_norm,
    functional.adaptive_avg_pool3d: _pooled,
    torch.mean: _mean,
    Tensor.mean: _mean,
}


def detached(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The same numbers as the beginning of a graph."""
    return tree_map(lambda value: value.detach().requires_grad_(), values)
