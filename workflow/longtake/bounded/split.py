"""Exact gradients of a per-frame encoder with a temporal head, in two passes.

The score S depends on the frames x only through the features f = encode(x), computed frame by frame, so

    dS/dx_t = (dS/df_t) . (df_t/dx_t)

Pass 1 encodes the frames in chunks without a graph, runs the head once with a graph on the (small) features and keeps
dS/df. Pass 2 encodes each chunk again with a graph and back-propagates its part of dS/df. This is the chain rule and no
approximation: the whole clip's context is in dS/df, and the chunk size only decides how many frames' activations
are alive at a time.

That pass 2 differentiates the same function as pass 1 evaluated is checked while it runs: features must come out again
bit for bit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import saved_tensors_hooks

from longtake.bounded.guard import check_scalar, frozen, has_values
from longtake.bounded.pieces import nodes, rounding
from longtake.errors import ExactnessError

Encode = Callable[[Tensor], Tensor]
Head = Callable[[Tensor], Tensor]
Score = Callable[[Tensor], Tensor]


class FrameStack(Protocol):
    """T frames of which slices can be had as tensors (n, 3, H, W); a tensor (T, 3, H, W) is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class HeadPass:
    """What the first pass leaves.

    Attributes
    ----------
    features : (T, ...) features of all frames, without a graph
    feature_gradient : (T, ...) dS/dfeatures
    scores : what the head returned, without a graph
    value : the score S itself
    """

    features: Tensor
    feature_gradient: Tensor
    scores: Tensor
    value: Tensor


@dataclass(frozen=True)
class GradientChunk:
    """dS/dframes of the frames start..stop-1: gradient (stop - start, 3, H, W)."""

    start: int
    stop: int
    gradient: Tensor


@dataclass(frozen=True)
class SplitGradient:
    """The whole gradient (T, 3, H, W) with the features (T, ...), scores and value it belongs to."""

    gradient: Tensor
    features: Tensor
    scores: Tensor
    value: Tensor


def chunk_bounds(n_frames: int, chunk_size: int) -> list[tuple[int, int]]:
    """Consecutive [start, stop) of at most `chunk_size` that cover 0..n_frames-1, each frame once.

    Raises
    ------
    ValueError : chunk_size below 1, or no frames.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 frame, not {chunk_size}")
    if n_frames < 1:
        raise ValueError("a clip needs at least one frame")
    return [(start, min(start + chunk_size, n_frames)) for start in range(0, n_frames, chunk_size)]


def head_pass(
    encode: Encode, head: Head, frames: FrameStack, score: Score, chunk_size: int, *, module: nn.Module
) -> HeadPass:
    """First pass: features of all frames, scores, and dS/dfeatures.

    Memory: activations of `chunk_size` frames without a graph, then the head's graph on the features of all frames.

    Raises
    ------
    ExactnessError : training mode, features that are not one per frame or not finite, a score that is no scalar.
    """
    with frozen(module):
        parts = []
        with torch.no_grad():
            for start, stop in chunk_bounds(len(frames), chunk_size):
                part = encode(frames[start:stop])
                _check_features(part, start, stop)
                parts.append(part)
        features = torch.cat(parts)
        with torch.enable_grad():
            leaf = features.detach().requires_grad_()
            scores = head(leaf)
            value = score(scores)
            check_scalar(value)
            (feature_gradient,) = torch.autograd.grad(value.reshape(()), leaf)
    return HeadPass(features, feature_gradient, scores.detach(), value.detach())


def gradient_chunks(
    encode: Encode, frames: FrameStack, first: HeadPass, chunk_size: int, *, module: nn.Module
) -> Iterator[GradientChunk]:
    """Second pass: dS/dframes chunk by chunk, in frame order.

    Memory: the encoder's graph of `chunk_size` frames; nothing of a chunk is kept once the next is asked for.
    Parameters are frozen only while a chunk is computed, so that a consumer that stops early leaves the model
    as it was.

    Raises
    ------
    ExactnessError : the features of a chunk do not come out as in the first pass.
    """
    for start, stop in chunk_bounds(len(frames), chunk_size):
        with frozen(module), torch.enable_grad():
            chunk = frames[start:stop].detach().requires_grad_()
            features = encode(chunk)
            _check_equal(features.detach(), first.features[start:stop], start, stop)
            (gradient,) = torch.autograd.grad(features, chunk, grad_outputs=first.feature_gradient[start:stop])
        del features, chunk
        yield GradientChunk(start, stop, gradient)
        del gradient


def split_gradient(
    encode: Encode,
    head: Head,
    frames: FrameStack,
    score: Score,
    chunk_size: int,
    *,
    module: nn.Module,
    on_chunk: Callable[[GradientChunk], None] | None = None,
) -> SplitGradient:
    """dS/dframes (T, 3, H, W) of S = score(head(encode(frames))), exact for every chunk size.

    Parameters
    ----------
    encode : frames (n, 3, H, W) -> features (n, ...), each frame by itself
    head : features (T, ...) -> scores
    score : scores -> one number
    module : holds the parameters of both, in eval mode
    on_chunk : called with every chunk as it is made

    Memory: the result and what `gradient_chunks` needs. Who does not want all of T at once iterates over
    `gradient_chunks` instead.
    """
    first = head_pass(encode, head, frames, score, chunk_size, module=module)
    gradient: Tensor | None = None
    for chunk in gradient_chunks(encode, frames, first, chunk_size, module=module):
        if on_chunk is not None:
            on_chunk(chunk)
        if gradient is None:
            gradient = chunk.gradient.new_empty(len(frames), *chunk.gradient.shape[1:])
        gradient[chunk.start : chunk.stop] = chunk.gradient
    if gradient is None:
        raise ValueError("a clip needs at least one frame")
    return SplitGradient(gradient, first.features, first.scores, first.value)


def frames_alone(
    encode: Encode, frames: FrameStack, *, most: int | None = None, precision: torch.dtype | None = None
) -> bool:
    """Try whether a frame's features depend on that frame alone: not on others, nor on its place among them.

    Drawn frames are encoded all together and again in chunks of one and of two; the features must be the same but for
    rounding. Where the encoder has a backward pass of its own, the gradients of two frames must be, too.

    Parameters
    ----------
    most : frames that are tried, at most
    precision : in which `encode` computes, if not in that of its features
    """
    count = min(len(frames), most or len(frames))
    if count < 2:
        return True
    like, generator = frames[0:1], torch.Generator().manual_seed(0)
    drawn = torch.rand((count, *like.shape[1:]), generator=generator).to(like)
    firsts = [start for start in range(count) if start % 3 < 2]
    # Without TF32, in which kernels differ by more than what is looked for.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        with torch.no_grad():
            together = encode(drawn)
            if together.shape[:1] != (count,):
                return False
            for start, stop in zip(firsts, [*firsts[1:], count], strict=True):
                if not _same_but_for_rounding(encode(drawn[start:stop]), together[start:stop], together, precision):
                    return False
        return not _own_backward(encode, drawn[:1]) or _gradients_alone(encode, drawn[:2], precision)


def _own_backward(encode: Encode, frame: Tensor) -> bool:
    """Whether a backward pass is among the encoder's that PyTorch did not derive; nothing is kept for it."""
    with torch.enable_grad(), saved_tensors_hooks(lambda _: None, lambda _: frame):
        return any(isinstance(node, BackwardCFunction) for node in nodes([encode(frame.clone().requires_grad_())]))


