"""Gradient of a score with respect to 31 frames: longtake's ways beside what else is done.

    PYTHONPATH=workflow python benchmarks/gradients.py [--frames 31] [--depth 12] [--rows split plain ...]

The model is a vision transformer of ViT-S's size (the ``transformers`` class, random weights) on each frame of 224 px,
and one layer of attention over the frames' features. Each row is a process of its own, on one thread, so that its peak
is its own. The distance is to the gradient of plain back-propagation in float64. captum's row needs
``pip install --no-deps captum``. Writes ``benchmarks/results/gradients.json`` and prints a table. With a GPU the same
rows run there, and the peak that its allocator saw is written as well.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host import cpu, versions

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gradients.json"
PIXELS = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=31)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--keep", action="store_true", help="keep the rows of the last run that are not asked for")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments)))
        return
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for rows in compare(arguments, Path(temporary)):  # written after each: a long run may be cut short
            found = result(arguments, rows)
            RESULT.write_text(json.dumps(found, indent=2) + "\n")
    show(found)


def compare(arguments: argparse.Namespace, temporary: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Rows so far, after each."""
    import numpy as np

    rows: dict[str, dict[str, Any]] = {}
    if arguments.keep and RESULT.is_file():
        before = json.loads(RESULT.read_text())
        if (before["frames"], before["depth"]) == (arguments.frames, arguments.depth):
            rows = before["rows"]
    truth = None
    for name in dict.fromkeys(["truth", "frozen", *arguments.rows]):
        row = rows[name] = start(name, arguments, temporary / "gradient.npy")
        if "skipped" not in row:
            gradient = np.load(temporary / "gradient.npy").astype(np.float64).ravel()
            truth = gradient if truth is None else truth
            row["max_error"] = float(np.abs(gradient - truth).max() / np.abs(truth).max())
            row["cosine"] = float(gradient @ truth / np.linalg.norm(gradient) / np.linalg.norm(truth))
            if "frozen" in rows:
                row["rss_of_plain"] = round(row["rss_mb"] / rows["frozen"]["rss_mb"], 4)
                row["cpu_of_plain"] = round(row["cpu_s"] / rows["frozen"]["cpu_s"], 3)
        print(name, row, file=sys.stderr, flush=True)
        yield rows


def result(arguments: argparse.Namespace, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    import torch

    return {
        "what": f"gradient of one score with respect to {arguments.frames} frames of {PIXELS} px, ViT-S-like encoder "
        f"of {arguments.depth} layers and attention over frames, float32",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "load_at_end": round(os.getloadavg()[0], 1)},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions("torch", "transformers", "numpy", "captum"),
        "frames": arguments.frames,
        "depth": arguments.depth,
        "labels": {name: label for name, (label, _) in ROWS.items()},
        "rows": rows,
    }


def start(name: str, arguments: argparse.Namespace, out: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, "--out", str(out)]
    command += ["--frames", str(arguments.frames), "--depth", str(arguments.depth)]
    path = os.pathsep.join(filter(None, [str(ROOT / "workflow"), os.environ.get("PYTHONPATH")]))
    # Large blocks go back to the system when they are freed, so that RSS is what is in use and not what the heap keeps.
    heap = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
    environment = os.environ | heap | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, frames = make(arguments.frames, arguments.depth, device)
    frozen(model, frames[:1])  # what libraries load and make once
    model.requires_grad_(True)
    gradient, record = ROWS[arguments.child][1](model, frames)
    np.save(arguments.out, gradient.detach().cpu().numpy() if gradient is not None else np.zeros(1))
    return record


