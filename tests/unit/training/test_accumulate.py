"""The gradient of an effective batch does not depend on how it is cut, for any network."""

import pytest
import torch
from tests.unit.training.conftest import config, moving

from longtake.models.networks.build import NETWORKS, build
from longtake.training.accumulate import accumulate, blocks_of, recomputed

LABELS = torch.tensor([0, 1, 0, 0, 1, 0, 0])  # seven clips: the last micro-batch of 2, 3 or 4 is uneven
WEIGHTS = torch.tensor([0.4, 2.5], dtype=torch.float64)


def gradient(network, micro_batch, *, recompute=False):
    """Loss and gradient of seven clips, by name."""
    network.train().zero_grad(set_to_none=True)
    batch = [torch.from_numpy(moving(number)) for number in range(len(LABELS))]
    seeds = list(range(len(LABELS)))
    weights = WEIGHTS.to(next(network.parameters()).dtype)
    with recomputed(network, active=recompute):
        loss = accumulate(network, batch, LABELS, weights, seeds, micro_batch=micro_batch)
    return loss, {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}


def distance(one, other):
    """Relative L2 distance of two gradients."""
    apart = sum(float((one[name] - other[name]).square().sum()) for name in other)
    return (apart / sum(float(value.square().sum()) for value in other.values())) ** 0.5


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_micro_batches_of_any_size_give_the_gradient_of_the_whole(network, norm):
    if network.startswith("vit") and norm == "frozen":
        pytest.skip("a ViT has layer norms alone")
    made = build(config(network, norm=norm), seed=2).double()
    loss, whole = gradient(made, len(LABELS))
    for micro_batch in (1, 2, 4) if network in ("small_cnn", "vit_gru") else (3,):
        other_loss, other = gradient(made, micro_batch)
        assert distance(other, whole) < 1e-11
        assert other_loss == pytest.approx(loss, rel=1e-12)


def test_float32_is_within_a_hundred_thousandth(network):
    _, whole = gradient(network, len(LABELS))
    for micro_batch in (1, 2, 4):
        assert distance(gradient(network, micro_batch)[1], whole) < 1e-5


@pytest.mark.parametrize("network", NETWORKS)
def test_recomputing_activations_changes_no_bit(network):
    made = build(config(network), seed=2)
    assert blocks_of(made)
    _, plain = gradient(made, 4)
    _, other = gradient(made, 4, recompute=True)
    assert plain.keys() == other.keys()
    assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_recomputing_is_taken_back(network):
    block = blocks_of(network)[0]
    with recomputed(network, active=True):
        assert "forward" in vars(block)
    assert "forward" not in vars(block)


def test_a_mean_of_means_would_be_another_gradient(network):
    """What is done by hand elsewhere: weighted means of micro-batches, averaged. Here the error is told apart."""
    _, whole = gradient(network, len(LABELS))
    naive = {}
    batch = [torch.from_numpy(moving(number)) for number in range(len(LABELS))]
    for place in range(len(LABELS)):
        network.zero_grad(set_to_none=True)
        accumulate(network, [batch[place]], LABELS[place : place + 1], WEIGHTS.float(), [place], micro_batch=1)
        for name, value in network.named_parameters():
            naive[name] = naive.get(name, 0) + value.grad / len(LABELS)
    assert distance(naive, whole) > 0.1
