"""Forecasts of memory against what jobs then took: models x ways, each job a supervised child of a fresh process.

    PYTHONPATH=workflow python benchmarks/forecast.py [--only annotate gradients] [--cases TEXT ...]

Every job is measured as the workflow measures it (peak resident memory of the child that the ladder supervises), after
its forecast was made. Writes ``benchmarks/results/forecast.json`` and prints a table. Random weights are of the
published classes with few channels, so that frames of 1024 px run on a small machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from forecast_gradients import gradients
from host import cpu, versions

os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # as rules/common.smk sets it for jobs
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
POND = ROOT / "workflow" / "models" / "sam2-pond"
RESULT = ROOT / "benchmarks" / "results" / "forecast.json"
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """A window job: the model, how many objects, how many at a time, the pass, the video, and how many frames of it."""

    model: str
    objects: int
    chunk: int = 1
    direction: str = "forward"
    size: tuple[int, int] = (512, 288)
    frames: int = 20

    @property
    def name(self) -> str:
        parts = [self.model, f"{self.objects} objects", f"{self.chunk} at a time", self.direction]
        return ", ".join([*parts, "x".join(map(str, self.size))])


ANNOTATE = [
    *(Case("sam2-pond", objects) for objects in (1, 2, 4, 8)),
    *(Case("sam2-pond", objects, 4) for objects in (2, 4, 8)),
    Case("sam2-pond", 1, direction="backward", frames=60),
    Case("sam2-pond", 4, 4, direction="backward", frames=60),
    Case("sam2-pond", 4, 4, size=(1280, 720)),
    Case("sam2-pond", 4, 4, size=(1920, 1080)),
    Case("sam2-512", 1),
    Case("sam2-512", 4),
    Case("sam2-512", 4, 4),
    Case("sam2-512", 8, 4),
    Case("sam2-1024", 1, frames=12),
    Case("sam2-1024", 2, frames=12),
    Case("sam2-1024", 4, 4, frames=12),
    Case("edgetam-256", 1),
    Case("edgetam-256", 4, 4),
    Case("edgetam-512", 2),
    Case("sam3-256", 1),
    Case("sam3-256", 4, 4),
    Case("sam3-512", 2),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=["annotate", "gradients"], default=["annotate", "gradients"])
    parser.add_argument("--cases", nargs="*", default=[""], help="parts of the names of the cases to run")
    parser.add_argument("--keep", action="store_true", help="keep the rows of the last run that are not run again")
    arguments = parser.parse_args()
    rows = {row["case"]: row for row in json.loads(RESULT.read_text())["rows"]} if arguments.keep else {}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        cases = [case for case in ANNOTATE if any(part in case.name for part in arguments.cases)]
        found = annotate(cases, Path(temporary)) if "annotate" in arguments.only else iter(())
        if "gradients" in arguments.only:
            found = chain(found, gradients(arguments.cases, Path(temporary)))
        for row in found:
            rows[row["case"]] = row
            RESULT.write_text(json.dumps(result(list(rows.values())), indent=2) + "\n")  # a long run may be cut short
            print(line(row), flush=True)
    show(result(list(rows.values())))


def line(row: dict[str, Any]) -> str:
    return f"{row['case']:<70}{row['forecast_mb']:>9.0f}{row['measured_mb']:>9.0f}{100 * row['error']:>8.1f} %"


def annotate(cases: list[Case], folder: Path) -> Iterator[dict[str, Any]]:
    from longtake.annotate.window import annotate_window
    from longtake.planning.calibrate import measure

    for case in cases:
        model, video = model_folder(case.model, folder), video_folder(case, folder)
        forecast = forecast_of(case, model, folder)
        record = measure(annotate_window, job(case, model, video, folder))
        measured = record.rss / MIB
        predicted = sum(forecast.host.values()) / MIB
        yield {
            "step": "annotate",
            "case": case.name,
            **asdict(case),
            "forecast_mb": round(predicted, 1),
            "measured_mb": round(measured, 1),
            "error": round(predicted / measured - 1, 4),
            "owners_mb": {owner: round(nbytes / MIB, 1) for owner, nbytes in forecast.host.items()},
            "source": forecast.source,
        }


def forecast_of(case: Case, model: Path, folder: Path) -> Any:
    from longtake.media.index_file import load_index
    from longtake.media.probe import probe_video
    from longtake.planning.driver import Ask, forecast
    from longtake.planning.forecast import read_forecasts
    from longtake.unit import Study

    video = video_folder(case, folder)
    index = load_index(video / "index.parquet", video / "video.mp4")
    summary = folder / "summary.json"
    summary.write_text(json.dumps({"video": "waves", **probe_video(video / "video.mp4", index)}))
    options = {"scale": 0.5, "object_batch": case.chunk, "max_conditioning_frames": None, "direction": case.direction}
    table = folder / "forecast.tsv"
    facts = {"objects": {"waves": case.objects}, "prompted": {}, "model": str(model), "options": options}
    forecast("annotate", Ask(Study(folder, facts), [summary]), force_cpu=True, out=table)
    return read_forecasts(table)[0]


def job(case: Case, model: Path, video: Path, folder: Path) -> dict[str, Any]:
    from longtake.media.windows import Window

    return {
        "video_path": video / "video.mp4",
        "index_path": video / "index.parquet",
        "window": Window("waves", 0, 0, case.frames, 0, case.frames, 0.0, case.frames / 20),
        "prompts": prompts(case),
        "model_dir": model,
        "scale": 0.5,
        "frame_interval": 1,
        "state_in": None,
        "detections_out": folder / "detections.parquet",
        "state_out": folder / "state.safetensors",
        "direction": case.direction,
        "object_batch": case.chunk,
    }


def prompts(case: Case) -> list[Any]:
    """Boxes on a square grid, all on the first frame of the pass."""
    from longtake.annotate.sheet import Prompt

    side = int(case.objects**0.5 + 0.999)
    width, height = case.size
    radius = min(case.size) / side / 3
    frame = 0 if case.direction == "forward" else case.frames - 1
    found = []
    for number in range(case.objects):
        x, y = (number % side + 0.5) * width / side, (number // side + 0.5) * height / side
        box = (x - radius, y - radius, x + radius, y + radius)
        found.append(Prompt(number + 2, "waves", f"object {number}", "wave", frame, None, *box, None))
    return found


def video_folder(case: Case, folder: Path) -> Path:
    """Waves that never stand still, 60 frames of them."""
    import numpy as np

    from longtake.media.index import index_video
    from longtake.media.index_file import save_index
    from longtake.media.writer import write_video

    width, height = case.size
    made = folder / f"{width}x{height}"
    if made.is_dir():
        return made
    made.mkdir()
    y, x = np.mgrid[:height, :width].astype(np.float32)

    def draw(number: int) -> Any:
        waves = 90 + 40 * np.sin(x / 17 + y / 31 + number / 9), 110 + 30 * np.cos(y / 11 - number / 7)
        return np.stack([*waves, 120 + 10 * np.sin(x / 5 + number / 3)], axis=-1).astype(np.uint8)

    drawn = ((number, draw(number)) for number in range(60))
    write_video(made / "video.mp4", drawn, time_base=Fraction(1, 20), width=width, height=height)
    save_index(index_video(made / "video.mp4"), made / "index.parquet")
    return made


def model_folder(name: str, folder: Path) -> Path:
    """The embedded model, or random weights of a family for frames of so many pixels."""
    import torch
    import transformers

    if name == "sam2-pond":
        return POND
    made = folder / name
    if made.is_dir():
        return made
    prefix, side = name.split("-")
    family = {"sam2": "Sam2Video", "edgetam": "EdgeTamVideo", "sam3": "Sam3TrackerVideo"}[prefix]
    config = getattr(transformers, f"{family}Config")(**configuration(prefix, int(side)))
    config.image_size = int(side)  # SAM 3's sets the sizes of its parts by this
    torch.manual_seed(0)
    getattr(transformers, f"{family}Model")(config).save_pretrained(made)
    return made


def configuration(prefix: str, side: int) -> dict[str, Any]:
    """Few channels and layers at the full number of pixels."""
    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [side, side],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
    }
    vit = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": side,
    }
    sizes = {
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
    }
    eyes = {"model_type": "sam2_vision_model", "backbone_config": hiera, **sizes, "fpn_hidden_size": 128}
    if prefix == "sam3":
        eyes = {"model_type": "sam3_vision_model", "backbone_config": vit, "fpn_hidden_size": 128}
    decoder = {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    whole = {
        "image_size": side,
        "vision_config": eyes,
        "prompt_encoder_config": {"hidden_size": 128, "image_size": side, "patch_size": 16},
        "mask_decoder_config": decoder,
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 2,
        "memory_attention_rope_feat_sizes": [side // 16] * 2,
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 32,
    }
    if prefix != "edgetam":
        return whole | {"memory_attention_feed_forward_hidden_size": 32}
    latents = ("num_latents", "num_latents_2d")
    return (
        whole
        | {"memory_attention_mlp_hidden_size": 32, "memory_attention_rope_k_sizes": [2, 2]}
        | {f"perceiver_resampler_{name}": 4 for name in latents}
        | {"perceiver_resampler_mlp_intermediate_size": 32, "perceiver_resampler_num_layers": 1}
    )


def result(rows: list[dict[str, Any]]) -> dict[str, Any]:
    within = sum(abs(row["error"]) <= 0.05 for row in rows) / len(rows)
    return {
        "what": "forecast against measured peak of resident memory",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "load_at_end": round(os.getloadavg()[0], 1)},
        "versions": versions("torch"),
        "rows": rows,
        "within_5_percent": round(within, 4),
        "worst_low": min(row["error"] for row in rows),
        "worst_high": max(row["error"] for row in rows),
    }


def show(found: dict[str, Any]) -> None:
    print(f"{found['what']}; {found['date']}, {found['machine']['cores']} x {found['machine']['cpu']}")
    print(f"{'case':<70}{'forecast':>9}{'measured':>9}{'error':>9}")
    for row in found["rows"]:
        print(line(row))
    print(
        f"within 5 %: {found['within_5_percent']:.0%}; lowest {found['worst_low']:+.1%}, "
        f"highest {found['worst_high']:+.1%}"
    )


if __name__ == "__main__":
    main()
