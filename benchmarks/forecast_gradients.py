"""Windows of gradients whose memory is forecast and then measured; `benchmarks/forecast.py` runs them.

Models are of the published classes with random weights, smaller than the published ones but not in kind. Each way that
the forecast offers for a model is a case: its bytes are granted and no more, so that the job takes this way.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
POND = HERE.parent / "workflow" / "models" / "clip31-pond"
MIB = 2**20
LABELS = {0: "cod", 1: "eel", 2: "ray"}


@dataclass(frozen=True)
class Model:
    """A model: its class in transformers and its configuration, or a name that `folder_of` knows; frames of a clip."""

    name: str
    frames: int
    library: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)


WIDE = {"hidden_size": 256, "num_attention_heads": 4, "num_hidden_layers": 6, "intermediate_size": 1024}
SWIN = {
    "model_type": "swin",
    "image_size": 128,
    "embed_dim": 32,
    "depths": [1, 1, 2, 1],
    "num_heads": [1, 2, 4, 8],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
QUERIES = {"encoder_layers": 2, "decoder_layers": 3, "num_attention_heads": 4, "num_queries": 20}
PYRAMID = {"feature_size": 64, "mask_feature_size": 64, "hidden_dim": 64, "encoder_feedforward_dim": 128}
MODELS = [
    Model("clip31-pond", 31),
    Model("ViT, 112 px", 31),
    Model(
        "VideoMAE, 112 px",
        16,
        "VideoMAEForVideoClassification",
        WIDE | {"image_size": 112, "patch_size": 16, "num_frames": 16},
    ),
    Model(
        "TimeSformer, 112 px",
        8,
        "TimesformerForVideoClassification",
        WIDE | {"image_size": 112, "patch_size": 16, "num_frames": 8},
    ),
    Model(
        "VidEoMT, 112 px",
        16,
        "VideomtForUniversalSegmentation",
        WIDE | {"num_blocks": 2, "image_size": 112, "patch_size": 16, "num_queries": 50},
    ),
    Model(
        "Mask2Former, 128 px",
        8,
        "Mask2FormerForUniversalSegmentation",
        QUERIES | PYRAMID | {"dim_feedforward": 128, "backbone_config": SWIN},
        {"size": {"shortest_edge": 128, "longest_edge": 256}, "size_divisor": 32},
    ),
]


class VitModel:
    """A vision transformer on each frame of 31, attention over frames: for models that split."""

    class_names, n_frames = tuple(LABELS.values()), 31

    def __init__(self, device: Any, side: int = 112, width: int = 384, depth: int = 6) -> None:
        import torch
        from transformers import ViTConfig, ViTModel

        heads, inner = width // 64, 4 * width
        shape = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner}
        parts = {
            "vit": ViTModel(ViTConfig(image_size=side, num_hidden_layers=depth, **shape), add_pooling_layer=False),
            "time": torch.nn.TransformerEncoderLayer(width, heads, inner, dropout=0.0, batch_first=True),
            "out": torch.nn.Linear(width, len(LABELS)),
        }
        self.side = side
        self.module = torch.nn.ModuleDict(parts).eval().to(device)

    def input_size(self, *_: int) -> tuple[int, int]:
        return self.side, self.side

    def scores(self, frames: Any) -> Any:
        return self.head(self.encode(frames))

    def encode(self, frames: Any) -> Any:
        return self.module["vit"](2 * frames - 1).last_hidden_state[:, 0]

    def head(self, features: Any) -> Any:
        return self.module["out"](self.module["time"](features[None])[0].mean(0))


def gradients(parts: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of forecast and measurement of models with one of `parts` in the name."""
    from longtake.gradients.window import analyse_window
    from longtake.planning.calibrate import measure

    sys.path.append(str(HERE))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    for model in MODELS:
        if not any(part in model.name for part in parts):
            continue
        spec, video = folder_of(model, folder), pond(folder)
        for forecast, granted in forecasts(model, spec):
            limits = {"memory_gb": granted, "chunk_size": forecast.chunk}
            measured = measure(analyse_window, job(options(model, spec, **limits), video, folder))
            predicted = sum(forecast.host.values())
            yield {
                "step": "gradients",
                "case": f"{model.name}, {forecast.way}, {forecast.chunk} frames at a time",
                "model": model.name,
                "chunk": forecast.chunk,
                "way": forecast.way,
                "frames": model.frames,
                "forecast_mb": round(predicted / MIB, 1),
                "measured_mb": round(measured.rss / MIB, 1),
                "error": round(predicted / measured.rss - 1, 4),
                "owners_mb": {owner: round(nbytes / MIB, 1) for owner, nbytes in forecast.host.items()},
                "source": forecast.source,
                "job": {name: value for name, value in measured.result.items() if name.startswith("gradient_")},
            }


