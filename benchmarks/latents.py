"""Metrics of latents: reference against batched by family, readers, memory for 20, 200 and 2,000 latents, level, power.

Times are processor time of one thread, the best of a few runs; ratios are of one run on one machine. The reference is
the plain float64 code beside each batched metric, not another system's. Writes benchmarks/results/latents.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
import torch

from longtake.latents import tables
from longtake.latents.comparisons import contrasts
from longtake.latents.headers import read_header
from longtake.latents.index import index_videos
from longtake.latents.layout import find_videos
from longtake.latents.metrics.latent import Choices, prepare
from longtake.latents.metrics.measure import MODULES, measure, reference
from longtake.latents.options import Options
from longtake.latents.readers import Stored, read_latent
from longtake.latents.shard import PARTS, measure_shard
from longtake.latents.values import Values
from longtake.statistics.inference import simultaneous_band
from longtake.store.atomic import write_json
from longtake.store.tables import write_table
from longtake.streams import stream

SHAPE = (16, 16, 60, 106)
RESULTS = Path(__file__).parent / "results" / "latents.json"


def best_ms(work: Callable[[], Any], times: int = 3) -> float:
    """Least processor time in milliseconds."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return 1000 * min(found)


def smooth(x: np.ndarray) -> np.ndarray:
    """Neighbours made alike along frames, rows and columns."""
    for axis in (1, 2, 3):
        x = x + np.roll(x, 1, axis) + np.roll(x, 2, axis)
    return x


def families(times: int) -> dict[str, Any]:
    """Milliseconds of the reference and of the batched metrics of each family, on a latent that is prepared."""
    x = stream(1, "speed", "benchmark").standard_normal(SHAPE).astype(np.float16)
    plain, choices, rows = x.astype(np.float64), Choices(), {}
    with torch.inference_mode():
        ready = prepare(x, choices)
        rows["preparation"] = {"reference_ms": 0.0, "batched_ms": best_ms(lambda: prepare(x, choices), times)}
        for name, module in MODULES.items():
            batched = best_ms(lambda module=module: module.batched(dataclasses.replace(ready)), times)
            rows[name] = {
                "reference_ms": best_ms(lambda m=module: m.reference(plain, choices), 1),
                "batched_ms": batched,
            }
    total = {key: sum(row[key] for row in rows.values()) for key in ("reference_ms", "batched_ms")}
    rows["total"] = total
    for row in rows.values():
        row["ratio"] = row["reference_ms"] / row["batched_ms"]
    rows["whole latent"] = {"batched_ms": best_ms(lambda: measure(x), times)}
    return rows


def agreement() -> dict[str, dict[str, float]]:
    """Largest difference of batched from reference, relative or below 1e-3 absolute, by family and kind of input."""
    shape = (4, 8, 32, 40)
    noise = stream(1, "agreement", "benchmark").standard_normal(shape)
    still = np.repeat(noise[:, :1], 8, 1)
    kinds = {
        "noise, float16": noise.astype(np.float16), "smooth": smooth(noise).astype(np.float32),
        "mean of 1e3": (smooth(noise) + 1e3).astype(np.float32), "scaled by 1e-3": (noise * 1e-3).astype(np.float32),
        "one frame": noise[:, :1], "one channel": noise[:1], "still": still, "odd sides": noise[:, :, :31, :37],
    }  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for kind, x in kinds.items():
        for family in MODULES:
            plain, fast = reference(x, families=[family]), measure(x, families=[family]).metrics
            worst = 0.0
            for name, (value, _) in plain.items():
                if (value is None) != (fast[name] is None):
                    raise SystemExit(f"{kind}: {name} is {value} and {fast[name]}")
                if value is not None:
                    worst = max(worst, abs(value - fast[name]) / max(abs(value), 1e-3))
            found.setdefault(family, {})[kind] = worst
    return found


def readers() -> dict[str, float]:
    """Milliseconds to read a latent of each format, from the page cache."""
    import gzip
    import io

    from safetensors.numpy import save_file

    x = stream(1, "readers", "benchmark").standard_normal((1, *SHAPE)).astype(np.float16)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        np.save(base / "a.npy", x)
        buffer = io.BytesIO()
        np.save(buffer, x)
        (base / "a.npy.gz").write_bytes(gzip.compress(buffer.getvalue(), 6))
        torch.save(torch.from_numpy(x), base / "a.pt")
        save_file({"x": x}, base / "a.safetensors")
        for path in sorted(base.iterdir()):
            kind = path.name.partition(".")[2]
            found[kind] = best_ms(
                lambda path=path, kind=kind: read_latent(Stored(path, kind, read_header(path, kind), "BCFHW")), 5
            )
    return found


