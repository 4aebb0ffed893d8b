"""What this machine offers to a job."""

from __future__ import annotations

from pathlib import Path


def local_gpus(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this machine shows as device files.

    The Snakefile asks this in every job, so no driver library is loaded for it.
    """
    return sum(1 for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit())
