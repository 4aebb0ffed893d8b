"""Reading every 30th frame of a long 1080p video at half size: ours against the usual ways.

    python benchmarks/reader.py [--repeat 3] [--folder DIR]

Makes its own clip (60 s, 30 fps, H.264, B-frames, a keyframe every 250 frames; the frame number is painted
on), runs each way in a process of its own, and writes ``benchmarks/results/reader.json``. A way that is not
installed is noted and left out. CPU seconds cover everything from opening the file, our indexing included, and
child processes; memory is peak resident size above that after the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from host import cpu, versions

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
RESULT = ROOT / "benchmarks" / "results" / "reader.json"

WIDTH, HEIGHT, FPS, GOP, EVERY = 1920, 1080, 30, 250, 30
SECONDS, LONG = 60, 10
BITS, CELL = 15, 64
HALF = (WIDTH // 2, HEIGHT // 2)

Pictures = Iterator[np.ndarray]


def painted(number: int, scene: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """A textured scene that drifts under film grain, with the number as black and white cells on top."""
    x, y = 2 * number % 960, number % 540
    pixels = scene[y : y + HEIGHT, x : x + WIDTH].astype(np.int16)
    pixels += np.roll(grain, (number * 37 % HEIGHT, number * 101 % WIDTH), axis=(0, 1))[..., None]
    pixels = pixels.clip(0, 255).astype(np.uint8)
    for bit in range(BITS):
        pixels[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number on a picture of half size."""
    row, cell = CELL // 4, CELL // 2
    return sum(int(pixels[row, bit * cell + cell // 2].mean() > 128) << bit for bit in range(BITS))


def make_clip(path: Path, seconds: int) -> None:
    import av
    import cv2
    from av.video.frame import VideoFrame

    rng = np.random.default_rng(7)
    coarse = rng.integers(30, 226, (90, 160, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (WIDTH + 960, HEIGHT + 540), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 3, (HEIGHT, WIDTH)).astype(np.int16)
    temporary = path.with_suffix(".part")
    options = {"preset": "fast", "crf": "21", "bf": "3", "sc_threshold": "0"}
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GOP
        for number in range(seconds * FPS):
            frame = VideoFrame.from_ndarray(painted(number, scene, grain), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    temporary.replace(path)


def repeat_clip(source: Path, path: Path, times: int) -> None:
    """The same packets ``times`` over, one after the other in time."""
    import av

    temporary = path.with_suffix(".part")
    with av.open(str(temporary), "w", format="mp4") as new:
        stream = None
        for turn in range(times):
            with av.open(str(source)) as old:
                video = old.streams.video[0]
                stream = stream or new.add_stream_from_template(video)
                shift = int(turn * SECONDS / video.time_base)
                for packet in old.demux(video):
                    if packet.size:
                        packet.stream = stream
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        new.mux(packet)
    temporary.replace(path)


def ours(path: Path, threads: int = 1) -> Pictures:
    from longtake.media.index import index_video
    from longtake.media.reader import read_frames

    index = index_video(path)
    for item in read_frames(index, range(0, index.n_frames, EVERY), size=HALF, threads=threads):
        yield item.pixels


def ours_two_decoders(path: Path) -> Pictures:
    return ours(path, threads=2)


def naive(path: Path) -> Pictures:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number in range(0, stream.frames, EVERY):
            target = round(number / FPS / stream.time_base)
            container.seek(target, stream=stream)
            picture = next(item for item in container.decode(stream) if item.pts >= target)
            yield picture.reformat(*HALF, "rgb24", threads=1).to_ndarray()


def sequential(path: Path) -> Pictures:
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 2
        for number, picture in enumerate(container.decode(video=0)):
            if number % EVERY == 0:
                yield picture.reformat(*HALF, "rgb24", threads=1).to_ndarray()


def torchcodec(path: Path) -> Pictures:
    from torch.nn.functional import interpolate
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=1)
    batch = decoder.get_frames_at(indices=list(range(0, decoder.metadata.num_frames, EVERY)))
    for picture in batch.data:
        half = interpolate(picture[None], size=HALF[::-1], mode="bilinear", antialias=True)
        yield half[0].permute(1, 2, 0).numpy()


def opencv(path: Path) -> Pictures:
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path))
    number = 0
    while capture.grab():
        if number % EVERY == 0:
            picture = cv2.resize(capture.retrieve()[1], HALF, interpolation=cv2.INTER_AREA)
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        number += 1
    capture.release()


def ffmpeg_pipe(path: Path) -> Pictures:
    import imageio_ffmpeg

    chain = f"select='not(mod(n,{EVERY}))',scale={HALF[0]}:{HALF[1]}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "2", "-i", str(path), "-vf", chain]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    size = HALF[0] * HALF[1] * 3
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while data := process.stdout.read(size):
            yield np.frombuffer(data, dtype=np.uint8).reshape(HALF[1], HALF[0], 3)


WAYS: dict[str, tuple[Callable[[Path], Pictures], tuple[str, ...], str]] = {
    "longtake": (ours, ("longtake.media",), "longtake, index and plan, one decoder"),
    "longtake_2": (ours_two_decoders, ("longtake.media",), "longtake, two decoders at once"),
    "naive": (naive, ("av",), "PyAV, seek to each frame"),
    "sequential": (sequential, ("av",), "PyAV, decode on, keep every 30th (2 threads)"),
    "torchcodec": (torchcodec, ("torch", "torchcodec.decoders"), "torchcodec get_frames_at, exact"),
    "opencv": (opencv, ("cv2",), "OpenCV grab and retrieve"),
    "ffmpeg": (ffmpeg_pipe, ("imageio_ffmpeg",), "ffmpeg pipe with select"),
}


def measure(way: str, path: Path) -> dict[str, Any]:
    """Run one way in this process and say what it cost."""
    function, modules, _ = WAYS[way]
    try:
        for module in modules:
            __import__(module)
    except (ImportError, OSError, RuntimeError) as error:
        return {"skipped": str(error).strip().splitlines()[0][:200]}
    base, start, began = _resident(), _cpu(), time.perf_counter()
    numbers = [number_of(pixels) for pixels in function(path)]
    return {
        "cpu_s": _cpu() - start,
        "wall_s": time.perf_counter() - began,
        "rss_mb": _peak() - base,
        "frames": len(numbers),
        "right": sum(found == k * EVERY % (SECONDS * FPS) for k, found in enumerate(numbers)),
    }


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in usage)


def _resident() -> float:
    """Resident MB now; the peak is forgotten first, so that imports do not hide what follows."""
    Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def run(way: str, path: Path, repeat: int) -> dict[str, Any]:
    """The run with the least CPU of several, each in a fresh process."""
    runs = []
    for _ in range(repeat):
        command = [sys.executable, __file__, "--way", way, "--clip", str(path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            return {"skipped": done.stderr.strip().splitlines()[-1][:200]}
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        if "skipped" in runs[-1]:
            return runs[-1]
    best = min(runs, key=lambda item: item["cpu_s"])
    return {**best, "rss_mb": max(item["rss_mb"] for item in runs), "runs": repeat}


def machine() -> dict[str, Any]:
    found = versions("av", "numpy", "opencv-python-headless", "torch", "torchcodec", "imageio-ffmpeg")
    return {"cpu": cpu(), "cores": os.cpu_count(), "python": found.pop("python"), "versions": found}


def table(result: dict[str, Any]) -> str:
    lines = ["| way | CPU s | wall s | peak RSS MB | right frames |", "|---|---|---|---|---|"]
    for way, found in result["ways"].items():
        if "skipped" in found:
            lines.append(f"| {WAYS[way][2]} | skipped: {found['skipped']} | | | |")
            continue
        right = f"{found['right']} of {found['frames']}"
        cost = f"{found['cpu_s']:.2f} | {found['wall_s']:.2f} | {found['rss_mb']:.0f}"
        lines.append(f"| {WAYS[way][2]} | {cost} | {right} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "longtake-benchmark-reader")
    parser.add_argument("--repeat", type=int, default=3, help="runs a way; the least CPU counts")
    parser.add_argument("--note", default="", help="kept in the result, such as where a library came from")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.clip)))
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    short, long = arguments.folder / "minute.mp4", arguments.folder / "ten_minutes.mp4"
    if not short.exists():
        make_clip(short, SECONDS)
    if not long.exists():
        repeat_clip(short, long, LONG)
    ways = {way: run(way, short, arguments.repeat) for way in WAYS}
    longer = {way: run(way, long, 1) for way in ("longtake", "longtake_2")}
    result = {
        "what": f"every {EVERY}th frame of {SECONDS} s of {WIDTH}x{HEIGHT} H.264, GOP {GOP}, at half size",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        **machine(),
        "note": arguments.note,
        "clip_bytes": short.stat().st_size,
        "load_average": os.getloadavg()[0],
        "ways": ways,
        "ten_minutes": longer,
        "labels": {way: label for way, (_, _, label) in WAYS.items()},
    }
    if all("skipped" not in ways[way] for way in ("longtake", "naive", "sequential")):
        cpu = {way: ways[way]["cpu_s"] for way in ("longtake", "naive", "sequential")}
        result["cpu_of_naive"] = cpu["longtake"] / cpu["naive"]
        result["cpu_of_sequential"] = cpu["longtake"] / cpu["sequential"]
        result["rss_long_of_short"] = longer["longtake"]["rss_mb"] / ways["longtake"]["rss_mb"]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    for name in ("cpu_of_naive", "cpu_of_sequential", "rss_long_of_short"):
        if name in result:
            print(f"{name}: {result[name]:.2f}")


if __name__ == "__main__":
    main()