def make(n_frames: int, depth: int, device: str) -> tuple[Any, Any]:
    import torch
    from torch import nn
    from transformers import ViTConfig, ViTModel

    class Video(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shape = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
            self.vit = ViTModel(ViTConfig(num_hidden_layers=depth, **shape), add_pooling_layer=False)
            self.time = nn.TransformerEncoderLayer(384, 6, 1536, dropout=0.0, batch_first=True)
            self.out = nn.Linear(384, 10)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return self.head(self.encode(frames))

        scores = forward

        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            return self.vit(2 * frames - 1).last_hidden_state[:, 0]

        def head(self, features: torch.Tensor) -> torch.Tensor:
            return self.out(self.time(features[None])[0].mean(0))

    torch.manual_seed(0)
    return Video().eval().to(device), torch.rand(n_frames, 3, PIXELS, PIXELS).to(device)


def score(scores: Any) -> Any:
    return scores[3]


class Measured:
    """Peak RSS above the start, CPU seconds, and the GPU allocator's peak, of the block."""

    def __enter__(self) -> Measured:
        import torch

        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not be had for nothing
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew here
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.gpu = torch.cuda.memory_allocated()
        self.rss, self.cpu, self.wall = status("VmRSS"), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self.gpu = torch.cuda.max_memory_allocated() - self.gpu
        self.record = {
            "rss_mb": round(status("VmHWM") - self.rss, 1),
            "cpu_s": round(time.process_time() - self.cpu, 2),
            "wall_s": round(time.perf_counter() - self.wall, 2),
        }
        if torch.cuda.is_available():
            self.record["gpu_mb"] = round(self.gpu / 2**20, 1)


def plain(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    """As usually written: the parameters collect gradients too."""
    with Measured() as measured:
        leaf = frames.clone().requires_grad_()
        score(model(leaf)).backward()
    return leaf.grad, measured.record


def frozen(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    import torch

    model.requires_grad_(False)
    with Measured() as measured:
        leaf = frames.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(model(leaf)), leaf)
    return gradient, measured.record


def truth(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    return frozen(model.double(), frames.double())


def checkpointing(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    """The library's switch, in eval mode as for an analysis."""
    model.vit.gradient_checkpointing_enable()
    return frozen(model, frames)


def checkpointing_in_training(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    """The same in training mode, which this model can bear: its dropout is 0."""
    model.vit.train()
    return checkpointing(model, frames)


def captum(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    """Saliency of a clip as one example of a batch."""
    try:
        from captum.attr import Saliency
    except ImportError:
        return None, {"skipped": "captum is not installed"}
    model.requires_grad_(False)
    with Measured() as measured:
        saliency = Saliency(lambda clip: model(clip[0])[None])
        gradient = saliency.attribute(frames[None].clone().requires_grad_(), target=3, abs=False)
    return gradient[0], measured.record


def separate_chunks(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
    """Gradients of eight frames at a time, each by itself: another function's."""
    import torch

    model.requires_grad_(False)
    parts = []
    with Measured() as measured:
        for first in range(0, len(frames), 8):
            leaf = frames[first : first + 8].clone().requires_grad_()
            parts.append(torch.autograd.grad(score(model(leaf)), leaf)[0])
        gradient = torch.cat(parts)
    return gradient, measured.record


def split(chunk_size: int) -> Callable[..., tuple[Any, dict[str, Any]]]:
    def row(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
        from longtake.bounded.run import Way

        return ours(model, frames, way=Way(chunk_size=chunk_size))

    return row


def budget(part: float) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Any module: without the help of encode and head, within a part of what plain back-propagation would take."""

    def row(model: Any, frames: Any) -> tuple[Any, dict[str, Any]]:
        from torch import nn

        from longtake.bounded.guard import frozen as held
        from longtake.bounded.planning import plan, simulate
        from longtake.bounded.run import Way
        from longtake.errors import BudgetError

        whole = nn.Sequential(model).eval()
        with held(whole):
            simulate(whole, frames[:1], score, Way())  # loads what torch needs for it: code, and no tensors
        with Measured() as planning:
            with held(whole):
                limit = int(part * simulate(whole, frames, score, Way()).peak)
            try:
                way = plan(whole, frames, score, budget=limit)
            except BudgetError as error:
                return None, {"skipped": str(error)}
        gradient, record = ours(whole, frames, way=way)
        parts = {"run_rss_mb": record["rss_mb"], "planning_rss_mb": planning.record["rss_mb"]}
        record["rss_mb"] = max(parts.values())
        return gradient, record | parts | {"planning_cpu_s": planning.record["cpu_s"]}

    return row


def ours(model: Any, frames: Any, *, way: Any) -> tuple[Any, dict[str, Any]]:
    from longtake.bounded import gradient

    with Measured() as measured:
        found = gradient(model, frames, score, way=way, measure=False)
    record = measured.record | {"way": found.way.name}
    if found.way.predicted_bytes is not None:
        record["predicted_mb"] = round(found.way.predicted_bytes / 2**20, 1)
    return found.gradient, record


ROWS: dict[str, tuple[str, Callable[..., tuple[Any, dict[str, Any]]]]] = {
    "truth": ("plain back-propagation in float64, the truth", truth),
    "frozen": ("plain back-propagation, parameters frozen", frozen),
    "split-1": ("**longtake**, encode and head, 1 frame at a time", split(1)),
    "any-10": ("**longtake**, any module, within 10 %", budget(0.10)),
    "plain": ("plain back-propagation, as usually written", plain),
    "separate": ("8 frames at a time, each chunk by itself", separate_chunks),
    "checkpointing": ("transformers' gradient checkpointing, eval mode", checkpointing),
    "captum": ("captum Saliency", captum),
    "split-8": ("**longtake**, encode and head, 8 frames at a time", split(8)),
    "any-25": ("**longtake**, any module, within 25 %", budget(0.25)),
    "checkpointing-train": ("transformers' gradient checkpointing, training mode", checkpointing_in_training),
}


def status(key: str) -> float:
    """MiB, of this program alone."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) / 1024


def show(found: dict[str, Any]) -> None:
    print(f"{found['what']}; {found['date']}, {found['machine']['cores']} x {found['machine']['cpu']}")
    print(f"{'way':<56}{'RSS MB':>8}{'of plain':>10}{'CPU s':>8}{'of plain':>10}{'max error':>11}{'cosine':>9}")
    for name, row in found["rows"].items():
        label = found["labels"][name].replace("**", "")
        if "skipped" in row:
            print(f"{label:<56}{row['skipped']}")
            continue
        ratios = row.get("rss_of_plain", 0), row.get("cpu_of_plain", 0)
        figures = f"{row['rss_mb']:>8.0f}{ratios[0]:>10.3f}{row['cpu_s']:>8.1f}{ratios[1]:>10.2f}"
        print(f"{label:<56}{figures}{row['max_error']:>11.1e}{row['cosine']:>9.4f}  {row.get('way', '')}")


if __name__ == "__main__":
    main()
