"""Barcode videos: the frame's number is readable from its pixels, so every reader can be caught lying."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from av.video.frame import VideoFrame

WIDTH, HEIGHT, BITS = 128, 96, 9
CELL = 14
BACKGROUND, SQUARE = (200, 80, 40), (20, 60, 220)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Frame ``number``: nine black or white cells on top, a square that moves over a plain background."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    pixels[:] = BACKGROUND
    for bit in range(BITS):
        pixels[:24, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    left = number * 3 % (width - 20)
    pixels[40:60, left : left + 20] = SQUARE
    return pixels


def read_barcode(pixels: np.ndarray) -> int:
    """The number in a picture of any scale; a cell that is neither black nor white gives -1."""
    scale = pixels.shape[1] / WIDTH
    number = 0
    for bit in range(BITS):
        level = float(pixels[round(12 * scale), round((bit * CELL + 7) * scale)].mean())
        if 70 < level < 185:
            return -1
        number |= int(level > 128) << bit
    return number


@dataclass(frozen=True)
class Clip:
    """A video and its truth: the number painted on each presented frame, and its time in seconds."""

    path: Path
    numbers: Sequence[int]
    times: Sequence[float] | None = None


Encode = Callable[..., Clip]


def encode(
    path: Path,
    *,
    frames: int = 120,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Callable[[int], int] = lambda number: number,
    time_base: Fraction = Fraction(1, 30),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    gop: int = 12,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    hflip: bool = False,
) -> Clip:
    """Encode ``frames`` barcode pictures; the container is chosen by the suffix."""
    if codec == "libx264":
        options = {"preset": "veryfast", "crf": "20", "bf": "3", "sc_threshold": "0", **(options or {})}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=round(1 / time_base) if time_base.numerator == 1 else 30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.options = options or {}
        stream.codec_context.time_base = stream.time_base = time_base
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for number in range(frames):
            frame = VideoFrame.from_ndarray(picture(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts(number), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    times = [float((pts(number) - pts(0)) * time_base) for number in range(frames)]
    return Clip(path, range(frames), times)


def remux(source: Clip, path: Path, options: dict[str, str] | None = None, drop: int = -1) -> Clip:
    """The same packets in another container, but for one."""
    with av.open(str(source.path)) as old, av.open(str(path), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size and number != drop:
                packet.stream = stream
                new.mux(packet)
    return Clip(path, source.numbers, source.times)


def ffmpeg(arguments: Iterable[str]) -> None:
    """Run the ffmpeg binary that comes with imageio-ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)


def _jitter(number: int) -> int:
    return 33 * number + (number * number) % 11


