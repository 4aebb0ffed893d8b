"""Calls that seem independent of each other and are not, and what can be in the way of cutting one."""

import logging

import pytest
import torch
from torch import nn

from longtake.bounded import gradient
from longtake.bounded.checkpoint import Block, checkpointed
from longtake.bounded.guard import frozen
from longtake.bounded.independence import independent, possible_cuts, reach, seems_independent
from longtake.bounded.pieces import Cut, Dependent, sketch
from longtake.bounded.planning import proved_cuts, usage
from longtake.bounded.run import Way
from longtake.errors import ExactnessError

WIDTH, TOKENS = 16, 131


class Wide(nn.Module):
    """A perceptron on each token, and what `mix` makes of its output beside it."""

    def __init__(self, mix=None, gate=1.0):
        super().__init__()
        self.into, self.out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.mix = mix
        self.gate = nn.Parameter(torch.tensor(gate))

    def forward(self, x):
        y = x + self.out(torch.tanh(self.into(x)))
        return y if self.mix is None else y + self.gate * self.mix(y.tanh())


class Dilated(nn.Module):
    def __init__(self, dilation):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


def look_back(x):
    return nn.functional.pad(x, (0, 0, 32, 0))[:, : x.shape[1]]


def less_mean(x):
    return -x.mean(1, keepdim=True)


