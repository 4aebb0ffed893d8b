"""Nets drawn at random, differentiated in every way that is offered, against plain autograd in float64.

    PYTHONPATH=workflow python benchmarks/random_nets.py [--nets N] [--seconds S] [--first SEED]

A net is a few layers of those below: residuals, gates that are closed, attention, dilation, rolls, norms, shared
weights, in-place operations, views, spectra, dictionaries, hooks, backward passes of one's own. Each is differentiated
with budgets, as `longtake.bounded.gradient` plans it; in ways drawn at random, of which some cut calls where nothing
was proved; and, as encoder and head, in chunks of frames. The gradient must be plain autograd's or there must be
none, and a reason. Prints how many were tried, how many refused, and ends with an error where one was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from longtake.bounded import gradient, planning, spill
from longtake.bounded.checkpoint import Block
from longtake.bounded.guard import frozen
from longtake.bounded.independence import possible_cuts
from longtake.bounded.run import Way
from longtake.errors import LongtakeError

RESULT = Path(__file__).parent / "results" / "random_nets.json"
FREE = 1e-9
"""Of the largest number of a gradient: by so much it may differ."""


class Do(nn.Module):
    """A function of tokens (B, T, C), and the parts it uses."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, x: Any, *rest: Any, **named: Any) -> Any:
        return self.function(self, x, *rest, **named)


