"""The same gradient, to the last bit, for models that know nothing of this library."""

import pytest
import torch

from longtake.bounded import gradient
from longtake.bounded.choose import choices
from longtake.bounded.guard import frozen
from longtake.bounded.independence import rows_round_alike
from longtake.bounded.planning import proved_cuts, usage
from longtake.bounded.run import Way


def ways_of(module, frames):
    """Whole submodules; finely cut ones; the same with what remains on disk."""
    with frozen(module):
        usages = usage(module, frames)
        whole = choices(usages)
        cut = choices(usages, cuts=proved_cuts(module, usages))
    best = min(whole, key=lambda choice: choice.stay + choice.insides)
    fine = cut[len(cut) // 2]
    return Way(blocks=best.blocks), Way(blocks=fine.blocks), Way(blocks=fine.blocks, spill=True)


def distance(found, truth):
    return ((found - truth).norm() / truth.norm()).item()


def test_every_way_is_plain_backprop(family, class_score, tmp_path, same):
    """Bitwise in float64; in float32 no farther from that than plain back-propagation in float32 is."""
    module, frames = family
    ways = ways_of(module, frames)
    single = [gradient(module, frames, class_score, way=way).gradient for way in (Way(), *ways)]
    module, frames = module.double(), frames.double()
    leaf = frames.clone().requires_grad_()
    # Freezing parameters makes torch choose another kernel for some of Mask2Former's layers: 1e-14 in the value.
    with frozen(module):
        value = class_score(module(leaf))
        (truth,) = torch.autograd.grad(value, leaf)
    assert truth.abs().max() > 0
    for way in ways:
        found = gradient(module, frames, class_score, way=way, folder=tmp_path)
        assert same(torch.tensor(found.value, dtype=torch.float64), value.detach()), way.name
        assert same(found.gradient, truth), way.name
    assert not list(tmp_path.iterdir())
    # Rounding of equal size in another order: allow a quarter more, and nothing where plain is off by next to nothing.
    more = 1.25 if rows_round_alike("cpu") else 3
    for found in single[1:]:
        assert distance(found, truth) <= more * distance(single[0], truth) + 1e-7


@pytest.mark.parametrize("family", ["TimeSformer", "VidEoMT"], indirect=True)
def test_a_submodule_proved_independent_is_cut(family, class_score):
    module, frames = family
    fine = ways_of(module, frames)[1]
    assert any(block.pieces > 1 for block in fine.blocks)
    assert "cut" in fine.name