def half_way_round(x):
    return x.roll(TOKENS // 2, 1)


def score(out):
    return (out[0, 60] * torch.linspace(-1, 1, WIDTH)).sum() + out.square().mean()


NETS = {
    "a convolution dilated by 12": lambda: [Wide(Dilated(12)) for _ in range(4)],
    "a look-back of 32": lambda: [Wide(look_back) for _ in range(4)],
    "a roll by half": lambda: [Wide(half_way_round) for _ in range(4)],
    "gates of which the first is closed": lambda: [Wide(less_mean, gate) for gate in (0.0, 1.0, 0.0, 0.5)],
    "other functions in modules of one make": lambda: [Wide(it) for it in (torch.neg, less_mean, torch.neg, look_back)],
    "independent ones": lambda: [Wide() for _ in range(4)],
}


@pytest.mark.parametrize("name", NETS)
def test_what_meets_far_away_or_behind_a_gate_is_seen(name):
    torch.manual_seed(0)
    model = nn.Sequential(*NETS[name]()).double().eval()
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    plain = gradient(model, x, score)
    cuts = proved_cuts(model, usage(model, x))
    blocks = [Block(number, 4, cuts(number, 4)) for number in "0123"]
    right = {"independent ones": 4, "other functions in modules of one make": 2}
    seen = 0
    for block in (block for block in blocks if block.cut):
        try:
            found = gradient(model, x, score, way=Way(blocks=(block,)))
        except Dependent:
            continue
        seen += 1
        assert torch.allclose(found.gradient, plain.gradient, rtol=0, atol=1e-13)
    assert seen == right.get(name, 0)


def test_a_cut_that_is_refused_at_the_real_size_is_planned_anew_without_it(caplog, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(Wide(), Wide(look_back), Wide()).double().eval()
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    plain = gradient(model, x, score)
    with caplog.at_level(logging.WARNING):
        found = gradient(model, x, score, budget=int(0.65 * plain.measured_bytes), folder=tmp_path)
    assert "1 (Wide), cut along dimension 1, gives other numbers" in caplog.text
    assert {block.name for block in found.way.blocks if block.cut} <= {"0", "2"}
    assert torch.allclose(found.gradient, plain.gradient, rtol=0, atol=1e-13)
    way = Way(blocks=(Block("1", 4, Cut(1, TOKENS, (True,))),))
    with pytest.raises(Dependent) as refused:
        gradient(model, x, score, way=way)
    assert refused.value.block == "1"


def test_reach_is_read_from_kernels():
    assert reach(nn.Linear(3, 3)) == 0
    assert reach(nn.Sequential(nn.Conv1d(1, 1, 3, dilation=12), nn.MaxPool2d((2, 5)))) == 24 + 4
    arguments = ((torch.empty(1, TOKENS, WIDTH, device="meta", requires_grad=True),), {})
    cut = next(cut for cut in possible_cuts(arguments) if cut.dimension == 1)
    for dilation in (12, 40):
        assert not independent(Dilated(dilation), arguments, cut, 2)


def test_a_proof_is_not_of_a_closed_gate():
    model = nn.Sequential(Wide(less_mean, 0.0), Wide(less_mean, 0.0)).double().eval()
    usages = usage(model, torch.zeros(2, TOKENS, WIDTH, dtype=torch.float64))
    cuts = proved_cuts(model, usages)
    assert cuts("0", 2).dimension == 0
    assert cuts("0", 3) is None


def test_running_out_of_memory_is_no_proof():
    class Full(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory")

    arguments = ((torch.empty(4, 5, device="meta", requires_grad=True),), {})
    with pytest.raises(torch.OutOfMemoryError):
        seems_independent(Full(), arguments, possible_cuts(arguments)[0])


def test_a_backward_pass_of_ones_own_is_not_cut():
    class Balanced(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad.sign()

    class Wraps(nn.Module):
        def forward(self, x):
            return Balanced.apply(x)

    arguments = ((torch.empty(4, 5, device="meta", requires_grad=True),), {})
    assert independent(nn.Tanh(), arguments, possible_cuts(arguments)[0], 1)
    assert not independent(Wraps(), arguments, possible_cuts(arguments)[0], 1)


class Aside(nn.Module):
    """Keeps its input, or a tensor that its sibling handed on, besides what it returns."""

    def __init__(self, gives):
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.gives = gives

    def forward(self, x):
        y = self.mix(x).sin()
        if self.gives:
            SHELF.append(y)
        return y if self.gives else y + SHELF[-1]


SHELF = []
"""Out of any module's sight."""


@pytest.mark.parametrize("block", ["0", "1"])
def test_tensors_that_pass_a_cut_submodule_by_are_refused(block):
    """A gradient would be missing: that of what was handed on in secret."""
    model = nn.Sequential(Aside(True), Aside(False)).double().eval()
    x = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (truth,) = torch.autograd.grad(score(model(leaf)), leaf)
    whole = gradient(model, x, score, way=Way(blocks=(Block(block),)))
    assert torch.equal(whole.gradient, truth)
    with pytest.raises(ExactnessError):
        gradient(model, x, score, way=Way(blocks=(Block(block, 3, Cut(1, TOKENS, (True,))),)))


def test_a_view_of_an_argument_is_not_cut():
    """In place, what follows would have to change both."""
    turned = nn.Flatten(2)
    arguments = ((torch.empty(6, 4, 3, 2, device="meta", requires_grad=True),), {})
    assert not independent(turned, arguments, possible_cuts(arguments)[0], 1)
    model = nn.Sequential(turned).eval()
    with pytest.raises(Dependent, match="a view of what it was given"):
        gradient(model, torch.rand(6, 4, 3, 2), torch.sum, way=Way(blocks=(Block("0", 2, Cut(0, 6, (True,))),)))


def test_a_call_of_another_size_is_done_whole():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH)).double().eval()
    x = torch.randn(5, WIDTH, dtype=torch.float64, requires_grad=True)
    (truth,) = torch.autograd.grad(model(x).sum(), x)
    with frozen(model), checkpointed(model, [Block("0", 3, Cut(0, 6, (True,)))]):
        assert torch.equal(torch.autograd.grad(model(x).sum(), x)[0], truth)


def test_sketches_tell_elements_apart():
    output = torch.randn(5, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = sketch(output, 1)
    assert whole.sums.shape == (9, 2)
    assert whole.agrees(sketch(output[:, 3:6], 1), 3, 6)
    assert not whole.agrees(sketch(output[:, 2:5], 1), 3, 6)
    for changed in (output.flip(0), output.flip(2), output + 1e-12 * output[:, :, :1]):
        assert not whole.agrees(sketch(changed, 1), 0, 9)
    assert whole.agrees(sketch(output * (1 + 1e-16), 1), 0, 9)
    for other in (output > 0, output.to(torch.complex64), output[..., 0], output[0, :, 0], output / 0):
        place = other.dim() // 2 if other.dim() > 1 else 0
        assert sketch(other, place).agrees(sketch(other, place), 0, other.shape[place])
