"""What fits where: every way of running a job against every memory that it could run in, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longtake.memory.budget import Budget
from longtake.memory.devices import Device
from longtake.planning.choice import Terms, asked_mb, need, usable_mb
from longtake.planning.classes import RESERVE, GpuClass
from longtake.planning.forecast import Forecast
from longtake.planning.history import Measured

COLUMNS = "analysis cases way chunk where forecast_mb measured_mb asked_mb limit_mb fits why".split()
SHOWN = [name for name in COLUMNS if name not in ("forecast_mb", "measured_mb")]


@dataclass(frozen=True)
class Place:
    """Somewhere to run: its name, the device it stands for, its MiB (None: nobody knows), and what sets them."""

    name: str
    device: str
    limit_mb: int | None
    source: str


def places(
    host: Budget, devices: Sequence[Device], classes: Sequence[GpuClass], terms: Terms, *, gpus: bool
) -> list[Place]:
    """List this machine's CPU, its GPUs, and the cluster's classes; no GPU where `gpus` says that none may be used."""
    found = [Place("this machine's CPU", "cpu", host.nbytes // 2**20, host.limits[0].source)]
    if not gpus:
        return found
    limit = terms.gpu_limit_mb
    for number, each in enumerate(devices):
        limited = limit is not None and limit < each.free_mb
        free, source = (limit, "device.gpu_memory_gb") if limited else (each.free_mb, f"free of {each.total_mb} MiB")
        found.append(Place(f"this machine's GPU {number}, {each.name}", "cuda", free, source))
    for gpu_class in classes:
        usable = usable_mb(gpu_class, terms)
        limited = usable is not None and usable == limit
        source = "its memory is not declared"
        if gpu_class.memory_gb:
            source = f"{gpu_class.memory_gb:g} GiB less {100 * RESERVE:.0f} %"
        found.append(Place(f"class {gpu_class.name}", "cuda", usable, "device.gpu_memory_gb" if limited else source))
    return found


def check(
    forecasts: Iterable[Forecast], where: Sequence[Place], margin: float, history: Mapping[str, Measured]
) -> Iterator[dict[str, Any]]:
    """Yield a row (`COLUMNS`) for each analysis, way and place; ways that are alike for several cases stand once."""
    alike: dict[tuple[str | int, ...], tuple[Forecast, list[str]]] = {}
    for each in forecasts:
        named = (each.analysis, each.device, each.way, each.chunk, each.host_mb, each.gpu_mb, each.key)
        alike.setdefault(named, (each, []))[1].append(each.case)
    for forecast, cases in alike.values():
        wanted = need(forecast, margin, history)
        gpu = forecast.device == "cuda"
        memory = {
            "forecast_mb": forecast.gpu_mb if gpu else forecast.host_mb,
            "measured_mb": wanted.measured_gpu_mb if gpu else wanted.measured_host_mb,
            "asked_mb": wanted.gpu_mb if gpu else asked_mb(wanted),
        }
        owners = forecast.gpu if gpu else forecast.host
        for place in where:
            if place.device == forecast.device:
                yield {
                    "analysis": forecast.analysis,
                    "cases": _named(cases),
                    "way": forecast.way,
                    "chunk": forecast.chunk,
                    "where": place.name,
                    **memory,
                    "limit_mb": place.limit_mb,
                    **_judged(memory["asked_mb"] or 0, place, owners),
                }


def _judged(asked: int, place: Place, owners: Mapping[str, int]) -> dict[str, str]:
    if place.limit_mb is None:
        return {"fits": "unknown", "why": "name a file with the classes' memory in the setting cluster"}
    if asked <= place.limit_mb:
        return {"fits": "yes", "why": f"{place.source}: {place.limit_mb - asked} MiB are left"}
    most = max(owners, key=lambda owner: owners[owner], default="")
    why = f"{place.source}: {asked - place.limit_mb} MiB are missing; {most} take {owners.get(most, 0) // 2**20}"
    return {"fits": "no", "why": why}


def _named(cases: Sequence[str]) -> str:
    return cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"
