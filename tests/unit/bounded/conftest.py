import pytest
import torch
from torch import nn

from longtake.bounded.independence import rows_round_alike

T = 31


@pytest.fixture
def same():
    """Whether two float64 results are equal bit for bit; but for rounding where rows do not round alike."""

    def compare(one, other):
        if rows_round_alike("cpu"):
            return torch.equal(one, other)
        return torch.allclose(one, other, rtol=0, atol=1e-12 * other.detach().abs().max().item())

    return compare


class Perceptron(nn.Module):
    """Looks at each token by itself."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, tokens):
        return tokens + self.narrow(torch.nn.functional.gelu(self.wide(self.norm(tokens))))


class Mixer(nn.Module):
    """Lets tokens look at each other."""

    def __init__(self, width):
        super().__init__()
        self.project = nn.Linear(width, 3 * width)

    def forward(self, tokens):
        query, key, value = self.project(tokens)[:, None].chunk(3, dim=-1)
        return tokens + nn.functional.scaled_dot_product_attention(query, key, value)[:, 0]


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mixer = Mixer(width)
        self.perceptron = Perceptron(width)

    def forward(self, tokens):
        return self.perceptron(self.mixer(tokens))


class Clips(nn.Module):
    """Frames (T, 3, H, W) -> scores (4,): layers over each frame's patches, then one over frames."""

    def __init__(self, width=8, depth=3, patch=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.over_frames = Layer(width)
        self.out = nn.Linear(width, 4)

    def features(self, frames):
        tokens = self.patches(frames - 0.5).flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens.mean(1)

    def forward(self, frames):
        return self.out(self.over_frames(self.features(frames)[None])[0].mean(0))


class SplitClips:
    """The same as a model with encode and head."""

    class_names = ("a", "b", "c", "d")
    n_frames = None

    def __init__(self, module):
        self.module = module

    def scores(self, frames):
        return self.module(frames)

    def encode(self, frames):
        return self.module.features(frames)

    def head(self, features):
        return self.module.out(self.module.over_frames(features[None])[0].mean(0))


@pytest.fixture
def clips():
    torch.manual_seed(3)
    return Clips().eval().double()


@pytest.fixture
def split_clips(clips):
    return SplitClips(clips)


@pytest.fixture
def frames():
    return torch.rand(T, 3, 16, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.fixture
def few(frames):
    return frames[:8]


@pytest.fixture
def deep():
    torch.manual_seed(3)
    return Clips(depth=8).eval().double()


@pytest.fixture
def vision_transformer():
    """Of ViT-S's size, with encode and head."""
    return SplitClips(Clips(width=384, depth=12, patch=16).eval())


@pytest.fixture
def segmenter():
    """VidEoMT of ViT-S's size."""
    module, _ = _videomt(
        image_size=224, patch_size=16, hidden_size=384, num_hidden_layers=12, num_attention_heads=6, num_queries=50
    )
    return module.eval()


@pytest.fixture
def second():
    """The score that is differentiated."""
    return lambda scores: scores[1]


def _videomae():
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=32,
        patch_size=8,
        num_frames=8,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=96,
    )
    return VideoMAEForVideoClassification(config), (1, 8, 3, 32, 32)


def _timesformer():
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    config = TimesformerConfig(
        image_size=32,
        patch_size=8,
        num_frames=4,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
    )
    return TimesformerForVideoClassification(config), (1, 4, 3, 32, 32)


def _vjepa2():
    from transformers import VJEPA2Config, VJEPA2ForVideoClassification

    config = VJEPA2Config(
        crop_size=32,
        patch_size=8,
        frames_per_clip=4,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        pred_hidden_size=24,
        pred_num_hidden_layers=1,
        pred_num_attention_heads=2,
        num_pooler_layers=1,
    )
    return VJEPA2ForVideoClassification(config), (1, 4, 3, 32, 32)


def _videomt(**others):
    from transformers import VideomtConfig, VideomtForUniversalSegmentation

    small = {"image_size": 32, "patch_size": 8, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3}
    few = {"num_labels": 5, "num_queries": 6, "num_blocks": 1, "num_upscale_blocks": 1, "num_register_tokens": 1}
    return VideomtForUniversalSegmentation(VideomtConfig(**(small | few | others))), (1, 6, 3, 32, 32)


def _mask2former():
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        image_size=64,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        num_labels=5,
    )
    return Mask2FormerForUniversalSegmentation(config), (2, 3, 64, 64)


def _cnn3d():
    layers = [nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(inplace=True)]
    layers += [nn.Conv3d(8, 12, 3, 2, 1), nn.GroupNorm(3, 12), nn.GELU()]
    layers += [nn.Conv3d(12, 12, 3, 1, 1), nn.BatchNorm3d(12), nn.ReLU(inplace=True)]
    layers += [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(12, 5)]
    return nn.Sequential(*layers), (1, 3, 8, 20, 20)


FAMILIES = {
    "VideoMAE": _videomae,
    "TimeSformer": _timesformer,
    "V-JEPA 2": _vjepa2,
    "VidEoMT": _videomt,
    "Mask2Former": _mask2former,
    "3-D CNN": _cnn3d,
}


@pytest.fixture(params=list(FAMILIES))
def family(request):
    """A model of random weights in eval mode, and an input for it, float32."""
    torch.manual_seed(11)
    module, shape = FAMILIES[request.param]()
    return module.eval(), torch.rand(shape, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def class_score():
    """One class's score, of whatever these models return; for segmentation, of one query."""

    def score(outputs):
        if isinstance(outputs, torch.Tensor):
            return outputs[0, 1]
        logits = getattr(outputs, "logits", None)
        return logits[0, 1] if logits is not None else outputs.class_queries_logits[-1, 2, 1]

    return score