def _measure_many(latents: int, folder: str, pipe: Any) -> None:
    steps, base = 20, Path(folder)
    shape = (1, 4, 8, 32, 40)
    for number in range(latents // steps):
        path = base / "latents" / "g" / f"v{number}"
        path.mkdir(parents=True)
        for step in range(steps):
            x = stream(number, f"{step}", "benchmark").standard_normal(shape).astype(np.float16)
            np.save(path / f"step_{step:03d}.npy", x)
    index = base / "index.parquet"
    write_table(index, index_videos(find_videos(str(base / "latents")), axes="auto"), tables.INDEX)
    out = {name: str(base / f"{name}.parquet") for name in ("videos", *PARTS)}
    # The first latent loads what all of them need.
    measure(np.zeros(shape[1:], np.float16))
    before = psutil.Process().memory_info().rss
    measure_shard(index, base / "work", out, options=Options(), code="benchmark")
    # Not getrusage, whose peak is that of the parent where that is more.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    pipe.send({"before_mb": before / 2**20, "peak_mb": peak / 2**20})


def memory(counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Peak RSS of a process that measures so many latents of [4, 8, 32, 40] in jobs of 500 at most."""
    found = {}
    for count in counts:
        folder = tempfile.mkdtemp()
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(target=_measure_many, args=(count, folder, theirs))
        child.start()
        found[str(count)] = ours.recv()
        child.join()
        shutil.rmtree(folder)
    return found


def study(numbers: np.ndarray, seeds: int) -> Values:
    """Two groups of matched seeds with these numbers [videos, measures]."""
    videos = [{"video": f"{g}/{s}", "group": g, "seed": s, "shape": None} for g in "ab" for s in range(seeds)]
    names = [f"m{n}" for n in range(numbers.shape[1])]
    return Values(videos, [f"seed {v['seed']}" for v in videos], [(n, "last") for n in names], numbers, [0],
                  numbers[:, None], names)  # fmt: skip


def level_and_power(studies: int, seeds: int = 12, measures: int = 100, effect: float = 1.5) -> dict[str, Any]:
    """Share of null studies with a finding by max-T and by Holm; power for one measure with d_z of 1.5; coverage."""
    false = {"p_maxt": 0, "p_holm": 0}
    power = {"p_maxt": 0, "p_holm": 0}
    covered = 0
    for number in range(studies):
        draw = stream(number, "level", "benchmark")
        # Measures of one study go together, as those of latents do.
        mixed = draw.standard_normal((2 * seeds, measures)) + draw.standard_normal((2 * seeds, 1))
        for planted, counts in ((False, false), (True, power)):
            numbers = mixed.copy()
            if planted:
                # The differences of pairs have the standard deviation 2.
                numbers[seeds:, 0] += effect * 2.0
            rows = contrasts(study(numbers, seeds), baseline="a", which="baseline", seed=number, draws=1000)
            for name in counts:
                hits = [row["metric"] for row in rows if (row[name] or 1.0) < 0.05]
                counts[name] += ("m0" in hits) if planted else bool(hits)
        curves = draw.standard_normal((seeds, 20)).cumsum(1) / 5.0
        _, low, high = simultaneous_band(curves, draw, draws=1000)
        covered += bool(np.all((low <= 0.0) & (high >= 0.0)))
    return {
        "studies": studies, "seeds": seeds, "measures": measures, "effect_dz": effect,
        "false_findings": {k: v / studies for k, v in false.items()},
        "power": {k: v / studies for k, v in power.items()},
        "band_coverage": covered / studies,
    }  # fmt: skip


GOALS = {"total": 20, "patches": 15, "information": 12, "complexity": 40, "channel": 40, "spatial": 2.5,
         "temporal": 2.5, "global": 2.5, "frequency": 2.5}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--latents", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--memory-only", action="store_true", help="measure memory again, and keep the rest")
    asked = parser.parse_args()
    if asked.memory_only:
        kept = json.loads(RESULTS.read_text())
        write_json(RESULTS, kept | {"memory": memory(tuple(asked.latents))})
        return
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(), "torch": torch.__version__, "numpy": np.__version__, "device": "cpu, one thread",
        "shape": list(SHAPE),
    }  # fmt: skip
    found["families"] = families(asked.times)
    ratios = {name: found["families"][name]["ratio"] for name in GOALS}
    found["goals"] = {
        name: {"goal": goal, "ratio": ratios[name], "met": ratios[name] >= goal} for name, goal in GOALS.items()
    }
    print(json.dumps(found["goals"], indent=1))
    found["agreement"] = agreement()
    found["readers_ms"] = readers()
    found["inference"] = level_and_power(asked.studies)
    print(json.dumps({k: found[k] for k in ("agreement", "readers_ms", "inference")}, indent=1))
    found["memory"] = memory(tuple(asked.latents))
    print(json.dumps(found["memory"], indent=1))
    write_json(RESULTS, found)


if __name__ == "__main__":
    main()
