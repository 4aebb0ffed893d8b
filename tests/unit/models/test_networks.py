"""The networks that training fits: published names and counts, weights from files, gradients free of the batch."""

import hashlib

import pytest
import torch

from longtake.errors import ConfigError, ModelError
from longtake.models.loading import load_model
from longtake.models.networks.build import NETWORKS, build, describe, save_network, state_digest
from longtake.models.networks.layers import KeyedDropout, keyed, make_norm
from longtake.models.networks.slowfast import SlowFast
from longtake.models.networks.x3d import X3d
from longtake.models.protocols import ClipModel, SplitModel

CLASSES = ("cod", "crab", "ray")
VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 16}


def small(network: str, **changes: object):
    """A network for clips of 8 frames of 32 pixels, small where its size can be chosen."""
    config = describe(network, CLASSES, 8, 32, **changes)
    if config.backbone:
        config = type(config)(**{**vars(config), "backbone": VIT})
    return config


@pytest.mark.parametrize(
    ("network", "millions", "entries", "names"),
    [
        (SlowFast, 34.566, 662, "blocks.1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight"),
        (X3d, 3.794, 563, "blocks.2.res_blocks.0.branch2.norm_b.1.block.0.weight"),
    ],
)
def test_published_networks_have_the_published_parameters(network, millions, entries, names):
    module = network(400, "frozen")
    state = module.state_dict()
    assert round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 3) == millions
    assert len(state) == entries
    assert names in state


def test_names_and_shapes_are_those_that_were_published():
    """Golden digests of every name and shape; a renamed layer would no longer take the published file."""
    golden = {}
    for network in (SlowFast, X3d):
        state = network(400, "frozen").state_dict()
        lines = "\n".join(sorted(f"{name} {tuple(value.shape)}" for name, value in state.items()))
        golden[network.__name__] = hashlib.sha256(lines.encode()).hexdigest()[:16]
    assert golden == GOLDEN


GOLDEN = {"SlowFast": "b64258d537dd0d36", "X3d": "92cf6db9a1a73822"}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_trained_folder_is_a_clip_model_with_the_same_answer(tmp_path, network):
    made = build(small(network), seed=3).eval()
    save_network(made, tmp_path)
    model = load_model(tmp_path)
    clip = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert isinstance(model, ClipModel)
    assert model.class_names == CLASSES
    assert model.n_frames == 8
    assert isinstance(model, SplitModel) == network.startswith("vit")
    with torch.no_grad():
        torch.testing.assert_close(model.scores(clip), made(clip[None])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_seed_decides_the_weights_and_leaves_the_global_state_alone(network):
    before = torch.get_rng_state()
    one, same, other = (state_digest(build(small(network), seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(before, torch.get_rng_state())


def test_every_network_is_one_of_its_own():
    counts = {name: sum(parameter.numel() for parameter in build(small(name), 0).parameters()) for name in NETWORKS}
    assert len(set(counts.values())) == len(NETWORKS)


def test_published_weights_are_taken_whole_and_the_head_is_redrawn(tmp_path):
    source = X3d(5, "frozen").state_dict()
    path = tmp_path / "x3d.pyth"
    torch.save({"model_state": source}, path)
    net = build(describe("x3d", CLASSES, 8, 32, norm="frozen"), 0, str(path)).net
    state = net.state_dict()
    deep = "blocks.4.res_blocks.6.branch2.conv_b.weight"
    assert torch.equal(state[deep], source[deep])
    assert state["blocks.5.proj.weight"].shape == (3, 2048)


def test_weights_of_another_network_are_refused_by_their_names(tmp_path):
    path = tmp_path / "slowfast.pyth"
    torch.save({"model_state": {"conv1.weight": torch.zeros(1)}}, path)
    with pytest.raises(ModelError, match=r"conv1\.weight"):
        build(describe("slowfast", CLASSES, 8, 32, norm="frozen"), 0, str(path))


def test_batch_statistics_ask_for_the_frozen_norm(tmp_path):
    path = tmp_path / "x3d.pyth"
    torch.save({"model_state": X3d(3, "frozen").state_dict()}, path)
    with pytest.raises(ModelError, match="frozen"):
        build(describe("x3d", CLASSES, 8, 32, norm="group"), 0, str(path))


def test_a_pickle_with_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").write_text, ("x",))

    path = tmp_path / "evil.pyth"
    torch.save({"model_state": Evil()}, path)
    with pytest.raises(ModelError, match="would run code"):
        build(describe("x3d", CLASSES, 8, 32, norm="frozen"), 0, str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("network", "frames", "size", "words"),
    [("slowfast", 6, 32, "multiple of 4"), ("vit_gru", 8, 40, "multiple of 16"), ("x4d", 8, 32, "Did you mean 'x3d'")],
)
def test_clips_that_a_network_cannot_take_are_refused(network, frames, size, words):
    with pytest.raises(ConfigError, match=words):
        describe(network, CLASSES, frames, size)


def test_batch_norm_in_training_mode_is_refused():
    with pytest.raises(ConfigError, match="batch norm"):
        make_norm("batch", 8)


def test_frozen_norm_keeps_its_statistics_in_training():
    norm = make_norm("frozen", 4).train()
    norm(torch.randn(2, 4, 2, 3, 3))
    assert norm.running_mean.abs().sum() == 0
    assert norm.weight.requires_grad


def test_dropout_belongs_to_the_clip():
    layer = torch.nn.Sequential(KeyedDropout(0.5)).train()
    x = torch.ones(3, 64)
    with keyed(layer, (1, 2, 3)):
        whole = layer(x)
    with keyed(layer, (3,)):
        alone = layer(x[:1])
    assert torch.equal(whole[2], alone[0])
    assert not torch.equal(whole[0], whole[1])
    with pytest.raises(ConfigError, match="keyed"):
        layer(x)
