"""What a volume's job will take of memory, for each way its gradients could be had (`longtake.planning.driver`).

Volumes of one shape take the same, so each shape is simulated once, with fake tensors.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

from longtake.attribution.analysis import case_of
from longtake.attribution.options import CAMS, Options
from longtake.errors import LongtakeError
from longtake.planning.driver import Ask, Footprint, Probe, Workload
from longtake.unit import Study

log = logging.getLogger(__name__)
SHARES = (1.0, 0.5, 0.25, 0.125)
"""Of what the graph of the whole takes: budgets for which a way is looked for."""
ARRAYS = 4
"""Arrays of the volume's size that a job holds: the volume, a noisy copy or a point of a path, a map, its copy."""
IMPUTED = 6
"""Those that `longtake.attribution.imputation` holds besides."""


def model(study: Study) -> str:
    """Return the model's folder, or what names it."""
    return str(study.facts["options"]["model"])


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the ways to the maps of each shape of volume; none of a shape whose memory cannot be simulated.

    Raises
    ------
    LongtakeError : the model cannot be loaded.
    """
    options = Options(**ask.study.facts["options"])
    shapes = {case_of(facts): [facts["channels"], *facts["model_shape"]] for facts in ask.readable()}
    for case, shape in shapes.items():
        asked = {"shape": shape, "methods": list(options.asked), "layers": list(options.layers), "fill": options.fill}
        try:
            found = ask.known.value(partial(_ways, options, shape), what="ways of volumes", **asked)
        except LongtakeError as error:
            log.warning("volumes of %s: %s", case, error)
            continue
        for way in found:
            yield Workload(
                case,
                way["rows"],
                way["name"],
                {**asked, "way": way["name"], "peak": way["peak"]},
                footprint=Footprint(**way["footprint"]),
            )


def probe(ask: Ask, first: Workload) -> Probe:
    """What a process holds that has loaded the model's library; and how fast this machine computes a pass."""
    import psutil

    options = Options(**ask.study.facts["options"])
    shape = tuple(first.depends["shape"])
    seconds = _seconds(options.model, options.checkpoint, shape)
    return Probe(psutil.Process().memory_info().rss, speed=1 / max(seconds, 1e-6))


@lru_cache(maxsize=1)
def _loaded(spec: str, checkpoint: str) -> Any:
    from longtake.models.volumes import load_volume_model

    return load_volume_model(spec, checkpoint)


def _seconds(spec: str, checkpoint: str, shape: tuple[int, ...]) -> float:
    """Of a gradient of the whole volume, from the scores of an eighth of it."""
    import torch

    from longtake.attribution.exact import Exact

    loaded = _loaded(spec, checkpoint)
    part = (shape[0], max(shape[1] // 8, min(shape[1], 32)), *shape[2:])
    began = time.monotonic()
    try:
        Exact(loaded).scores(loaded.prepare(torch.zeros(part)))
    except (RuntimeError, ValueError):  # it insists on the volume's size
        return 60.0
    return 4 * shape[1] / part[1] * (time.monotonic() - began)


def _ways(options: Options, shape: list[int]) -> list[dict[str, Any]]:
    """Name, rows of a slab, peak and footprint of each way, the one with the graph of the whole first."""
    import torch

    from longtake.attribution.exact import HOST_SHARE, Exact
    from longtake.attribution.layers import layers_of
    from longtake.attribution.target import Target
    from longtake.bounded.slabwise import SlabWay

    loaded = _loaded(options.model, options.checkpoint)
    given = loaded.prepare(torch.zeros(shape))
    weights = sum(each.nbytes for each in loaded.module.state_dict().values())
    wanted: list[str | None] = list(layers_of(loaded, given, options.layers)) if set(options.asked) & set(CAMS) else []
    wanted += [None] if set(options.asked) - set(CAMS) else []
    whole = max(Exact(loaded, 1 << 60).way(given, Target(0), layer).predicted_bytes or 0 for layer in wanted)
    found: list[dict[str, Any]] = []
    for share in SHARES:
        exact = Exact(loaded, int(share * whole))
        try:
            ways = [exact.way(given, Target(0), layer) for layer in wanted]
        except LongtakeError as error:
            log.debug("within %d bytes: %s", share * whole, error)
            break
        way = max(ways, key=lambda each: each.predicted_bytes or 0)
        peak = way.predicted_bytes or 0
        volume = (ARRAYS + (IMPUTED if options.fill == "noisy-linear" else 0)) * given.nbytes
        taken = Footprint(
            # A job plans with a part of what it is given, so it is given more.
            host={"parameters": weights, "frames": volume, "activations": round(peak / HOST_SHARE)},
            gpu={"parameters": weights, "frames": 2 * given.nbytes, "activations": peak},
            beside={"parameters": weights, "frames": volume},
            effort=1.0,
        )
        rows = way.tile if isinstance(way, SlabWay) else given.shape[2]
        found.append({"name": way.name, "rows": rows, "peak": peak, "footprint": asdict(taken)})
    return found
