"""Small clips, networks and videos for the tests of training."""

import av
import cv2
import numpy as np
import pytest

from longtake.models.networks.build import NetworkConfig, build
from longtake.training.loop import ClipOf

CLASSES = ("left", "right")
VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 16}


def config(network: str = "small_cnn", frames: int = 8, size: int = 32, **changes) -> NetworkConfig:
    """A network for clips of 8 frames of 32 pixels."""
    backbone = VIT if network.startswith("vit") else {}
    return NetworkConfig(network, CLASSES, frames, size, backbone=backbone, **changes)


def moving(number: int, frames: int = 8, size: int = 32) -> np.ndarray:
    """A bright square that moves to the left (even numbers) or to the right, (T, size, size, 3) uint8."""
    random = np.random.default_rng(number)
    clip = random.integers(0, 40, (frames, size, size, 3)).astype(np.uint8)
    top = int(random.integers(4, size - 12))
    for frame in range(frames):
        left = 2 + 2 * (frame if number % 2 else frames - 1 - frame)
        clip[frame, top : top + 8, left : left + 8] = 220
    return clip


def clips(numbers) -> list[ClipOf]:
    """Clips with the class of their number, even or odd."""
    return [ClipOf(f"clip-{n}#0", n % 2, lambda n=n: moving(n)) for n in numbers]


@pytest.fixture
def network():
    """A small network in float32."""
    return build(config(), seed=1)


def swimmer(
    path, number: int, *, left: bool, seconds: float = 2.0, size=(96, 64), brightness: float = 1.0, crf: int = 18
):
    """Write a video of a bright square on a textured ground, moving to the left or to the right; return its path."""
    random = np.random.default_rng(number)
    width, height = size
    ground = cv2.resize(random.integers(20, 140, (12, 18, 3)).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    frames = round(seconds * 15)
    top = int(random.integers(8, height - 24))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "ultrafast"}
        for frame in range(frames):
            pixels = ground.copy()
            share = frame / (frames - 1)
            x = round((width - 20) * ((1 - share) if left else share))
            pixels[top : top + 16, x : x + 16] = 240
            pixels = np.clip(pixels * brightness, 0, 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return str(path)


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Sixteen videos of two seconds in eight groups; even groups swim to the left."""
    folder = tmp_path_factory.mktemp("swimmers")
    return {
        f"swim-{n:02d}": swimmer(folder / f"swim-{n:02d}.mp4", n, left=n // 2 % 2 == 0, seconds=2.0) for n in range(16)
    }
