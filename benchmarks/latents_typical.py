"""A typical study of latents, made on the spot: 6 groups of 12 matched seeds, 20 steps of [1, 16, 16, 60, 106] float16.

``python benchmarks/latents_typical.py FOLDER`` writes 9.4 GB; remove them afterwards.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from longtake.streams import stream

SHAPE = (16, 16, 60, 106)
GROUPS, SEEDS, STEPS = 6, 12, 20


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
                np.save(path / f"step_{step:03d}.npy", ((1 - share) * start + share * end)[None].astype(np.float16))
                about = {"seed": seed, "step": step, "prompt": f"group {group}", "sigma": float(1 - share)}
                (path / f"step_{step:03d}_metadata.json").write_text(json.dumps(about))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
