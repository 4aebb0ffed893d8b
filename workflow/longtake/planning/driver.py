"""The forecast of an analysis: what its jobs will take of memory and time, for every way in which they could be run.

An analysis says in its module ``workload`` what there is to do and what that takes; everything else is alike for all
and happens here: what Python and the libraries hold is added, rows for the CPU and for a GPU are made, and keys by
which earlier jobs are found again.

``workloads(ask)``
    Yields each case's ways (`Workload`), the wanted one first and then what needs less and less.
``footprint(ask, workload)``
    What such a job takes (`Footprint`); asked once for each distinct `Workload.depends`, and kept. It is left out where
    workloads bring their own.
``probe(ask, first)``
    What a small job shows of this machine (`Probe`); where it is left out, a process is measured that only loads the
    analysis' modules.
``model(study)``
    The folder of the model whose files the kept values depend on; left out where there is none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES, MIB
from longtake.planning.cache import Known
from longtake.planning.calibrate import measure
from longtake.planning.forecast import CALIBRATED, SIMULATED, Forecast, key_of
from longtake.status import Status
from longtake.store.tsv import write_records
from longtake.unit import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ask:
    """What a forecast goes by.

    Attributes
    ----------
    study : as the rules tell of it; its facts say what is to be done
    shapes : files that tell how large things are, as the rule file names them
    known : what was found out before, of this code and model (`longtake.planning.cache.Known.value`)
    threads : as many as a job will have
    progress : called with how many cases are done, and of how many
    """

    study: Study
    shapes: Sequence[Path] = ()
    known: Known = field(default_factory=Known)
    threads: int = 1
    progress: Callable[[int, int], None] | None = None

    def tell(self, done: int, total: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(done, total)

    def readable(self) -> Iterator[dict[str, Any]]:
        """Yield what the probe found of each video in `shapes` that can be read, and report progress."""
        for done, path in enumerate(self.shapes, start=1):
            facts = json.loads(Path(path).read_text(encoding="utf-8"))
            if facts["status"] == Status.OK:
                yield facts
            self.tell(done, len(self.shapes))


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak by owner (`longtake.memory.owners.OWNERS`), without ``base`` and ``context``.

    Attributes
    ----------
    host : of a job on the CPU
    gpu : of the GPU, of a job on one; None where such a job cannot use one
    beside : of the host, of a job on a GPU; by default all but what is computed
    effort : for each of a unit's work, counted as the probe counts its speed (`Probe.speed`); 0 where nobody knows
    """

    host: Mapping[str, int]
    gpu: Mapping[str, int] | None = None
    beside: Mapping[str, int] | None = None
    effort: float = 0.0


@dataclass(frozen=True)
class Workload:
    """One way to run the jobs of one case.

    Attributes
    ----------
    case : of which units (`longtake.unit.Unit.forecast`)
    chunk : how much is computed at a time
    way : in words, for people
    depends : everything that the peak depends on, JSON values: shapes, chunk, precision, a digest of the model
    load : what is held at a time, by name, as far as units do not say it themselves
    footprint : where it is known already
    detail : what `footprint` and `probe` of the analysis want to know of it
    """

    case: str
    chunk: int
    way: str
    depends: Mapping[str, Any]
    load: Mapping[str, int] = field(default_factory=dict)
    footprint: Footprint | None = None
    detail: Any = None


@dataclass(frozen=True)
class Probe:
    """What a small job shows of this machine.

    Attributes
    ----------
    base : bytes of Python and the libraries
    slope : bytes that a process takes for each that was simulated
    loading : most bytes while a model is loaded, whose weights are then there twice; 0 where nobody measured it
    speed : effort (`Footprint.effort`) in a second; 0 where nobody timed it
    source : of forecasts for the CPU
    """

    base: int
    slope: float = 1.0
    loading: int = 0
    speed: float = 0.0
    source: str = CALIBRATED


