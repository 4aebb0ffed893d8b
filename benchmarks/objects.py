"""Frames a second against the number of objects: the library's loop, and longtake's batches of objects.

    PYTHONPATH=workflow python benchmarks/objects.py [--objects 1 8 50] [--batches 1 8 50] [--frames 6]

All sessions live at once and take the same frame one after the other, so that whatever else the machine does meets all
alike; times are of the process's CPU, on one thread, after as many frames as the longest memory is long. The library's
loop is a stock session of ``transformers``; batch 1 is the same loop in longtake's bounded session. Writes
``benchmarks/results/objects.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import Sam2VideoInferenceSession

from longtake.annotate.geometry import ModelPrompt
from longtake.annotate.session import BoundedSession, track
from longtake.annotate.tracker import load_tracker

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "workflow" / "models" / "sam2-pond"
RESULT = ROOT / "benchmarks" / "results" / "objects.json"
STOCK = "stock loop"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "what": "frames a second against the number of objects",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "threads": 1, "device": given.device, "load": os.getloadavg()[0]},
        "model": "workflow/models/sam2-pond" if given.model == MODEL else str(given.model),
        "frames": given.frames,
        "runs": [row for count in given.objects for row in measure(given, count)],
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    show(found)


def measure(given: argparse.Namespace, count: int) -> list[dict[str, Any]]:
    """Every way with `count` objects, interleaved frame by frame."""
    trackers = {size: load_tracker(given.model, given.device, object_batch=size) for size in given.batches}
    plain = load_tracker(given.model, given.device)
    side, warm = plain.preprocessing.image_size, plain.model.config.max_object_pointers_in_encoder + 1
    frames = moving(warm + given.frames, side).to(plain.device)
    prompts = {f"object {place}": box(place, count, side) for place in range(count)}
    stock = Sam2VideoInferenceSession(
        video=frames, video_height=side, video_width=side, dtype=torch.float32,
        inference_device=plain.device, inference_state_device=plain.device, video_storage_device=plain.device,
    )  # fmt: skip
    for name, each in prompts.items():
        inputs = {"point_coords": each.points[None, None], "point_labels": each.labels[None, None]}
        stock.add_point_inputs(stock.obj_id_to_idx(name), 0, inputs)
    stock.obj_with_new_inputs = list(prompts)
    sessions = {size: BoundedSession(tracker, len(frames)) for size, tracker in trackers.items()}
    spent: dict[int | str, float] = dict.fromkeys([STOCK, *trackers], 0.0)
    worst = dict.fromkeys(trackers, 0.0)
    for at, pixels in enumerate(frames):
        began = clock(plain.device)
        truth = plain.model(stock, frame_idx=at).pred_masks[:, 0].float().cpu()
        spent[STOCK] += (clock(plain.device) - began) * (at >= warm)
        for size, tracker in trackers.items():
            began = clock(plain.device)
            drawn = track(tracker, sessions[size], at, pixels, {} if at else prompts)
            spent[size] += (clock(plain.device) - began) * (at >= warm)
            logits = torch.stack([torch.from_numpy(each.logits) for each in drawn.values()])
            worst[size] = max(worst[size], (logits - truth).abs().max().item())
    return [
        {
            "objects": count,
            "way": way if way == STOCK else f"batch {way}",
            "frames_per_s": given.frames / spent[way],
            "of_stock": spent[STOCK] / spent[way],
            "largest_difference": worst.get(way, 0.0),
        }
        for way in spent
    ]


def clock(device: torch.device) -> float:
    """CPU seconds of this process; on a GPU, where work goes on by itself, seconds on the wall after it is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def moving(count: int, side: int) -> torch.Tensor:
    """Frames that change all the time, (count, 3, side, side) float32."""
    steps = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return steps.cumsum(0) / torch.arange(1, count + 1).sqrt().view(-1, 1, 1, 1)


def box(place: int, count: int, side: int) -> ModelPrompt:
    """A box of a quarter of the square, each object's a little further on."""
    at = 0.7 * side * place / count
    corners = torch.tensor([[at, at], [at + side / 4, at + side / 4]])
    return ModelPrompt(corners, torch.tensor([2, 3], dtype=torch.int32))


def show(found: dict[str, Any]) -> None:
    print(f"{found['model']}, {found['machine']['device']}, {found['date']}")
    print(f"{'objects':>8}  {'way':<12}{'frames/s':>10}{'of stock':>10}  largest difference of a logit")
    for row in found["runs"]:
        figures = f"{row['frames_per_s']:>10.2f}{row['of_stock']:>10.2f}"
        print(f"{row['objects']:>8}  {row['way']:<12}{figures}  {row['largest_difference']:g}")


if __name__ == "__main__":
    main()
