import pytest
import torch

from longtake.bounded.split import plain_gradient, split_gradient
from longtake.models.classifier import (
    ClassifierConfig,
    ClipClassifier,
    ClipClassifierModel,
    config_from_json,
    config_to_json,
)


@pytest.fixture
def adapter():
    torch.manual_seed(1)
    config = ClassifierConfig(("a", "b", "c"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    return ClipClassifierModel(ClipClassifier(config).eval())


@pytest.fixture
def frames():
    return torch.rand(9, 3, 48, 48, generator=torch.Generator().manual_seed(2))


def test_scores_are_head_of_encode_and_equal_the_batched_network(adapter, frames):
    scores = adapter.scores(frames)
    assert scores.shape == (3,)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(adapter.module(frames[None].expand(2, -1, -1, -1, -1))[1], scores)


def test_a_frame_is_encoded_by_itself(adapter, frames):
    adapter.module.double()
    frames = frames.double()
    together = adapter.encode(frames)
    for t in range(9):
        torch.testing.assert_close(adapter.encode(frames[t : t + 1])[0], together[t], rtol=1e-12, atol=1e-13)


def test_the_order_of_frames_matters(adapter, frames):
    assert not torch.allclose(adapter.scores(frames), adapter.scores(frames.flip(0)), atol=1e-6)
    before = adapter.scores(frames)
    with torch.no_grad():
        adapter.module.position[3] += torch.randn(16)
    assert not torch.allclose(adapter.scores(frames), before, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 4, 9])
def test_split_gradient_is_exact(adapter, frames, chunk_size):
    adapter.module.double()
    truth, _ = plain_gradient(adapter.scores, frames.double(), torch.max, module=adapter.module)
    split = split_gradient(
        adapter.encode, adapter.head, frames.double(), torch.max, chunk_size, module=adapter.module
    ).gradient
    # A convolution of one frame may sum in another order than one of nine.
    torch.testing.assert_close(split, truth, rtol=1e-11, atol=1e-13)


def test_config_survives_json():
    config = ClassifierConfig(("x", "y"), n_frames=5)
    assert config_from_json(config_to_json(config)) == config
    with pytest.raises(TypeError, match="wings"):
        config_from_json({**config_to_json(config), "wings": 2})


def test_full_size_is_small():
    module = ClipClassifier(ClassifierConfig(("a", "b", "c", "d")))
    assert sum(parameter.numel() for parameter in module.parameters()) < 750_000
    assert not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in module.modules())