def _variable(number: int) -> int:
    return 20 * number + 400 * (number // 7)


def _cut(path: Path, source: Clip, first: int) -> Clip:
    """Copy from frame ``first`` on; MP4 hides what comes before it by an edit list."""
    ffmpeg(["-ss", f"{(first - 0.5) / 30:.4f}", "-i", str(source.path), "-c", "copy", str(path)])
    return Clip(path, source.numbers[first:], [(number - first) / 30 for number in source.numbers[first:]])


def _with_sound(path: Path, source: Clip) -> Clip:
    sound = ["-f", "lavfi", "-t", "6", "-i", "sine=frequency=300", "-map", "0", "-map", "1", "-c:v", "copy"]
    ffmpeg(["-i", str(source.path), *sound, "-c:a", "aac", "-b:a", "64k", str(path)])
    return Clip(path, source.numbers, source.times)


def _with_hidden(path: Path, source: Clip) -> Clip:
    """VP8 in two passes, which adds packets that are decoded but never shown."""
    options = ["-i", str(source.path), "-an", "-c:v", "libvpx", "-b:v", "300k", "-auto-alt-ref", "1"]
    options += ["-lag-in-frames", "16", "-threads", "1", "-passlogfile", str(path.with_suffix(".log"))]
    ffmpeg([*options, "-pass", "1", "-f", "null", "-"])
    ffmpeg([*options, "-pass", "2", str(path)])
    return Clip(path, source.numbers, source.times)


def _x264(**values: str) -> dict[str, str]:
    return {"x264-params": ":".join(f"{name.replace('_', '-')}={value}" for name, value in values.items())}


OPEN_GOP = {"open_gop": "1", "bframes": "3", "b_pyramid": "normal", "scenecut": "0", "keyint": "24"}
BUILDERS: dict[str, Callable[[Path, Callable[[str], Clip]], Clip]] = {
    "gop12.mp4": lambda p, get: encode(p),
    "gop60.mp4": lambda p, get: encode(p, gop=60, frames=200),
    "gop250.mp4": lambda p, get: encode(p, gop=250, frames=300, options={"bf": "3", "b-pyramid": "normal"}),
    "variable.mp4": lambda p, get: encode(p, pts=_variable, time_base=Fraction(1, 1000), gop=60),
    "jitter.mkv": lambda p, get: encode(p, pts=_jitter, time_base=Fraction(1, 1000), gop=60),
    "offset.mp4": lambda p, get: encode(p, pts=lambda number: 450 + number),
    "offset.mkv": lambda p, get: encode(p, pts=lambda number: 450 + number, gop=60),
    "edited.mp4": lambda p, get: _cut(p, get("gop60.mp4"), 77),
    "gop60.ts": lambda p, get: remux(get("gop60.mp4"), p),
    "gop12.ts": lambda p, get: remux(get("gop12.mp4"), p),
    "gop250.mkv": lambda p, get: remux(get("gop250.mp4"), p),
    "fragmented.mp4": lambda p, get: remux(get("gop12.mp4"), p, {"movflags": "frag_keyframe+empty_moov"}),
    "open_gop.mp4": lambda p, get: encode(p, gop=24, frames=150, options=_x264(**OPEN_GOP)),
    # Encoded into the container, so that parameter sets come with every keyframe.
    "open_gop.ts": lambda p, get: encode(p, gop=24, frames=150, options=_x264(**OPEN_GOP)),
    "refresh.mp4": lambda p, get: encode(p, gop=48, options=_x264(intra_refresh="1", bframes="0", keyint="48")),
    "hevc.mp4": lambda p, get: encode(
        p, codec="libx265", gop=24, options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=24:bframes=3"}
    ),
    "hevc.ts": lambda p, get: remux(get("hevc.mp4"), p),
    "ten_bit.mp4": lambda p, get: encode(p, pix_fmt="yuv420p10le", gop=60),
    "baseline.mp4": lambda p, get: encode(p, gop=30, options={"bf": "0", "profile": "baseline"}),
    "scaled.mkv": lambda p, get: encode(p, gop=30, options=_x264(cqm4=",".join(str(16 + k) for k in range(16)))),
    "odd_vp9.mkv": lambda p, get: encode(
        p, codec="libvpx-vp9", size=(129, 97), gop=40, options={"deadline": "realtime", "cpu-used": "8"}
    ),
    "odd_h264.mp4": lambda p, get: encode(p, pix_fmt="yuv444p", size=(129, 97)),
    "vp8.webm": lambda p, get: encode(
        p, codec="libvpx", gop=40, options={"auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "4"}
    ),
    "hidden_vp8.webm": lambda p, get: _with_hidden(p, get("gop12.mp4")),
    "mpeg2.ts": lambda p, get: encode(p, codec="mpeg2video", options={"bf": "2", "qscale": "3"}),
    "sound.mp4": lambda p, get: _with_sound(p, get("gop60.mp4")),
    "sound.ts": lambda p, get: _with_sound(p, get("gop12.mp4")),
    "sound.mkv": lambda p, get: _with_sound(p, get("open_gop.mp4")),
    "rotated.mp4": lambda p, get: encode(p, rotation=-90),
}
BARCODES = tuple(BUILDERS)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    """A barcode video by name, built once a session."""
    folder = tmp_path_factory.mktemp("barcodes")
    built: dict[str, Clip] = {}

    def get(name: str) -> Clip:
        if name not in built:
            built[name] = BUILDERS[name](folder / name, get)
        return built[name]

    return get


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``barcode_name`` runs over every barcode video."""
    if "barcode_name" in metafunc.fixturenames:
        metafunc.parametrize("barcode_name", BARCODES)


@pytest.fixture(scope="session")
def barcode() -> Callable[[np.ndarray], int]:
    return read_barcode


@pytest.fixture(scope="session")
def paint() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(scope="session")
def encode_clip() -> Encode:
    return encode


@pytest.fixture(scope="session")
def remux_clip() -> Callable[..., Clip]:
    return remux


@pytest.fixture(scope="session")
def run_ffmpeg() -> Callable[[Iterable[str]], None]:
    return ffmpeg
