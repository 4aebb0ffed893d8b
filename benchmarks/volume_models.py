"""Networks for volumes, of the kinds that people use, small by `width`: for tests and benchmarks.

Each takes (1, 1, d0, d1, d2) and returns (1, classes); the segmenter returns (1, classes, d0, d1, d2).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 3


def norm(kind: str, channels: int) -> nn.Module:
    """A norm over `channels`: ``batch``, ``instance`` or ``group``."""
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    return nn.InstanceNorm3d(channels, affine=True) if kind == "instance" else nn.GroupNorm(2, channels)


def unit(given: int, made: int, kind: str, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, norm and ReLU."""
    convolution = nn.Conv3d(given, made, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, norm(kind, made), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """A block of ResNet: two convolutions and the input beside them."""

    def __init__(self, given: int, made: int, stride: int, kind: str) -> None:
        super().__init__()
        self.first = unit(given, made, kind, stride=stride)
        self.second = nn.Sequential(nn.Conv3d(made, made, 3, 1, 1, bias=False), norm(kind, made))
        plain = stride == 1 and given == made
        down = nn.Sequential(nn.Conv3d(given, made, 1, stride, bias=False), norm(kind, made))
        self.beside = nn.Identity() if plain else down
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        y += self.beside(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Stem of stride 4, stages of two blocks each; the layout of ResNet-18."""

    def __init__(self, kind: str = "batch", width: int = 4, blocks: int = 1, stages: int = 3) -> None:
        super().__init__()
        self.stem = unit(1, width, kind, 7, 2)
        self.pool = nn.MaxPool3d(3, 2, 1)
        layers: list[nn.Module] = []
        for stage in range(stages):
            made = width * 2**stage
            for block in range(blocks):
                given = made if block or not stage else made // 2
                layers.append(Residual(given, made, 1 if block or not stage else 2, kind))
        self.layers = nn.Sequential(*layers)
        self.average = nn.AdaptiveAvgPool3d(1)
        self.out = nn.Linear(width * 2 ** (stages - 1), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.average(self.layers(self.pool(self.stem(x)))).flatten(1))


class Dense(nn.Module):
    """A block of DenseNet: each layer sees all before it."""

    def __init__(self, given: int, growth: int, layers: int, kind: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                norm(kind, given + at * growth), nn.ReLU(), nn.Conv3d(given + at * growth, growth, 3, padding=1)
            )
            for at in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseNet(nn.Module):
    """Stem, dense block, transition, dense block."""

    def __init__(self, kind: str = "instance", width: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.stem = unit(1, width, kind, stride=2)
        first = width * (1 + layers)
        self.block1 = Dense(width, width, layers, kind)
        self.transition = nn.Sequential(nn.Conv3d(first, 2 * width, 1), nn.AvgPool3d(2))
        self.block2 = Dense(2 * width, width, layers, kind)
        self.last = nn.Sequential(norm(kind, (2 + layers) * width), nn.ReLU())
        self.out = nn.Linear((2 + layers) * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.block2(self.transition(self.block1(self.stem(x)))))
        return self.out(x.mean((2, 3, 4)))


class Inverted(nn.Module):
    """A block of EfficientNet: expansion, depthwise convolution, squeeze-excite, projection."""

    def __init__(self, given: int, made: int, stride: int, kind: str, kernel: int = 3) -> None:
        super().__init__()
        wide = 2 * given
        self.expand = nn.Sequential(nn.Conv3d(given, wide, 1, bias=False), norm(kind, wide), nn.SiLU())
        depthwise = nn.Conv3d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.depthwise = nn.Sequential(depthwise, norm(kind, wide), nn.SiLU())
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool3d(1), nn.Conv3d(wide, 2, 1), nn.SiLU(), nn.Conv3d(2, wide, 1), nn.Sigmoid()
        )
        self.project = nn.Sequential(nn.Conv3d(wide, made, 1, bias=False), norm(kind, made))
        self.skips = stride == 1 and given == made

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        y = self.project(self.squeeze(y) * y)
        return x + y if self.skips else y


class EfficientNet(nn.Module):
    """Inverted blocks with squeeze-excite, kernels 3 and 5."""

    def __init__(self, kind: str = "batch", width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(1, width, 3, 2, 1, bias=False), norm(kind, width), nn.SiLU())
        self.blocks = nn.Sequential(
            Inverted(width, width, 1, kind),
            Inverted(width, 2 * width, 2, kind, 5),
            Inverted(2 * width, 2 * width, 1, kind),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(1), nn.Linear(2 * width, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class UNet(nn.Module):
    """Two levels with skips; returns class scores of every voxel, or with `pooled` of the volume."""

    def __init__(self, kind: str = "instance", width: int = 4, pooled: bool = True) -> None:
        super().__init__()
        self.down1, self.down2 = unit(1, width, kind), unit(width, 2 * width, kind, stride=2)
        self.bottom = unit(2 * width, 4 * width, kind, stride=2)
        self.up2, self.up1 = unit(6 * width, 2 * width, kind), unit(3 * width, width, kind)
        self.out = nn.Conv3d(width, CLASSES, 1)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(first)
        up = functional.interpolate(self.bottom(second), size=second.shape[2:], mode="trilinear")
        up = functional.interpolate(self.up2(torch.cat([up, second], 1)), size=first.shape[2:], mode="trilinear")
        voxels = self.out(self.up1(torch.cat([up, first], 1)))
        return voxels.mean((2, 3, 4)) if self.pooled else voxels


class Encoder(nn.Module):
    """A layer of a transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        given = self.norm1(tokens)
        tokens = tokens + self.attention(given, given, given, need_weights=False)[0]
        return tokens + self.perceptron(self.norm2(tokens))


class ViT(nn.Module):
    """Patches of 8, global attention. `spatial` returns the last tokens as a volume, a layer for CAM."""

    def __init__(self, width: int = 16, layers: int = 2, patch: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, width, patch, patch)
        self.layers = nn.Sequential(*(Encoder(width, 2) for _ in range(layers)))
        self.spatial = nn.Identity()
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x)
        tokens = self.layers(patches.flatten(2).transpose(1, 2))
        return self.out(self.spatial(tokens.transpose(1, 2).reshape(patches.shape)).mean((2, 3, 4)))


class Window(nn.Module):
    """Attention in windows of `size`^3 tokens, shifted by half a window where asked: the idea of Swin."""

    def __init__(self, width: int, size: int, shifted: bool) -> None:
        super().__init__()
        self.layer, self.size, self.shift = Encoder(width, 2), size, size // 2 if shifted else 0

    def forward(self, x: Tensor) -> Tensor:
        _, channels, *sizes = x.shape
        size = self.size
        padded = functional.pad(x, [each for at in reversed(sizes) for each in (0, -at % size)])
        moved = torch.roll(padded, (-self.shift,) * 3, (2, 3, 4))
        d, h, w = (side // size for side in moved.shape[2:])
        tokens = moved.view(1, channels, d, size, h, size, w, size).permute(0, 2, 4, 6, 3, 5, 7, 1)
        tokens = self.layer(tokens.reshape(d * h * w, size**3, channels))
        back = tokens.view(d, h, w, size, size, size, channels).permute(6, 0, 3, 1, 4, 2, 5)
        back = torch.roll(back.reshape(1, channels, d * size, h * size, w * size), (self.shift,) * 3, (2, 3, 4))
        return back[:, :, : sizes[0], : sizes[1], : sizes[2]]


class Swin(nn.Module):
    """Patches of 4, two windows, a merge of 2, two windows."""

    def __init__(self, width: int = 8, size: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, width, 4, 4)
        self.stage1 = nn.Sequential(Window(width, size, False), Window(width, size, True))
        self.merge = nn.Conv3d(width, 2 * width, 2, 2)
        self.stage2 = nn.Sequential(Window(2 * width, size, False), Window(2 * width, size, True))
        self.out = nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.stage2(self.merge(self.stage1(self.patches(x)))).mean((2, 3, 4)))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet batch": lambda: ResNet("batch"),
    "resnet instance": lambda: ResNet("instance"),
    "resnet group": lambda: ResNet("group"),
    "densenet instance": lambda: DenseNet("instance"),
    "densenet batch": lambda: DenseNet("batch"),
    "efficientnet batch": lambda: EfficientNet("batch"),
    "efficientnet group": lambda: EfficientNet("group"),
    "unet instance": lambda: UNet("instance"),
    "unet batch": lambda: UNet("batch"),
    "vit": lambda: ViT(),
    "swin": lambda: Swin(),
}
LAYERS = {
    "resnet": ("layers.2", "layers.1", "stem"),
    "densenet": ("block2", "block1", "stem"),
    "efficientnet": ("blocks.2", "blocks.0", "stem"),
    "unet": ("bottom", "up1", "down1"),
    "vit": ("spatial", "patches"),
    "swin": ("stage2", "stage1", "patches"),
}
"""Target layers of each architecture, the last one first."""


def seeded(name: str, seed: int = 0) -> nn.Module:
    """A model with drawn weights, norms and their running statistics included, in eval mode."""
    torch.manual_seed(seed)
    model = MODELS[name]().eval()
    for key, value in [*model.named_parameters(), *model.named_buffers()]:
        if key.endswith("running_mean"):
            nn.init.normal_(value, 0, 0.1)
        elif key.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
        elif value.dim() == 1 and value.is_floating_point():
            nn.init.normal_(value, 1.0 if key.endswith("weight") else 0.1, 0.2)
    return model
