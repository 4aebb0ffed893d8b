"""Training: a clip from the store against decoding it, augmentation, memory of a step, exactness, and the forecast.

Times are processor time of one thread, the best of a few runs; ratios are of one run on one machine. Writes
benchmarks/results/training.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional

from longtake.bounded.live import LiveBytes
from longtake.bounded.profile import simulation
from longtake.media.index import index_video
from longtake.media.writer import write_video
from longtake.models.networks.build import NETWORKS, build, describe
from longtake.planning.calibrate import measure
from longtake.store.atomic import write_json
from longtake.training import trial
from longtake.training.accumulate import accumulate, recomputed
from longtake.training.augment import apply, draw
from longtake.training.clips import Spec, make_shard
from longtake.training.options import Augment
from longtake.training.sampling import Sampling, bordered, read_clip
from longtake.training.store import clip_path, get_clip, put_clip

RESULTS = Path(__file__).parent / "results" / "training.json"
SAMPLING = Sampling(16, 112)
EVERYTHING = {name: {**value, "p": 1.0} for name, value in Augment().model_dump().items()}
SHARED = ("rotate", "affine", "flip", "jitter", "blur", "noise", "cutout")
CLASSES = ("a", "b")


def best_ms(work: Callable[[], Any], times: int = 3) -> float:
    """Least processor time in milliseconds."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return 1000 * min(found)


def render(path: Path, seconds: float, width: int, height: int) -> Path:
    """Write a video of drifting texture at 25 frames a second."""
    random = np.random.default_rng(1)
    ground = random.integers(0, 255, (height, 2 * width, 3)).astype(np.uint8)
    ground = (
        ground.reshape(height // 8, 8, 2 * width // 8, 8, 3).mean((1, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    )

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for number in range(round(25 * seconds)):
            yield number, np.ascontiguousarray(ground[:, 2 * number % width :][:, :width])

    write_video(path, frames(), time_base=Fraction(1, 25), width=width, height=height, preset="ultrafast")
    return path


def store_against_decode(folder: Path) -> dict[str, Any]:
    """Milliseconds to decode a clip of 16 frames from ten seconds of 1080p, and to read it from the store."""
    index = index_video(render(folder / "hd.mp4", 10, 1920, 1080))
    pixels = bordered(read_clip(index, SAMPLING).pixels, SAMPLING.size)
    checksum = put_clip(folder, "0" * 32, pixels)
    packed = put_clip(folder, "1" * 32, pixels, "zstd")
    decode = best_ms(lambda: read_clip(index, SAMPLING))
    read = best_ms(lambda: get_clip(folder, "0" * 32, checksum), 20)
    unpacked = best_ms(lambda: get_clip(folder, "1" * 32, packed), 20)
    size = clip_path(folder, "0" * 32).stat().st_size
    return {
        "decode_ms": decode,
        "read_ms": read,
        "ratio": read / decode,
        "read_zstd_ms": unpacked,
        "bytes_of_float32": size / (4 * pixels.size),
        "zstd_of_plain": clip_path(folder, "1" * 32).stat().st_size / size,
    }


def augmentation(peers: str) -> dict[str, Any]:
    """Milliseconds to apply operations to one clip: every one, and those that kornia has as well, by both."""
    pixels = np.random.default_rng(0).integers(0, 255, (16, 112, 112, 3)).astype(np.uint8)
    told: dict[str, Any] = {}
    for name, operations in (("own_ms", EVERYTHING), ("own_shared_ms", {each: EVERYTHING[each] for each in SHARED})):
        drawn = draw(operations, 1, "a", 1, 16)
        told[name] = best_ms(lambda drawn=drawn: apply(pixels, drawn, (1, "a", "noise")), 5)
    code = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import training; print(training.by_kornia())"
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), peers]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return told | {"kornia": f"skipped: {done.stderr.strip().splitlines()[-1]}; --peers names a folder with it"}
    told["kornia_shared_ms"] = float(done.stdout.split()[-1])
    return told | {"ratio": told["own_shared_ms"] / told["kornia_shared_ms"]}


