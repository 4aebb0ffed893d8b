"""The plan of jobs: for every unit the way it will be run, the GPU it will ask for, its memory and its time.

And the same question asked of one machine: what fits on it, and why.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from longtake.errors import LongtakeError
from longtake.memory.budget import FREE_NOW, MIB, host_budget
from longtake.memory.devices import installed_gpus
from longtake.planning import check
from longtake.planning.choice import Choice, Terms, choose, minutes
from longtake.planning.classes import OWN, GpuClass
from longtake.planning.forecast import Forecast, read_forecasts
from longtake.planning.history import read_history
from longtake.planning.request import CPU, Request, table
from longtake.store.atomic import write_tsv
from longtake.store.tsv import write_records
from longtake.unit import Analysis, Study, Unit, analyses, kinds

log = logging.getLogger(__name__)


def plan_jobs(
    studies: Mapping[str, Study],
    forecasts: Sequence[str | Path],
    *,
    classes: Sequence[GpuClass],
    terms: Terms,
    runs: Sequence[str | Path],
    here: bool,
    out: str | Path,
) -> dict[str, Any]:
    """Write the table of all jobs of models (`longtake.planning.request.Request`); return how many of each class.

    Memory: the forecasts, and the names of all units.

    Parameters
    ----------
    studies
        Of each analysis that takes part, by name.
    forecasts
        Tables of forecasts; a case that is in none asks for what jobs asked for before there were forecasts.
    runs
        Output folders of runs whose measurements count.
    here
        Whether the jobs will run on this machine, whose memory then limits them.

    Raises
    ------
    LongtakeError
        Two units of a rule have one name, and would write one log.
    """
    offers: dict[tuple[str, str], list[Forecast]] = {}
    for path in forecasts:
        for each in read_forecasts(path):
            offers.setdefault((each.analysis, each.case), []).append(each)
    history = read_history(runs, kinds())
    counts: Counter[str] = Counter()
    if here:
        terms = replace(terms, host_limit_mb=machine_mb())
        classes = [with_own_memory(each) for each in classes]

    def rows() -> Iterator[Request]:
        chosen: dict[tuple[Any, ...], Choice] = {}
        for name, study in studies.items():
            analysis = analyses()[name]
            for unit in _distinct(analysis, study):
                key = name, unit.forecast, *sorted(unit.load.items())
                if key not in chosen:
                    offered = offers.get((name, unit.forecast), [])
                    chosen[key] = choose(offered, classes, terms, history, unit.load, steady=analysis.steady)
                request = _request(unit, chosen[key])
                counts[request.gpu_class or CPU] += 1
                yield request

    write_records(out, Request, rows())
    log.info("jobs by class: %s", dict(counts))
    return {"jobs": dict(counts), "forecasts": sum(map(len, offers.values())), "measured_keys": len(history)}


def _distinct(analysis: Analysis, study: Study) -> Iterator[Unit]:
    seen: set[tuple[str, str]] = set()
    for unit in analysis.units(study) if analysis.units else ():
        if (unit.rule, unit.name) in seen:
            raise LongtakeError(
                f"two units of {unit.rule} are named {unit.name!r} and would write one log. Give the wildcards of the "
                f"rule names that stay apart when they are joined by dots ({analysis.module})."
            )
        seen.add((unit.rule, unit.name))
        yield unit


def machine_mb() -> int:
    """Return the MiB of host memory that jobs may share on this machine, whatever is in use just now."""
    return min(limit.nbytes for limit in host_budget().limits if limit.source != FREE_NOW) // MIB


def with_own_memory(gpu_class: GpuClass) -> GpuClass:
    """Return the class of this machine's own GPU with the memory that its driver tells, and any other as it is."""
    devices = installed_gpus() if gpu_class == OWN else []
    return replace(gpu_class, memory_gb=devices[0].total_mb / 1024) if devices else gpu_class


def check_memory(
    forecasts: Sequence[str | Path],
    *,
    classes: Sequence[GpuClass],
    terms: Terms,
    gpus: bool,
    runs: Sequence[str | Path],
    out: str | Path,
) -> str:
    """Write what fits on this machine and the cluster's classes (`longtake.planning.check.COLUMNS`); return it as text.

    Parameters
    ----------
    gpus
        Whether a GPU may be used.
    runs
        Output folders of runs whose measurements count.
    """
    offers = [each for path in forecasts for each in read_forecasts(path)]
    budget, devices = host_budget(), installed_gpus() if gpus else []
    named = [each for each in classes if each != OWN]
    where = check.places(budget, devices, named, terms, gpus=gpus)
    history = read_history(runs, kinds())
    rows = list(check.check(offers, where, terms.margin, history))
    write_tsv(out, check.COLUMNS, rows)
    heads = [
        budget.describe(),
        *(f"GPU memory: {each.name}, {each.free_mb} of {each.total_mb} MiB free" for each in devices),
    ]
    if not devices:
        heads.append(f"GPU memory: none ({terms.no_gpu if not gpus else 'nvidia-smi finds no GPU here'})")
    return "\n".join([*heads, "", table(rows, check.SHOWN), ""])


def _request(unit: Unit, choice: Choice) -> Request:
    bare = Request(
        rule=unit.rule,
        unit=unit.name,
        subject=unit.subject,
        work=unit.work,
        counted=kinds()[unit.rule][1].work,
        load=unit.load,
        device="cuda" if choice.gpu_class else "cpu",
        gpu_class=choice.gpu_class.name if choice.gpu_class else "",
        chunk=None,
        way="",
        gpu_mb=None,
        host_mb=None,
        measured_gpu_mb=None,
        measured_host_mb=None,
        mem_mb=choice.mem_mb,
        runtime=minutes(choice, unit.work),
        key="",
        source="",
        why=choice.why,
    )
    if choice.need is None:
        return bare
    forecast = choice.need.forecast
    return replace(
        bare,
        load={**forecast.load, **unit.load},
        chunk=forecast.chunk,
        way=forecast.way,
        gpu_mb=forecast.gpu_mb or None,
        host_mb=forecast.host_mb,
        measured_gpu_mb=choice.need.measured_gpu_mb,
        measured_host_mb=choice.need.measured_host_mb,
        key=forecast.key,
        source=forecast.source,
    )
