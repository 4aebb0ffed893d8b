import itertools
import logging
import random
from collections import deque
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from longtake.bounded import gradient
from longtake.bounded.automatic import Way
from longtake.bounded.checkpoint import Block
from longtake.bounded.pieces import Cut
from longtake.errors import BudgetError, ExactnessError, ModelError


def truth_of(module, frames, score):
    leaf = frames.clone().requires_grad_()
    return torch.autograd.grad(score(module(leaf)), leaf)[0]


@pytest.fixture
def truth(clips, frames, second):
    return truth_of(clips, frames, second)


@pytest.mark.parametrize("pieces", [1, 2, 4, 8, 31])
def test_layers_in_pieces_of_frames_are_bitwise_equal(clips, frames, second, truth, pieces, same):
    cut = Cut(dimension=0, size=31, arguments=(True,))
    blocks = tuple(Block(f"layers.{number}", pieces, cut) for number in range(3))
    for spill in (False, True):
        found = gradient(clips, frames, second, way=Way(blocks=blocks, spill=spill))
        assert same(found.gradient, truth)
        assert same(found.outputs, clips(frames))


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 8, 31])
def test_encode_and_head_are_bitwise_equal(split_clips, frames, second, truth, chunk_size, same):
    found = gradient(split_clips, frames, second, way=Way(chunk_size=chunk_size))
    assert same(found.gradient, truth)
    assert found.value == pytest.approx(split_clips.scores(frames)[1].item(), rel=1e-12)


def test_the_cheapest_way_within_the_budget_is_taken(deep, few, second, same):
    plain = gradient(deep, few, second)
    assert plain.way.name == "plain"
    names, peaks = [], []
    for part in (1.1, 0.8, 0.27, 0.2):
        budget = int(part * plain.measured_bytes)
        found = gradient(deep, few, second, budget=budget)
        assert same(found.gradient, plain.gradient)
        assert found.measured_bytes <= budget * 1.1
        assert found.measured_bytes == pytest.approx(found.way.predicted_bytes, rel=0.1)
        names.append(found.way.name)
        peaks.append(found.measured_bytes)
    assert names == ["plain", "checkpoint", "checkpoint + cut", "checkpoint + cut + spill"]
    assert peaks == sorted(peaks, reverse=True)
    assert found.spilled_bytes > 0


def test_a_model_that_can_be_split_is_split(split_clips, few, second, same):
    plain = gradient(split_clips, few, second)
    found = gradient(split_clips, few, second, budget=plain.measured_bytes // 2)
    assert found.way.name == "split"
    assert found.measured_bytes <= plain.measured_bytes / 2
    assert same(found.gradient, plain.gradient)
    again = gradient(split_clips, few, second, budget=1, way=found.way)
    assert again.way == found.way  # told how, it does not plan


def test_an_encoder_that_looks_at_neighbours_is_not_split(split_clips, few, second, caplog):
    encode = split_clips.encode
    split_clips.encode = lambda chunk: encode(chunk) + encode(chunk).mean(0)
    plain = gradient(split_clips, few, second)
    with caplog.at_level(logging.WARNING):
        found = gradient(split_clips, few, second, budget=plain.measured_bytes // 2)
    assert "checkpoint" in found.way.name
    assert "influence each other" in caplog.text


def test_numbers_of_the_scores_own_can_be_simulated_with():
    """Weights of 16 KB and more would be written to a file."""
    model = nn.Sequential(*(each for _ in range(6) for each in (nn.Linear(64, 64), nn.Tanh()))).eval()
    x, weights = torch.randn(200, 64), torch.randn(200, 64)
    plain = gradient(model, x, lambda out: (out * weights).sum())
    found = gradient(model, x, lambda out: (out * weights).sum(), budget=int(0.9 * plain.measured_bytes))
    assert "spill" in found.way.name
    assert torch.equal(found.gradient, plain.gradient)


def test_what_cannot_be_had_is_said_with_the_least_that_can():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.Tanh()) for _ in range(8))).eval()
    with pytest.raises(BudgetError, match=r"smallest peak is \d+ bytes, by .*spill") as caught:
        gradient(model, torch.zeros(400, 16), torch.sum, budget=1000)
    least = int(str(caught.value).split("smallest peak is ")[1].split()[0])
    assert gradient(model, torch.zeros(400, 16), torch.sum, budget=least).way.predicted_bytes == least


