"""A typical study of latents, made on the spot: 6 groups of 12 matched seeds, 20 steps of [1, 16, 16, 60, 106] float32.

``python benchmarks/latents_typical.py`` writes 9.4 GB into a folder of its own under --within, takes them through the
workflow on two cores, notes time and peaks in benchmarks/results/latents_typical.json, and removes them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from longtake.store.atomic import write_json
from longtake.streams import stream

SHAPE = (16, 16, 60, 106)
GROUPS, SEEDS, STEPS = 6, 12, 20
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/latents_typical.json"


def write(folder: Path, groups: int = GROUPS, seeds: int = SEEDS, steps: int = STEPS) -> None:
    """Each video goes from its seed's noise to an end that is smoother, and moves more, the higher its group."""
    for group in range(groups):
        for seed in range(seeds):
            start, end = (
                stream(seed, name, "typical latents").standard_normal(SHAPE, np.float32) for name in ("start", "end")
            )
            for _ in range(group):
                end = (end + np.roll(end, 1, -1) + np.roll(end, 1, -2)) / np.float32(np.sqrt(3.0))
            end[:, 1:] += np.float32(0.5 + 0.1 * group) * end[:, :-1]
            path = folder / f"group-{group}" / f"seed-{seed:02d}"
            path.mkdir(parents=True, exist_ok=True)
            for step in range(steps):
                share = np.float32(step / max(1, steps - 1))
                np.save(path / f"step_{step:03d}.npy", ((1 - share) * start + share * end)[None])
                about = {"seed": seed, "step": step, "prompt": f"group {group}", "sigma": float(1 - share)}
                (path / f"step_{step:03d}_metadata.json").write_text(json.dumps(about))


def through_the_workflow(study: Path, out: Path, cores: int) -> dict[str, Any]:
    """Run ``snakemake latents`` on a study: seconds, and of each kind of job how many, their CPU time and peak."""
    groups = sorted(path.name for path in study.iterdir())
    settings = {
        "videos": "config/demo/no-videos.tsv", "prompts": "config/demo/no-prompts.tsv", "output_dir": str(out),
        "device": {"force_cpu": True},
        "latents": {"folder": str(study), "baseline": groups[0], "order": groups},
    }  # fmt: skip
    config = out.parent / "typical.json"
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "snakemake", "latents", f"--cores={cores}", "--quiet=rules", "--nolock"]
    began = time.monotonic()
    subprocess.run([*command, "--configfile", str(config)], cwd=ROOT, check=True)
    seconds = time.monotonic() - began
    rules: dict[str, dict[str, float]] = {}
    for path in sorted((out / "logs").rglob("*.json")):
        record = json.loads(path.read_text())
        rule = "latents_steps" if record["rule"].startswith("latents_steps") else record["rule"]
        of_rule = rules.setdefault(rule, {"jobs": 0, "cpu_s": 0.0, "rss_mb": 0.0})
        of_rule["jobs"] += 1
        of_rule["cpu_s"] += record["cpu_s"]
        of_rule["rss_mb"] = max(of_rule["rss_mb"], record["rss_mb"])
    return {"wall_s": round(seconds, 1), "peak_mb": max(rule["rss_mb"] for rule in rules.values()), "jobs": rules}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--within", default=tempfile.gettempdir())
    parser.add_argument("--cores", type=int, default=2)
    for name, default in (("groups", GROUPS), ("seeds", SEEDS), ("steps", STEPS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="latents-", dir=asked.within))
    try:
        write(folder / "study", asked.groups, asked.seeds, asked.steps)
        found = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"), "cores": asked.cores, "load": round(os.getloadavg()[0], 1),
            "shape": list(SHAPE), "videos": asked.groups * asked.seeds, "steps": asked.steps,
            "gb": round(sum(path.stat().st_size for path in folder.rglob("*.npy")) / 1e9, 2),
            **through_the_workflow(folder / "study", folder / "results", asked.cores),
        }  # fmt: skip
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found, indent=1))
    if found["videos"] == GROUPS * SEEDS and found["steps"] == STEPS:
        write_json(RESULTS, found)


if __name__ == "__main__":
    main()
