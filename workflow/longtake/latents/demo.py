"""A small study of latents with planted truth: groups that differ in the slope of their spectra and in their motion.

``python -m longtake.latents.demo FOLDER`` writes three groups of eight matched seeds with six steps each, and
two videos that cannot be measured. Each video goes in a straight line from its seed's noise to its own end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.store.atomic import atomic_path, write_text
from longtake.streams import stream

SHAPE = (4, 8, 24, 32)
SEEDS, STEPS = 8, 6
GROUPS = {"calm": (-2.0, 0.1), "lively": (-2.0, 0.6), "rough": (-1.0, 0.1)}
"""Exponent of the spatial spectrum, and how much of a frame is new, by group."""


def final_latent(group: str, seed: int) -> NDArray[np.float64]:
    """The last latent of a video: noise of a planted spectrum, each frame a mixture of the one before and a new one."""
    exponent, motion = GROUPS[group]
    # The same noise in all groups: what differs between matched videos is planted, and nothing else.
    noise = stream(seed, "final", "latents demo").standard_normal(SHAPE)
    frequency = np.hypot(np.fft.fftfreq(SHAPE[2])[:, None], np.fft.rfftfreq(SHAPE[3])[None, :])
    frequency[0, 0] = frequency[0, 1]
    colour = np.fft.irfft2(np.fft.rfft2(noise) * frequency ** (exponent / 2.0), s=SHAPE[2:])
    frames = [colour[:, 0]]
    for fresh in colour.swapaxes(0, 1)[1:]:
        frames.append(np.sqrt(1.0 - motion**2) * frames[-1] + motion * fresh)
    made = np.stack(frames, 1)
    return np.asarray(made / made.std(), dtype=np.float64)


def write_study(folder: Path) -> None:
    """Write the study, the same bytes each time; one that is there stays, and what was measured of it holds."""
    cut = folder / "rough" / "bad-cut" / "step_004.npy"
    if cut.is_file() and cut.stat().st_size < 10_000:
        return
    for group in GROUPS:
        for seed in range(SEEDS):
            start = stream(seed, "start", "latents demo").standard_normal(SHAPE)
            end = final_latent(group, seed)
            for step in range(STEPS):
                share = step / (STEPS - 1)
                latent = ((1.0 - share) * start + share * end)[None].astype(np.float16)
                about = {"prompt": f"a {group} pond", "seed": seed, "step": step, "sigma": round(1.0 - share, 4),
                         "timestep": round(1000 * (1.0 - share), 1)}  # fmt: skip
                write_latent(folder / group / f"seed-{seed}", step, latent, about)
    whole = np.zeros((1, *SHAPE), np.float16)
    for step in range(STEPS):
        write_latent(
            folder / "calm" / "bad-nan", step, np.full_like(whole, np.nan if step == 3 else step), {"step": step}
        )
        write_latent(folder / "rough" / "bad-cut", step, whole + step, {"step": step})
    data = cut.read_bytes()
    with atomic_path(cut) as temporary:
        temporary.write_bytes(data[:9000])


def write_latent(folder: Path, step: int, latent: NDArray[np.float16], about: dict[str, object]) -> None:
    """Write one latent and its metadata as a user would."""
    with atomic_path(folder / f"step_{step:03d}.npy") as temporary:
        np.save(temporary, latent)
    write_text(folder / f"step_{step:03d}_metadata.json", json.dumps(about, sort_keys=True))


if __name__ == "__main__":
    write_study(Path(sys.argv[1]))