def by_kornia() -> float:
    """Milliseconds that kornia takes for the operations `SHARED`, one draw for all frames of a clip, on one thread."""
    import kornia.augmentation as peer

    torch.set_num_threads(1)
    clip = torch.rand((1, 16, 3, 112, 112))
    whole = peer.VideoSequential(
        peer.RandomRotation(15.0, p=1.0),
        peer.RandomAffine(0.0, (0.1, 0.1), (0.9, 1.1), 5.0, p=1.0),
        peer.RandomHorizontalFlip(p=1.0),
        peer.ColorJiggle(0.2, 0.2, 0.2, 0.0, p=1.0),
        peer.RandomGaussianBlur((5, 5), (1.0, 1.0), p=1.0),
        peer.RandomGaussianNoise(0.0, 8 / 255, p=1.0),
        peer.RandomErasing((0.06, 0.06), (1.0, 1.0), p=1.0),
        data_format="BTCHW",
        same_on_frame=True,
    )
    whole(clip)
    return best_ms(lambda: whole(clip), 5)


def clips_job(folder: str, seconds: float) -> int:
    """Make the clips of one video; return the peak of this process in bytes."""
    base = Path(folder)
    spec = Spec((SAMPLING,), 1, EVERYTHING, 1)
    out = {"clips": base / "c.parquet", "sources": base / "s.parquet", "notes": base / f"notes-{seconds}"}
    make_shard([("a", str(base / f"{seconds}.mp4"))], spec, base / f"store-{seconds}", **out)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def longer_videos(folder: Path) -> dict[str, Any]:
    """Peak memory of making clips of a video, and of one ten times as long, each in a fresh process."""
    peaks = {}
    for seconds in (6.0, 60.0):
        render(folder / f"{seconds}.mp4", seconds, 640, 360)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
            peaks[seconds] = child.submit(clips_job, str(folder), seconds).result()
    return {"short_bytes": peaks[6.0], "long_bytes": peaks[60.0], "ratio": peaks[60.0] / peaks[6.0]}


def gradients(name: str) -> dict[str, Any]:
    """Relative distance of the gradient by micro-batches from that of the whole batch, float32 and float64."""
    random = np.random.default_rng(0)
    clips = [torch.from_numpy(random.integers(0, 255, (8, 64, 64, 3)).astype(np.uint8)) for _ in range(7)]
    labels, found = torch.tensor([0, 1, 0, 0, 1, 0, 0]), {}

    def gradient(network: Any, micro_batch: int) -> torch.Tensor:
        network.train().zero_grad(set_to_none=True)
        weights = torch.tensor([0.4, 2.5], dtype=next(network.parameters()).dtype)
        accumulate(network, clips, labels, weights, range(7), micro_batch=micro_batch)
        return torch.cat([value.grad.flatten().double() for value in network.parameters() if value.grad is not None])

    for kind in (torch.float32, torch.float64):
        network = build(describe(name, CLASSES, 8, 64), 1).to(kind)
        whole = gradient(network, 7)
        for micro_batch in (1, 2, 4):
            apart = float((gradient(network, micro_batch) - whole).norm() / whole.norm())
            found[f"{str(kind).removeprefix('torch.')} {micro_batch}"] = apart
    return found


def activations(name: str) -> dict[str, Any]:
    """Bytes of living tensors of a step of four clips, simulated: as it is, and with blocks recomputed."""
    network = build(describe(name, CLASSES, 16, 112), 0).eval()
    peaks = []
    for active in (False, True):
        clips = torch.empty(4, 16, 3, 112, 112)
        with simulation(network, clips) as (double, fake), recomputed(double, active=active), LiveBytes() as live:
            functional.cross_entropy(double(fake), torch.tensor([0, 1, 0, 1])).backward()
        peaks.append(live.peak)
    return {"plain_bytes": peaks[0], "recomputed_bytes": peaks[1], "ratio": peaks[1] / peaks[0]}


def forecast(name: str) -> dict[str, Any]:
    """Resident memory of steps at a micro-batch of four, and what the line through one and two says."""
    depends = {
        "network": name,
        "classes": 2,
        "frames": 8,
        "size": 64,
        "norm": "group",
        "precision": "float32",
        "freeze": False,
        "weights": "",
        "recompute": False,
    }
    rss = {each: measure(trial.steps, {"depends": {**depends, "micro_batch": each}}).rss for each in (1, 2, 4)}
    expected = rss[1] + 3 * (rss[2] - rss[1])
    return {"measured_bytes": rss[4], "forecast_bytes": expected, "error": expected / rss[4] - 1}


def main() -> None:
    """Measure everything, print it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--peers", default="", help="a folder in which kornia is installed (pip install --target)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        found["store"] = store_against_decode(Path(folder))
        found["longer_videos"] = longer_videos(Path(folder))
    found["augmentation"] = augmentation(given.peers)
    for part in (gradients, activations, forecast):
        found[part.__name__] = {name: part(name) for name in NETWORKS}
    write_json(given.out, found)
    for name, value in found.items():
        print(name, value)


if __name__ == "__main__":
    main()
