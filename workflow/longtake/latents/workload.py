"""What a job that measures latents takes of memory: arithmetic on the largest latent of its index."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from longtake.latents.grams import BLOCK_BYTES
from longtake.latents.options import Options
from longtake.latents.tables import INDEX
from longtake.planning.driver import Ask, Footprint, Workload
from longtake.status import Status
from longtake.store.tables import read_table

TIMES = 12
"""How often a latent in float64 is held at the peak, of information: the latent, its codes, their pairs."""
ROWS = 24_000
"""Bytes of rows that a latent leaves until its job's tables are written: channels' correlations, spectra, metrics."""


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the one way to measure the latents of each job: one after the other. Fact ``options``."""
    options = Options(**ask.study.facts["options"])
    for path in ask.shapes:
        videos = [row for row in read_table(path, INDEX).to_pylist() if row["status"] == Status.OK]
        elements = max((math.prod(row["shape"]) for row in videos), default=0)
        stored = max((file["nbytes"] for row in videos for file in row["held"]), default=0)
        latents = sum(len(row["held"]) for row in videos)
        host = {"frames": (options.read_ahead + 2) * stored, "state": ROWS * latents}
        computed = TIMES * 8 * elements + 3 * BLOCK_BYTES
        depends = {"elements": elements, "stored": stored, "latents": latents, "read_ahead": options.read_ahead}
        yield Workload(
            Path(path).stem,
            1,
            "one latent at a time",
            depends,
            {"elements": elements},
            Footprint({**host, "activations": computed}, {"activations": computed}, host),
        )
