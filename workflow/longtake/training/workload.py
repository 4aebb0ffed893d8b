"""What a fold's fit will need of memory and time, for every micro-batch and with or without recomputed activations.

On a CPU, convolutions over time take workspaces that no count of tensors sees (measured: 24 to 45 % more), so each
network really does a few steps at micro-batches of one and two, in a process of its own; other sizes lie on the line
through both. On a GPU, the step is simulated with fake tensors. Both hold for all folds of a network, and are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from longtake.planning.calibrate import measure
from longtake.planning.driver import Ask, Footprint, Probe, Workload
from longtake.training.options import Options
from longtake.training.recipe import micro_batches

MOST = 32
"""Clips in memory at a time that are looked at, at most; more make no GPU faster."""
_SEED = 0


def workloads(ask: Ask) -> Iterator[Workload]:
    """Yield the ways to train each network, larger micro-batches first, and the same with recomputed activations.

    Facts: ``options`` of the section, ``networks``, and ``classes``, how many labels there are.
    """
    options = Options(**ask.study.facts["options"])
    for name in ask.study.facts["networks"]:
        own = options.of(name)
        sizes = [own["micro_batch"]] if own["micro_batch"] else micro_batches(own["batch"], MOST)
        for micro_batch in sizes:
            for recompute in (False, True):
                depends = {
                    "network": name,
                    "classes": ask.study.facts["classes"],
                    "micro_batch": micro_batch,
                    "recompute": recompute,
                    **{key: own[key] for key in ("frames", "size", "norm", "precision", "freeze", "weights")},
                }
                way = f"{micro_batch} clips at a time" + (", activations recomputed" if recompute else "")
                yield Workload(name, micro_batch, way, depends, {"batch": own["batch"]}, detail=own)


def probe(ask: Ask, _first: Workload) -> Probe:
    """Measure a process that has loaded what a fit loads."""
    return Probe(_base(ask), speed=1.0)


def footprint(ask: Ask, workload: Workload) -> Footprint:
    """Return what a fit takes, by owner; its effort is seconds for each clip, as this machine took them."""
    depends = workload.depends
    base = _base(ask)
    points = [_measured(ask, {**depends, "micro_batch": number}) for number in (1, 2)]
    micro_batch = int(depends["micro_batch"])
    rss = points[0]["rss"] + (micro_batch - 1) * max(points[1]["rss"] - points[0]["rss"], 0)
    held = points[0]["held"]
    own = {name: int(nbytes) for name, nbytes in held.items() if name != "frames"}
    frames = int(held["frames"]) * micro_batch
    activations = max(0, round(rss - base - sum(own.values()) - frames))
    host = {**own, "frames": frames, "activations": activations}
    seconds = min(point["seconds"] for point in points)
    simulated = ask.known.value(lambda: _simulated(depends), what="simulated step", **depends)
    gpu = None
    if simulated is not None:
        gpu = {**{name: own[name] for name in ("parameters", "gradients", "optimizer")}, "activations": int(simulated)}
    return Footprint(host, gpu, {"parameters": own["parameters"], "frames": frames}, seconds)


def _base(ask: Ask) -> int:
    return int(
        ask.known.here(ask.threads).value(lambda: measure(_load, {}, threads=ask.threads).rss, what="loaded fit")
    )


def _measured(ask: Ask, depends: Mapping[str, Any]) -> dict[str, Any]:
    def find() -> dict[str, Any]:
        found = measure(_steps, {"depends": dict(depends)}, threads=ask.threads)
        return {"rss": found.rss, **found.result}

    known: dict[str, Any] = ask.known.here(ask.threads).value(find, what="measured steps", **depends)
    return known


def _load() -> None:
    from longtake.training import trial

    trial.warm_up()


def _steps(depends: Mapping[str, Any]) -> dict[str, Any]:
    from longtake.training import trial

    return asdict(trial.steps(depends))


def _simulated(depends: Mapping[str, Any]) -> int | None:
    from longtake.training import trial

    return trial.simulated(depends)