def test_with_respect_to_a_submodules_output(clips, few, second, same):
    kept = []
    handle = clips.layers[0].register_forward_hook(lambda *call: kept.append(call[2]))
    value = second(clips(few.clone().requires_grad_()))
    (expected,) = torch.autograd.grad(value, kept[0])
    handle.remove()
    plain = gradient(clips, few, second, wrt="layers.0")
    assert same(plain.gradient, expected)
    assert same(plain.at, kept[0])
    # A graph that begins late is smaller, and bounding it leaves the result as it is.
    assert plain.measured_bytes < gradient(clips, few, second).measured_bytes
    found = gradient(clips, few, second, wrt="layers.0", budget=plain.measured_bytes // 2)
    assert "checkpoint" in found.way.name
    assert same(found.gradient, expected)


def test_complex_tensors_go_from_block_to_block():
    class Turns(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(32, 32, dtype=torch.complex128)

        def forward(self, z):
            return (self.mix(z) * z).conj()

    class Spectra(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Turns(), Turns()

        def forward(self, x):
            return self.second(self.first(torch.fft.fft(x)).mH).abs()

    model, x = Spectra().eval(), torch.randn(32, 32, dtype=torch.float64)
    expected = truth_of(model, x, torch.sum)
    for spill in (False, True):
        way = Way(blocks=(Block("first"), Block("second")), spill=spill)
        assert torch.equal(gradient(model, x, torch.sum, way=way).gradient, expected)


def test_attention_of_the_library_is_the_same_function_when_it_is_called_again(tmp_path):
    """``nn.MultiheadAttention`` takes another path if query, key and value are one tensor."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, dtype=torch.float64)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x = torch.randn(2, 50, 64, dtype=torch.float64)
    plain = gradient(model, x, torch.sum)
    found = gradient(model, x, torch.sum, budget=plain.measured_bytes // 2, folder=tmp_path)
    assert found.way.name == "checkpoint + spill"
    assert torch.equal(found.gradient, plain.gradient)


@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.Identity()])
def test_what_an_operation_in_place_changes_is_differentiated_before_it(activation):
    model = nn.Sequential(nn.Linear(6, 6), activation, nn.Linear(6, 6)).double().eval()
    x = torch.randn(9, 6, dtype=torch.float64)
    before = model[0](x).detach().requires_grad_()
    (expected,) = torch.autograd.grad(model[2](activation(before.clone())).square().sum(), before)
    found = gradient(model, x, lambda out: out.square().sum(), wrt="0")
    assert torch.equal(found.at, before)
    assert torch.equal(found.gradient, expected)


def test_a_way_that_cannot_be_simulated_is_left_out_and_the_others_are_not(caplog):
    class Twice(torch.autograd.Function):
        """Looks at what it saved more than once, which a checkpoint does not allow."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, grad):
            assert ctx.saved_tensors[0] is not None
            return grad * ctx.saved_tensors[0].cos()

    class Wraps(nn.Module):
        def forward(self, tokens):
            return Twice.apply(tokens)

    model = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), Wraps(), nn.Tanh()) for _ in range(6))).eval()
    x = torch.randn(400, 32)
    plain = gradient(model, x, torch.sum)
    with caplog.at_level(logging.INFO):
        found = gradient(model, x, torch.sum, budget=plain.measured_bytes // 2)
    assert "checkpoint is ruled out" in caplog.text
    assert found.way.name == "spill"
    assert torch.equal(found.gradient, plain.gradient)


def test_what_cannot_be_differentiated_at_is_refused(clips, frames, second):
    with pytest.raises(ModelError, match=r"no submodule 'layers\.7'"):
        gradient(clips, frames, second, wrt="layers.7")
    clips.spare = nn.Linear(2, 2).eval()
    with pytest.raises(ModelError, match="spare is not called"):
        gradient(clips, frames, second, wrt="spare")
    clips.layers[2] = clips.layers[1]
    with pytest.raises(ModelError, match=r"layers\.1 \(Layer\) is called more than once"):
        gradient(clips, frames, second, wrt="layers.1")


def test_a_score_that_looks_at_numbers_can_be_planned(clips, few, same):
    def predicted(scores):
        return scores[int(scores.argmax())]

    plain = gradient(clips, few, predicted)
    found = gradient(clips, few, predicted, budget=plain.measured_bytes // 2)
    assert same(found.gradient, plain.gradient)


def test_parameters_are_left_alone(clips, frames, second):
    clips.out.bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in clips.parameters()]
    gradient(clips, frames, second, way=Way(blocks=(Block("layers.0"),), spill=True))
    assert [parameter.requires_grad for parameter in clips.parameters()] == before
    assert all(parameter.grad is None for parameter in clips.parameters())
    assert "forward" not in vars(clips.layers[0])


class Kept:
    def __init__(self):
        self.calls, self.inner = 0, {"seen": [(0,)]}


def counter():
    calls = 0

    def count():
        nonlocal calls
        calls += 1

    return count


def assign(**values):
    """A function that sets attributes of a module to what is made of their old values."""
    return lambda module: [setattr(module, key, change(getattr(module, key))) for key, change in values.items()]


MEMORIES = {
    "buffer": lambda module: module.buffer.add_(1),
    "tensor": assign(tensor=lambda tensor: tensor + 1),
    "integer": assign(integer=lambda number: number + 1),
    "real": assign(real=lambda number: number + 0.1),
    "pair": assign(pair=lambda pair: (pair[0] + 1, pair[1])),
    "words": assign(words=lambda text: text + "a"),
    "listed": lambda module: module.listed.append(0),
    "queue": lambda module: module.queue.append(module.queue[-1] + 1),
    "chosen": lambda module: module.chosen.add(len(module.chosen)),
    "named": lambda module: module.named.update(calls=module.named["calls"] + 1),
    "kept": lambda module: module.kept.inner["seen"].__setitem__(0, (1,)),
    "array": lambda module: np.add.at(module.array, 0, 1),
    "steps": lambda module: next(module.steps),
    "draws": lambda module: module.draws.normal(),
    "dice": lambda module: module.dice.random(),
    "noise": lambda module: torch.randn(1, generator=module.noise),
    "count": lambda module: module.count(),
    "spare": lambda module: module.spare[0].weight.detach().add_(1),
    "Remembers.common": lambda module: module.common.append(0),
}


class Remembers(nn.Module):
    """Keeps what it can of a call."""

    common: ClassVar = [0]

    def __init__(self, how=lambda module: None):
        super().__init__()
        self.register_buffer("buffer", torch.zeros(8))
        self.how, self.tensor, self.integer, self.real, self.pair, self.words = how, torch.zeros(1), 0, 0.0, (0, 0), ""
        self.listed, self.queue, self.chosen, self.named = [0], deque([0], maxlen=2), {0}, {"calls": 0}
        self.kept, self.array, self.steps, self.count = Kept(), np.zeros(2), itertools.count(), counter()
        self.draws, self.dice, self.noise = np.random.default_rng(0), random.Random(0), torch.Generator()
        self.spare = [nn.Linear(1, 1)]

    def forward(self, tokens):
        self.how(self)
        return tokens.tanh()


@pytest.mark.parametrize("key", MEMORIES)
def test_a_module_with_memory_is_refused_by_name(clips, few, second, key):
    clips.layers.append(Remembers(MEMORIES[key]).eval())
    with pytest.raises(ExactnessError, match=rf"layers\.3 \(Remembers\) changed its '{key}'.*remembers earlier"):
        gradient(clips, few, second)


def test_what_is_kept_and_stays_as_it_was_is_no_memory(clips, few, second):
    clips.layers.append(Remembers(assign(pair=lambda pair: (pair[0], 0), real=lambda _: float("nan"))).eval())
    clips.layers[3].real = float("nan")
    gradient(clips, few, second)


def test_an_object_that_counts_its_calls_is_refused(split_clips, few, second):
    split_clips.calls, scores = 0, split_clips.module
    split_clips.scores = lambda frames: setattr(split_clips, "calls", split_clips.calls + 1) or scores(frames)
    with pytest.raises(ExactnessError, match=r"SplitClips\.calls"):
        gradient(split_clips, few, second)


def test_a_module_that_computes_something_else_the_second_time_is_named(clips, few, second):
    class Shuffles(nn.Module):
        """Tokens in an order that is drawn anew: the same rows, and the same sums."""

        def forward(self, tokens):
            return tokens[:, torch.randperm(tokens.shape[1])]

    clips.layers.append(Shuffles().eval())
    with pytest.raises(ExactnessError, match=r"layers\.3 \(Shuffles\) computed something else"):
        gradient(clips, few, second, way=Way(blocks=(Block("layers.3"),)))


def test_dropout_that_is_always_on_is_found_out(clips, frames, second):
    class Careless(nn.Module):
        def forward(self, tokens):
            return nn.functional.dropout(tokens, 0.1)

    clips.layers.append(Careless().eval())
    with pytest.raises(ExactnessError, match=r"layers\.3 \(Careless\) computed something else"):
        gradient(clips, frames, second, way=Way(blocks=(Block("layers.3"),)))


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.BatchNorm1d(16).double()])
def test_training_mode_is_refused_by_name(clips, frames, second, layer):
    clips.layers.append(layer.train())
    with pytest.raises(ExactnessError, match=rf"layers\.3 \({type(layer).__name__}\) is in training mode"):
        gradient(clips, frames, second, budget=10**9)


def test_what_cannot_be_differentiated_is_refused(clips, frames, second):
    with pytest.raises(ModelError, match="neither a torch module nor an object"):
        gradient(lambda frames: frames.sum(), frames, second)
    with pytest.raises(ModelError, match=r"not torch\.uint8"):
        gradient(clips, frames.byte(), second)
    with pytest.raises(ExactnessError, match=r"shape \(4,\)"):
        gradient(clips, frames, lambda scores: scores)


def test_a_model_that_decides_by_numbers_says_so(clips, frames, second):
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.clips = clips

        def forward(self, frames):
            return self.clips(frames if frames.sum() > 0 else -frames)

    model = Decides().eval()
    assert torch.equal(gradient(model, frames, second).gradient, truth_of(clips, frames, second))
    with pytest.raises(ModelError, match="decides by numbers"):
        gradient(model, frames, second, budget=1)
