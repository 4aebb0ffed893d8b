"""What giving freed memory back saves of a tracker's peak on a CPU: `longtake.memory.cleaning`, measured.

    PYTHONPATH=workflow python benchmarks/heap.py

Two objects in frames of noise, tracked by a SAM 2 with random weights at 1024 px, in a process of its own for each way:
never given back, after each frame from the second on, and from the process's start on. Needs 2 GB and some minutes;
writes benchmarks/results/heap.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "heap.json"
WAYS = ("never", "after each frame", "from the start")
FRAMES = 5


def track_frames(way: str) -> list[dict[str, float]]:
    """Track in this process; MiB resident before, at most within, and after each frame, and its CPU seconds."""
    import psutil
    import torch
    from transformers import Sam2VideoConfig, Sam2VideoModel

    from longtake.annotate.geometry import ModelPrompt, Preprocessing
    from longtake.annotate.session import BoundedSession, track
    from longtake.annotate.tracker import Tracker
    from longtake.memory.cleaning import give_back_freed
    from longtake.memory.meter import recent_peaks, restart_peaks

    torch.set_num_threads(1)
    if way == WAYS[2]:
        give_back_freed()
    torch.manual_seed(0)
    model = Sam2VideoModel(Sam2VideoConfig()).eval()
    colours = Preprocessing(1024, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    tracker = Tracker(model, colours, "random", torch.device("cpu"), "float32")
    session, told = BoundedSession(tracker, FRAMES), []
    corners, labels = torch.tensor([[100.0, 100.0], [300.0, 300.0]]), torch.tensor([2, 3], dtype=torch.int32)
    for frame in range(FRAMES):
        pixels = torch.randn(3, 1024, 1024)
        restart_peaks()
        began = time.process_time()
        track(tracker, session, frame, pixels, {} if frame else {"a": ModelPrompt(corners, labels, None),
              "b": ModelPrompt(corners + 5, labels, None)})  # fmt: skip
        spent, peak, left = time.process_time() - began, recent_peaks()[0], psutil.Process().memory_info().rss / 2**20
        if way == WAYS[1] and frame > 0:
            give_back_freed()
        after = psutil.Process().memory_info().rss / 2**20
        told.append({name: round(value, 1) for name, value in
                     {"peak_mb": peak, "left_mb": left, "after_mb": after, "cpu_s": spent}.items()})  # fmt: skip
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS)
    way = parser.parse_args().way
    if way:
        print(json.dumps(track_frames(way)))
        return
    environment = os.environ | {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    found: dict[str, Any] = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
        steady = found[way][2:]
        peak, cpu = max(each["peak_mb"] for each in steady), sum(each["cpu_s"] for each in steady)
        print(f"{way}: peak {peak:.0f} MiB, between frames {steady[-1]['after_mb']:.0f}, {cpu:.1f} CPU s", flush=True)
    about = {"date": datetime.date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    OUT.write_text(json.dumps(about | {"frames": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