class Reversed(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -0.5 * grad


class Through(torch.autograd.Function):
    """Rounded forward, straight through backward; keeps a tensor without telling autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x.detach()
        return (4 * x).round() / 4

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * (ctx.kept.abs() < 1.5)


class Levelled(torch.autograd.Function):
    """A gradient that is made to have length one: forward each element stands alone, backward none does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / (grad.norm() + 1e-3)


class Twice(torch.autograd.Function):
    """Looks at what it saved more than once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * ctx.saved_tensors[0].cos() + 0 * ctx.saved_tensors[0]


def perceptron(width: int, inplace: bool = False) -> nn.Module:
    middle = nn.ReLU(inplace=True) if inplace else nn.Tanh()
    return nn.Sequential(nn.Linear(width, 8 * width), middle, nn.Linear(8 * width, width))


def across(module: nn.Module) -> nn.Module:
    """A module of channels first, on tokens (B, T, C)."""
    return Do(lambda own, x: own.module(x.transpose(1, 2)).transpose(1, 2), module=module)


def attention(width: int, draw: random.Random) -> nn.Module:
    heads = nn.MultiheadAttention(width, 2, batch_first=True)
    return Do(
        draw.choice([
            lambda own, x: x + own.heads(x, x, x, need_weights=False)[0],
            lambda own, x: x + own.heads(x, x.flip(1), x, need_weights=True)[0],
            lambda own, x: x + own.heads(query=x, key=x[:, :3], value=x[:, :3])[0],
        ]),
        heads=heads,
    )  # fmt: skip


def own_attention(width: int, draw: random.Random) -> nn.Module:
    along = draw.choice([0, 1])

    def attend(own: Any, x: Tensor) -> Tensor:
        query, key, value = own.project(x).transpose(0, 1 - along).chunk(3, -1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + mixed.transpose(0, 1 - along)

    return Do(attend, project=nn.Linear(width, 3 * width))


def gated(width: int, draw: random.Random) -> nn.Module:
    mix = draw.choice([
        lambda x: x.mean(1, keepdim=True),
        lambda x: x.cumsum(1) / 9,
        lambda x: x.roll(3, 0),
        lambda x: x.sort(1).values,
        torch.sin,
    ])  # fmt: skip
    gate = torch.tensor(draw.choice([0.0, 0.0, 1.0, 1e-3]), dtype=torch.float64)
    return Do(lambda own, x: x + own.inner(x) + own.gate * mix(x), inner=perceptron(width), gate=gate)


def look_back(width: int, draw: random.Random) -> nn.Module:
    steps = draw.choice([1, 5, 17, 32])
    return Do(
        lambda own, x: x + 0.5 * functional.pad(own.inner(x), (0, 0, steps, 0))[:, : x.shape[1]],
        inner=perceptron(width),
    )


def dilated(width: int, draw: random.Random) -> nn.Module:
    dilation = draw.choice([1, 4, 12])
    conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, groups=draw.choice([1, width]))
    return nn.Sequential(perceptron(width), across(conv))


def normed(width: int, draw: random.Random) -> nn.Module:
    norm = draw.choice([
        lambda: across(nn.GroupNorm(2, width)),
        lambda: across(nn.InstanceNorm1d(width, affine=True)),
        lambda: across(nn.BatchNorm1d(width)),
        lambda: across(nn.BatchNorm1d(width, track_running_stats=False)),
        lambda: nn.LayerNorm(width),
    ])()  # fmt: skip
    return nn.Sequential(nn.Linear(width, width), norm, nn.ReLU(inplace=True))


def shared(width: int, draw: random.Random) -> nn.Module:
    inner = perceptron(width, inplace=True)
    return draw.choice(
        [nn.Sequential(inner, nn.Tanh(), inner), Do(lambda own, x: own.a(x) + own.b(x.flip(1)), a=inner, b=inner)]
    )


def tied(width: int, draw: random.Random) -> nn.Module:
    first, second = nn.Linear(width, width), nn.Linear(width, width)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second)


def in_place(width: int, draw: random.Random) -> nn.Module:
    def change(own: Any, x: Tensor) -> Tensor:
        y = own.inner(x)
        y += x
        y[:, ::2] *= 0.5
        y[:, 1:2].clamp_(-1, 1)
        return y

    def argument(own: Any, x: Tensor) -> Tensor:
        y = own.inner(x)
        return own.into(y) + y

    def added(own: Any, x: Tensor) -> Tensor:
        x = x * 1
        x += own.inner(x)
        return x

    into = Do(lambda own, y: y.mul_(0.7))
    return draw.choice([
        Do(change, inner=perceptron(width)),
        Do(argument, inner=perceptron(width), into=into),
        Do(added, inner=nn.Linear(width, width)),
    ])  # fmt: skip


def views(width: int, draw: random.Random) -> nn.Module:
    part = Do(lambda own, x: x[:, :, : x.shape[-1] // 2])
    turn = Do(lambda own, x: x.transpose(0, 1))

    def halves(own: Any, x: Tensor) -> Tensor:
        y = own.inner(x)
        half = own.part(y)
        if own.changes:
            half.mul_(2)
        return torch.cat([half, y[:, :, y.shape[-1] // 2 :]], -1)

    def twice_turned(own: Any, x: Tensor) -> Tensor:
        return own.turn(own.inner(own.turn(x)))

    made = draw.choice([
        Do(halves, inner=perceptron(width), part=part),
        Do(twice_turned, inner=perceptron(width), turn=turn),
        nn.Sequential(nn.Identity(), nn.Unflatten(2, (2, -1)), nn.Tanh(), nn.Flatten(2)),
    ])  # fmt: skip
    made.changes = draw.choice([True, False])
    return made


class Turns(nn.Module):
    """Complex in, complex out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width, dtype=torch.complex128)

    def forward(self, z: Tensor) -> Tensor:
        return (self.mix(z) * z.conj()).conj()


