"""Which way to a gradient, and how many frames at a time, the plan chooses for GPUs of 24, 16, 8, 4 and 2 GB.

    PYTHONPATH=workflow python benchmarks/tiers.py

Nothing is computed: models of the published sizes are simulated with fake tensors, and what a GPU's allocator would
reserve is found by following its rules. No GPU was at hand to measure it. Writes ``benchmarks/results/tiers.json`` and
prints a table.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forecast_gradients import LABELS, VitModel

from longtake.gradients import workload
from longtake.gradients.cases import Resident, Seen
from longtake.gradients.options import Options
from longtake.gradients.resident import parameter_bytes
from longtake.gradients.simulation import simulated
from longtake.models import load_model
from longtake.planning.choice import Terms, choose
from longtake.planning.classes import GpuClass
from longtake.planning.driver import forecasts

RESULT = Path(__file__).resolve().parent / "results" / "tiers.json"
TIERS = (24, 16, 8, 4, 2)
MARGIN = 1.2
GIB = 2**30


def main() -> None:
    rows = []
    for name, model, frames in models():
        rows += list(tiers(name, model, frames))
        print(*(line(row) for row in rows[-len(TIERS) :]), sep="\n", flush=True)
        found = {
            "what": "the way and the chunk that are chosen for a GPU, by simulation; unmeasured",
            "date": datetime.now(UTC).date().isoformat(),
            "margin": MARGIN,
            "rows": rows,
        }
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(found, indent=2) + "\n")


def models() -> Any:
    """Name, model, frames of a clip; of 224 pixels."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    with tempfile.TemporaryDirectory() as folder:
        VideoMAEForVideoClassification(VideoMAEConfig(id2label=LABELS)).save_pretrained(folder)
        yield "VideoMAE-base", load_model(folder), 16
    for name, width, depth in (("ViT-S", 384, 12), ("ViT-L", 1024, 24)):
        yield f"{name} on each frame", VitModel("cpu", side=224, width=width, depth=depth), 31


def tiers(name: str, model: Any, frames: int) -> Any:
    given = Options(max_frames=frames, clips="even")
    size = model.input_size(1080, 1920)
    clips = simulated(model, size, given)
    held = Resident(base=0, parameters=parameter_bytes(model.module), loading=0, seconds_per_frame=0.0)
    facts = {"video": "reef", "height": 1080, "width": 1920}
    found = workload.ways(clips, facts, Seen(1), given, held.parameters)
    pairs = (forecasts("gradients", way, way.footprint, workload.probe_of(held)) for way in found)
    needs = [gpu for _, gpu in pairs]
    for memory in TIERS:
        wanted = GpuClass(f"{memory} GB", memory)
        choice = choose(needs, [wanted], Terms(MARGIN), {})
        chosen = choice.need.forecast
        yield {
            "model": name,
            "frames": frames,
            "gpu_gb": memory,
            "way": chosen.way,
            "chunk": chosen.chunk,
            "forecast_gb": round(sum(chosen.gpu.values()) / GIB, 2),
            "fits": choice.need.gpu_mb <= wanted.usable_mb,
            "plain_gb": round(sum(needs[0].gpu.values()) / GIB, 2),
        }


def line(row: dict[str, Any]) -> str:
    fits = "" if row["fits"] else "  (does not fit; steps down)"
    chosen = f"{row['way']:<28}{row['chunk']:>4} frames{row['forecast_gb']:>8.2f} GB, plain {row['plain_gb']:.2f}{fits}"
    return f"{row['model']:<22}{row['frames']:>3}{row['gpu_gb']:>5} GB  {chosen}"


if __name__ == "__main__":
    main()
