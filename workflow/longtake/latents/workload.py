"""What a job that measures latents takes of memory: arithmetic on the largest latent of its index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from longtake.latents.bounds import computing, held_by, keeping, read_ahead_within, reading
from longtake.latents.options import Options
from longtake.latents.tables import INDEX
from longtake.planning.driver import Ask, Footprint, Workload, loaded
from longtake.store.tables import read_table


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the one way to measure the latents of each job: one after the other. Fact ``options``.

    Raises
    ------
    BudgetError
        A job cannot keep to ``memory_gb``, not even if it reads nothing in advance.
    """
    options = Options(**ask.study.facts["options"])
    limit_mb = round(1024 * options.memory_gb)
    base = loaded(__name__, "latents", ask) if limit_mb else 0
    for path in ask.shapes:
        held = held_by(read_table(path, INDEX).to_pylist())
        read_ahead = read_ahead_within(held, options.read_ahead, limit_mb, base)
        host = {"frames": reading(held, read_ahead), "state": keeping(held)}
        yield Workload(
            Path(path).stem,
            1,
            "one latent at a time",
            {**asdict(held), "read_ahead": read_ahead},
            {"elements": held.elements},
            Footprint({**host, "activations": computing(held)}, {"activations": computing(held)}, host),
        )