def spectral(width: int, draw: random.Random) -> nn.Module:
    along = draw.choice([0, 1, 2])

    def cross(own: Any, x: Tensor) -> Tensor:
        f = torch.fft.fft(own.inner(x), dim=along)
        z = own.turns(f * torch.fft.fft(x, dim=along).conj())
        y = torch.fft.ifft(z, dim=along)
        return x + y.real + y.conj().imag * y.mH.real.transpose(-1, -2).tanh()

    def filtered(own: Any, x: Tensor) -> Tensor:
        z = torch.fft.rfft(x, dim=1)
        return torch.fft.irfft(z * own.filter[: z.shape[1]], n=x.shape[1], dim=1) + own.inner(x)

    turned = Do(cross, inner=nn.Linear(width, width), turns=Turns(width))
    weights = torch.randn(64, 1, dtype=torch.complex128)
    return draw.choice([turned, Do(filtered, inner=perceptron(width), filter=weights)])


def several(width: int, draw: random.Random) -> nn.Module:
    """More than one tensor in and out, by place and by name."""
    named = Do(
        lambda own, x, context=None, scale=1.0: {"out": own.inner(x) * scale, "aside": (context * 2, None)},
        inner=perceptron(width),
    )
    pair = Do(lambda own, x, y: (own.inner(x) + y, y.mean(), x.detach().argmax(-1)), inner=perceptron(width))
    writes = Do(lambda own, x, into: into.update(y=own.inner(x)) or x.sin(), inner=perceptron(width))

    def by_name(own: Any, x: Tensor) -> Tensor:
        made = own.named(x, context=x.mean(1, keepdim=True), scale=0.5)
        return made["out"] + made["aside"][0]

    def by_place(own: Any, x: Tensor) -> Tensor:
        y, mean, best = own.pair(x, x.tanh())
        return y + mean + best[..., None] / 100

    def written(own: Any, x: Tensor) -> Tensor:
        table: dict[str, Tensor] = {"y": x}
        return own.writes(x, table) + table["y"]

    return draw.choice([Do(by_name, named=named), Do(by_place, pair=pair), Do(written, writes=writes)])


def hooked(width: int, draw: random.Random) -> nn.Module:
    inner = perceptron(width)
    kind = draw.choice(["output", "input", "backward", "tensor"])
    if kind == "output":
        inner[1].register_forward_hook(lambda module, args, out: 2 * out)
    elif kind == "input":
        inner.register_forward_pre_hook(lambda module, args: (args[0].cos(),))
    elif kind == "backward":
        inner[2].register_full_backward_hook(lambda module, grads, outs: (0.5 * grads[0],))
    else:
        mixes = draw.choice([lambda grad: 0.5 * grad, lambda grad: grad - grad.mean(1, keepdim=True)])

        def hook(module: nn.Module, args: Any, out: Tensor) -> None:
            if out.requires_grad:
                out.register_hook(mixes)

        inner[0].register_forward_hook(hook)
    return nn.Sequential(inner)


def own_backward(width: int, draw: random.Random) -> nn.Module:
    kind = draw.choice([Reversed, Through, Levelled, Twice])
    return Do(lambda own, x: kind.apply(own.inner(x)), inner=perceptron(width))


def recurrent(width: int, draw: random.Random) -> nn.Module:
    return Do(lambda own, x: x + own.inner(x)[0], inner=draw.choice([nn.GRU, nn.LSTM])(width, width, batch_first=True))


def chosen(width: int, draw: random.Random) -> nn.Module:
    return draw.choice([
        Do(lambda own, x: torch.where(x > 0, own.inner(x), x), inner=perceptron(width)),
        Do(lambda own, x: x.gather(1, x.argsort(1)) + own.inner(x), inner=perceptron(width)),
        Do(lambda own, x: x + own.inner(x)[:, torch.arange(x.shape[1]).flip(0)], inner=perceptron(width)),
        Do(lambda own, x: own.inner(x) + x[:, -1:].detach(), inner=perceptron(width)),
        Do(lambda own, x: own.inner(x) + torch.arange(x.shape[1])[:, None] / 10, inner=perceptron(width)),
        Do(lambda own, x: own.inner(x) / x.shape[1], inner=perceptron(width)),
        nn.Sequential(perceptron(width), nn.Dropout(0.5), nn.Softmax(1)),
    ])  # fmt: skip