def options(model: Model, spec: str, **others: Any) -> Any:
    from longtake.gradients.options import Options

    few = {"clips": "even", "region": "frame", "clips_per_window": 1, "perturbations": ["static"], "short_windows": 0}
    return Options(model=spec, max_frames=model.frames, permutations=100, **few, **others)


def forecasts(model: Model, spec: str) -> Iterator[tuple[Any, float]]:
    """Each forecast on the CPU, and the GiB of tensors to grant so that this way is taken."""
    from longtake.gradients import workload
    from longtake.gradients.cases import Seen
    from longtake.gradients.resident import resident
    from longtake.gradients.simulation import simulated
    from longtake.models import load_model
    from longtake.planning.driver import forecasts as rows_of

    given, loaded = options(model, spec), load_model(spec)
    clips = simulated(loaded, loaded.input_size(288, 512), given)
    facts = {"video": "pond", "height": 288, "width": 512}
    held = resident(given)
    found = workload.ways(clips, facts, Seen(1), given, held.parameters)
    for way, each in zip(found, clips.ways, strict=True):
        cpu, _ = rows_of("gradients", way, way.footprint, workload.probe_of(held))
        yield cpu, (each.peak + 1) / 2**30


def job(options: Any, video: Path, folder: Path) -> dict[str, Any]:
    from longtake.media.windows import Window

    return {
        "video_path": video / "video.mp4",
        "index_path": video / "index.parquet",
        "window": Window("pond", 0, 0, 60, 0, 60, 0.0, 3.0),
        "detections_path": "",
        "species": "eel",
        "options": options,
        "seed": 1,
        **{f"{name}_out": folder / name for name in ("curves", "clips", "maps", "perturbations")},
    }


def folder_of(model: Model, folder: Path) -> str:
    import torch
    import transformers

    if model.name == "clip31-pond":
        return str(POND)
    if not model.library:
        return "forecast_gradients:VitModel"
    made = folder / model.name.partition(",")[0]
    if not made.is_dir():
        kind = getattr(transformers, model.library)
        torch.manual_seed(0)
        kind(kind.config_class.from_dict({**model.config, "id2label": LABELS})).save_pretrained(made)
        processor = {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255, **model.processor}
        text = json.dumps(processor | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
        (made / "preprocessor_config.json").write_text(text)
    return str(made)


def pond(folder: Path) -> Path:
    """Sixty frames of waves."""
    import numpy as np

    from longtake.media.index import index_video
    from longtake.media.index_file import save_index
    from longtake.media.writer import write_video

    made = folder / "pond"
    if made.is_dir():
        return made
    made.mkdir()
    y, x = np.mgrid[:288, :512].astype(np.float32)

    def draw(number: int) -> Any:
        waves = 90 + 40 * np.sin(x / 17 + y / 31 + number / 9), 110 + 30 * np.cos(y / 11 - number / 7)
        return np.stack([*waves, 120 + 10 * np.sin(x / 5 + number / 3)], axis=-1).astype(np.uint8)

    drawn = ((number, draw(number)) for number in range(60))
    write_video(made / "video.mp4", drawn, time_base=Fraction(1, 20), width=512, height=288)
    save_index(index_video(made / "video.mp4"), made / "index.parquet")
    return made
