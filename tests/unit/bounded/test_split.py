import weakref

import pytest
import torch
from torch import nn

from longtake.bounded.split import (
    chunk_bounds,
    frozen,
    gradient_chunks,
    head_pass,
    plain_gradient,
    split_gradient,
)
from longtake.errors import ExactnessError

T = 31


class Net(nn.Module):
    """A convolutional encoder per frame and a head that mixes all frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.GroupNorm(2, 8),
            nn.GELU(),
            nn.Conv2d(8, 12, 3, stride=2),
        )
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.out = nn.Linear(12, 4)

    def encode(self, frames):
        return self.conv(frames - 0.5).mean((2, 3))

    def head(self, features):
        mixed = features + self.attention(features[None], features[None], features[None])[0][0]
        return self.out(torch.tanh(mixed).cumsum(0).mean(0))

    def forward(self, frames):
        return self.head(self.encode(frames))


@pytest.fixture
def net():
    torch.manual_seed(3)
    return Net().eval()


@pytest.fixture
def frames():
    return torch.rand(T, 3, 20, 24, generator=torch.Generator().manual_seed(5))


def first_score(scores):
    return scores[1]


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 8, 31])
def test_bitwise_equal_to_plain_autograd_in_float64(net, frames, chunk_size):
    net, frames = net.double(), frames.double()
    truth, scores = plain_gradient(net, frames, first_score, module=net)
    split = split_gradient(net.encode, net.head, frames, first_score, chunk_size, module=net)
    assert torch.equal(split.gradient, truth)
    assert torch.equal(split.scores, scores)
    assert truth.abs().amax((1, 2, 3)).min() > 0


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 8, 31])
def test_float32_is_no_farther_from_the_truth_than_plain(net, frames, chunk_size):
    plain, _ = plain_gradient(net, frames, first_score, module=net)
    split = split_gradient(net.encode, net.head, frames, first_score, chunk_size, module=net).gradient
    truth, _ = plain_gradient(net.double(), frames.double(), first_score, module=net)
    norm = truth.norm()
    # Rounding of equal size in another order: allow a quarter more, and nothing where plain is off by next to nothing.
    assert (split - truth).norm() / norm <= 1.25 * (plain - truth).norm() / norm + 1e-7


def test_chunks_stream_in_order_and_cover_every_frame(net, frames):
    first = head_pass(net.encode, net.head, frames, first_score, 6, module=net)
    chunks = list(gradient_chunks(net.encode, frames, first, 6, module=net))
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [
        (0, 6),
        (6, 12),
        (12, 18),
        (18, 24),
        (24, 30),
        (30, 31),
    ]
    seen = []
    split_gradient(net.encode, net.head, frames, first_score, 6, module=net, on_chunk=lambda c: seen.append(c.start))
    assert seen == [0, 6, 12, 18, 24, 30]


class LiveBytes:
    """Counts the bytes that the graph holds, by their lifetime."""

    def __init__(self):
        self.now = 0
        self.peak = 0

    def pack(self, tensor):
        box = Box(tensor)
        size = tensor.nbytes
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(box, self.free, size)
        return box

    def free(self, size):
        self.now -= size

    def hooks(self):
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda box: box.tensor)


class Box:
    def __init__(self, tensor):
        self.tensor = tensor


def test_saved_bytes_grow_with_the_chunk_and_not_with_the_clip(net, frames):
    def peak(chunk_size, n_frames):
        live = LiveBytes()
        with live.hooks():
            split_gradient(net.encode, net.head, frames[:n_frames], first_score, chunk_size, module=net)
        return live.peak

    plain = LiveBytes()
    with plain.hooks():
        plain_gradient(net, frames, first_score, module=net)
    assert peak(1, T) < plain.peak / 10
    assert peak(16, T) == pytest.approx(2 * peak(8, T), rel=0.1)
    assert peak(8, T) <= 1.1 * peak(8, 16)


def test_parameters_never_collect_gradients_and_get_their_flags_back(net, frames):
    net.out.bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in net.parameters()]
    split_gradient(net.encode, net.head, frames, first_score, 8, module=net)
    assert [parameter.requires_grad for parameter in net.parameters()] == before
    assert all(parameter.grad is None for parameter in net.parameters())
    with frozen(net):
        assert not any(parameter.requires_grad for parameter in net.parameters())
    assert [parameter.requires_grad for parameter in net.parameters()] == before


def test_works_inside_no_grad(net, frames):
    expected = split_gradient(net.encode, net.head, frames, first_score, 8, module=net).gradient
    with torch.no_grad():
        assert torch.equal(split_gradient(net.encode, net.head, frames, first_score, 8, module=net).gradient, expected)


def test_training_mode_is_refused_by_name(net, frames):
    net.conv[1].train()
    with pytest.raises(ExactnessError, match=r"conv\.1 \(GroupNorm\) is in training mode"):
        split_gradient(net.encode, net.head, frames, first_score, 8, module=net)


def test_a_random_encoder_is_found_out(net, frames):
    def noisy(chunk):
        return net.encode(chunk) + 1e-6 * torch.rand(chunk.shape[0], 12)

    with pytest.raises(ExactnessError, match=r"frames 0\.\.7 differ"):
        split_gradient(noisy, net.head, frames, first_score, 8, module=net)


def test_an_encoder_with_memory_names_the_chunk(net, frames):
    calls = []

    def tiring(chunk):
        calls.append(1)
        return net.encode(chunk) + (0.1 if len(calls) == 6 else 0.0)

    with pytest.raises(ExactnessError, match=r"frames 8\.\.15 differ .* up to 0\.1"):
        split_gradient(tiring, net.head, frames, first_score, 8, module=net)


def test_wrong_features_and_scores_are_refused(net, frames):
    with pytest.raises(ExactnessError, match="returned 1 features for the 8 frames"):
        split_gradient(lambda x: net.encode(x).mean(0, keepdim=True), net.head, frames, first_score, 8, module=net)
    with pytest.raises(ExactnessError, match="not finite"):
        split_gradient(lambda x: net.encode(x) / 0, net.head, frames, first_score, 8, module=net)
    with pytest.raises(ExactnessError, match=r"shape \(4,\)"):
        split_gradient(net.encode, net.head, frames, lambda scores: scores, 8, module=net)
    with pytest.raises(ExactnessError, match="requires_grad=False"):
        split_gradient(net.encode, net.head, frames, lambda scores: scores[0].detach(), 8, module=net)


def test_independent_chunks_would_be_another_function(net, frames):
    """The trap: gradients of short clips of their own are not the gradient of the clip."""
    truth = split_gradient(net.encode, net.head, frames, first_score, 8, module=net).gradient
    parts = [plain_gradient(net, frames[a:b], first_score, module=net)[0] for a, b in chunk_bounds(T, 8)]
    assert torch.cosine_similarity(torch.cat(parts).flatten(), truth.flatten(), dim=0) < 0.95


def test_chunk_bounds():
    assert chunk_bounds(31, 8) == [(0, 8), (8, 16), (16, 24), (24, 31)]
    assert chunk_bounds(3, 31) == [(0, 3)]
    with pytest.raises(ValueError, match="not 0"):
        chunk_bounds(3, 0)
    with pytest.raises(ValueError, match="at least one frame"):
        chunk_bounds(0, 4)