def forecast(
    analysis: str, ask: Ask, *, force_cpu: bool, out: str | Path, module: ModuleType | None = None
) -> dict[str, Any]:
    """Write a table of the forecasts (`longtake.planning.forecast.Forecast`) of an analysis.

    Memory: a row for each case, way and device. Time: that of the analysis' own functions for each distinct workload
    that is not known yet.

    Parameters
    ----------
    force_cpu
        Whether there are no rows for a GPU.
    module
        Instead of the analysis' own ``workload``.

    Returns
    -------
    dict
        Counts of cases, rows and distinct workloads, of what was known and found out; and the base that was measured.
    """
    module = module or import_module(f"longtake.{analysis}.workload")
    if spec := getattr(module, "model", lambda _: None)(ask.study):
        ask = replace(ask, known=ask.known.of_model(spec))
    probe: Probe | None = None
    rows: list[Forecast] = []
    for workload in module.workloads(ask):
        taken = workload.footprint or _footprint(module, ask, workload)
        probe = probe or _probe(module, analysis, ask, replace(workload, footprint=taken))
        rows += [row for row in forecasts(analysis, workload, taken, probe) if row.device == "cpu" or not force_cpu]
    write_records(out, Forecast, rows, "host_mb", "gpu_mb")
    counts = {"cases": len({row.case for row in rows}), "rows": len(rows), **ask.known.counts}
    if probe is None:
        return counts
    log.info("%s; base %.0f MiB, slope %.2f, %s", counts, probe.base / MIB, probe.slope, probe.source)
    return counts | {"base_bytes": probe.base, "slope": round(probe.slope, 3), "source": probe.source}


def _footprint(module: ModuleType, ask: Ask, workload: Workload) -> Footprint:
    depends = {"what": "footprint", **workload.depends}
    return Footprint(**ask.known.value(lambda: asdict(module.footprint(ask, workload)), **depends))


def _probe(module: ModuleType, analysis: str, ask: Ask, first: Workload) -> Probe:
    if hasattr(module, "probe"):
        found: Probe = module.probe(ask, first)
        return found
    return Probe(loaded(module.__name__, analysis, ask))


def loaded(module: str, analysis: str, ask: Ask) -> int:
    """Return the bytes of a process that loads what the jobs of an analysis load; measured once, and kept."""
    known, arguments = ask.known.here(ask.threads), {"module": module}
    found = known.value(lambda: measure(_load, arguments, threads=ask.threads).rss, what="loaded", analysis=analysis)
    return int(found)


def _load(module: str) -> None:
    """Load what the jobs of an analysis load, PyTorch included."""
    import_module("torch")
    import_module(module)


def forecasts(analysis: str, workload: Workload, taken: Footprint, probe: Probe) -> Iterator[Forecast]:
    """Yield the forecast for the CPU, and for a GPU where one can be used."""
    host = {"base": probe.base, **taken.host}
    # What the heap holds for nothing lies between tensors that come and go.
    loose = round((probe.slope - 1) * sum(taken.host.values()))
    host["activations"] = host.get("activations", 0) + loose
    cpu = Forecast(
        analysis,
        workload.case,
        "cpu",
        workload.chunk,
        workload.way,
        _loaded(host, probe),
        load=workload.load,
        pace=float(f"{taken.effort / probe.speed:.4g}") if taken.effort and probe.speed else None,
        source=probe.source,
        key=key_of(analysis=analysis, device="cpu", **workload.depends),
    )
    yield cpu
    if taken.gpu is not None:
        beside = taken.beside
        if beside is None:
            beside = {owner: nbytes for owner, nbytes in taken.host.items() if owner != "activations"}
        yield replace(
            cpu,
            device="cuda",
            host=_loaded({"base": probe.base + CUDA_LIBRARIES, **beside}, probe),
            gpu={"context": CONTEXT, **taken.gpu},
            pace=None,
            source=SIMULATED,
            key=key_of(analysis=analysis, device="cuda", **workload.depends),
        )


def _loaded(host: Mapping[str, int], probe: Probe) -> dict[str, int]:
    """The peak may be where the model is loaded: its weights are then read a second time."""
    more = max(0, probe.loading - sum(host.values()))
    return {**host, "parameters": host.get("parameters", 0) + more} if more else dict(host)