def library(width: int, draw: random.Random) -> nn.Module:
    return nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True, norm_first=draw.choice([True, False]))


def parametrised(width: int, draw: random.Random) -> nn.Module:
    return nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(width, width)), nn.GELU(), perceptron(width)
    )


def remembers(width: int, draw: random.Random) -> nn.Module:
    """Hands a tensor on in an attribute."""

    def keep(own: Any, x: Tensor) -> Tensor:
        own.kept = own.inner(x)
        return x + own.kept

    return Do(keep, inner=perceptron(width))


LAYERS = [
    lambda width, draw: Do(lambda own, x: x + own.inner(x), inner=perceptron(width, draw.choice([True, False]))),
    attention, own_attention, gated, look_back, dilated, normed, shared, tied, in_place, views, spectral, several,
    hooked, own_backward, recurrent, chosen, library, parametrised,
]  # fmt: skip


class Net(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Split:
    """As a model with encode and head."""

    def __init__(self, module: Net, cut: int) -> None:
        self.module, self.cut = module, cut

    def encode(self, x: Tensor) -> Tensor:
        for layer in self.module.layers[: self.cut]:
            x = layer(x)
        return x

    def head(self, features: Tensor) -> Tensor:
        for layer in self.module.layers[self.cut :]:
            features = layer(features)
        return features

    def scores(self, x: Tensor) -> Tensor:
        return self.head(self.encode(x))


def drawn(seed: int) -> tuple[Net, Tensor, Callable[[Tensor], Tensor], str | None]:
    """A net, tokens (B, T, C), a score, and with respect to what it is differentiated."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    width = draw.choice([4, 6])
    layers = [draw.choice(LAYERS)(width, draw) for _ in range(draw.randint(3, 7))]
    if draw.random() < 0.02:
        layers.insert(1, remembers(width, draw))
    net = Net(layers).double().eval()
    x = torch.randn(draw.choice([1, 3, 8]), draw.choice([7, 20, 45]), width, dtype=torch.float64)
    weights = torch.randn(x.shape[1], width, dtype=torch.float64)
    score = draw.choice([lambda out: (out * weights).sum(), lambda out: out.square().mean() + out[0, 3].sum()])
    wrt = draw.choice([None, None, draw.choice([f"layers.{number}" for number in range(len(layers))])])
    return net, x, score, wrt


def plain(net: nn.Module, x: Tensor, score: Callable[[Tensor], Tensor], wrt: str | None) -> Tensor | None:
    """The reference; None where it has none."""
    leaves: list[Tensor] = []

    def begin(_module: nn.Module, _args: Any, output: Any) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()

    net.requires_grad_(False)
    handle = net.get_submodule(wrt).register_forward_hook(begin) if wrt else None
    leaf = x.clone().requires_grad_(wrt is None)
    try:
        value = score(net(leaf))
        if not value.requires_grad or len(leaves) > 1:
            return None
        return torch.autograd.grad(value, leaves[0] if wrt else leaf, allow_unused=True)[0]
    finally:
        if handle is not None:
            handle.remove()


def random_way(net: nn.Module, usages: Any, cuts: Any, wrt: str | None, draw: random.Random) -> Way:
    names = [
        name
        for name, use in usages.items()
        if name and use.whole and use.calls and not (wrt and (wrt == name or wrt.startswith(f"{name}.")))
    ]
    draw.shuffle(names)
    blocks: list[Block] = []
    for name in names:
        if any(f"{name}.".startswith(f"{b.name}.") or f"{b.name}.".startswith(f"{name}.") for b in blocks):
            continue
        pieces, cut = draw.randint(2, 6), None
        if draw.random() < 0.5 and usages[name].alike:
            possible = possible_cuts(usages[name].arguments)
            unproved = possible and draw.random() < 0.5 and not mixes_backward(net, name)
            cut = draw.choice(possible) if unproved else cuts(name, pieces)
        if draw.random() < 0.7:
            blocks.append(Block(name, pieces if cut else 1, cut))
    return Way(blocks=tuple(blocks), spill=draw.random() < 0.5)


def mixes_backward(net: nn.Module, name: str) -> bool:
    """Whether gradients may be mixed in it where outputs are not, which only a proof can see."""
    parts = list(net.get_submodule(name).modules())
    hooks = any(part._forward_hooks or part._backward_hooks for part in parts)
    functions = [part.function for part in parts if isinstance(part, Do)]
    return hooks or any("kind" in function.__code__.co_freevars for function in functions)


def trials(seed: int, budgets: int = 1, ways: int = 4, chunks: int = 2) -> Iterator[tuple[str, str]]:
    """What was tried with a net, and what came of it: ``equal``, ``refused``, ``wrong`` or ``raw``, with details."""
    spill.SMALLEST = 0  # the tensors are small
    net, x, score, wrt = drawn(seed)
    draw = random.Random(-seed)
    truth = plain(net, x, score, wrt)

    def outcome(model: Any, at: str | None, truth: Tensor | None, **options: Any) -> tuple[str, Any]:
        try:
            found = gradient(model, x, score, wrt=at, **options)
        except LongtakeError as error:
            return "refused", f"{type(error).__name__}: {error}"
        except Exception:
            return "raw", traceback.format_exc()
        if truth is None:
            return "wrong", "a gradient where there is none"
        off = float((found.gradient - truth).abs().max() / truth.abs().max().clamp(min=1e-300))
        same = found.gradient.shape == truth.shape and (off <= FREE or bool(torch.equal(found.gradient, truth)))
        return ("equal", found) if same else ("wrong", f"{off} by {found.way}")

    what, found = outcome(net, wrt, truth)
    yield "plain", what if what in ("equal", "refused") else f"{what}: {found}"
    if what != "equal":
        return
    for _ in range(budgets):
        part = draw.uniform(0.4, 1.05)
        what, said = outcome(net, wrt, truth, budget=int(part * found.measured_bytes))
        yield "budget", what if what in ("equal", "refused") else f"{what}: {said}"
    with frozen(net):
        usages = planning.usage(net, x, wrt=wrt)
        cuts = planning.proved_cuts(net, usages)
        some = [random_way(net, usages, cuts, wrt, draw) for _ in range(ways)]
    for way in some:
        what, said = outcome(net, wrt, truth, way=way)
        yield "way", what if what in ("equal", "refused") else f"{what}: {said} {way}"
    if wrt is None and len(x) > 1:
        model = Split(net, draw.randint(1, len(net.layers) - 1))
        with frozen(net):
            alone = planning.splits(model, x)
        for _ in range(chunks if alone else 0):
            what, said = outcome(model, None, truth, way=Way(chunk_size=draw.randint(1, len(x) - 1)))
            yield "chunks", what if what in ("equal", "refused") else f"{what}: {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began, counts, wrong, nets = time.monotonic(), Counter(), [], 0
    for seed in range(given.first, given.first + given.nets):
        if time.monotonic() - began > given.seconds:
            break
        nets += 1
        for kind, what in trials(seed):
            counts[kind, what.partition(":")[0]] += 1
            if what not in ("equal", "refused"):
                wrong.append((seed, kind, what))
                print(f"net {seed}, {kind}: {what}", flush=True)
    found = {
        "what": "gradients of nets drawn at random against plain autograd, float64",
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "nets": nets,
        "tried": sum(counts.values()),
        "by kind": {f"{kind}, {what}": number for (kind, what), number in sorted(counts.items())},
        "wrong": len(wrong),
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{nets} nets, {found['tried']} gradients: {found['by kind']}; {len(wrong)} wrong")
    if wrong:
        raise SystemExit("a gradient was wrong, or an error without a word")


if __name__ == "__main__":
    main()