def _gradients_alone(encode: Encode, two: Tensor, precision: torch.dtype | None) -> bool:
    """Whether the gradients of two frames together are those of each by itself."""

    def gradient(given: Tensor) -> Tensor:
        leaf = given.clone().requires_grad_()
        with torch.enable_grad():
            features = encode(leaf)
            weights = torch.linspace(1, 2, features[0].numel()).to(features).view_as(features[0]).expand_as(features)
            return torch.autograd.grad(features, leaf, weights)[0]

    together = gradient(two)
    return _same_but_for_rounding(torch.cat([gradient(two[:1]), gradient(two[1:])]), together, together, precision)


def _same_but_for_rounding(found: Tensor, expected: Tensor, all_of_it: Tensor, precision: torch.dtype | None) -> bool:
    if found.shape != expected.shape:
        return False
    differ = rounding(precision or expected.dtype) * float(all_of_it.abs().max())
    return torch.allclose(found, expected, rtol=0, atol=differ, equal_nan=True)


def plain_gradient(
    forward: Callable[[Tensor], Tensor], frames: Tensor, score: Score, *, module: nn.Module
) -> tuple[Tensor, Tensor]:
    """The reference: gradient (T, 3, H, W) and scores of one forward over all frames, with everything in memory."""
    with frozen(module), torch.enable_grad():
        leaf = frames.detach().requires_grad_()
        scores = forward(leaf)
        (gradient,) = torch.autograd.grad(score(scores).reshape(()), leaf)
    return gradient, scores.detach()


def _check_features(features: Tensor, start: int, stop: int) -> None:
    if features.shape[0] != stop - start:
        raise ExactnessError(
            f"encode returned {features.shape[0]} features for the {stop - start} frames {start}..{stop - 1}: "
            "the split needs one per frame, along the first axis"
        )
    if has_values(features) and not torch.isfinite(features).all():
        raise ExactnessError(f"features of frames {start}..{stop - 1} are not finite: check the frames and the weights")


def _check_equal(again: Tensor, cached: Tensor, start: int, stop: int) -> None:
    if not has_values(again) or torch.equal(again, cached):
        return
    if again.shape != cached.shape:
        raise ExactnessError(f"frames {start}..{stop - 1}: shape {tuple(again.shape)} against {tuple(cached.shape)}")
    distance = (again - cached).abs().max().item()
    raise ExactnessError(
        f"features of frames {start}..{stop - 1} differ from those of the first pass by up to {distance:.3g}. "
        "Likely causes: the encoder draws random numbers, keeps state between calls, looks at neighbouring frames, or "
        "uses kernels that are not deterministic (torch.use_deterministic_algorithms(True) helps), or the frames "
        "changed in between. No gradient was written."
    )
