"""What every job used of memory, what was said of it before, and who held it: two tables, a figure, a section.

Records are read one by one, as often as needed: what is kept of them does not grow with the number of jobs. Records of
older runs lack some of what is told here, and have empty cells.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from longtake.figures.markup import Markup, details, element, number, picture, status, table
from longtake.figures.memory import memory_figure
from longtake.figures.save import save
from longtake.memory.ledger import UNATTRIBUTED
from longtake.memory.owners import OWNERS
from longtake.status import Status
from longtake.store.atomic import write_tsv
from longtake.store.records import number_of, scan_all_records

JOB = (
    "rule unit status reason rung attempts device gpu_class wall_s cpu_s "
    "predicted_host_mb rss_mb host_error requested_mem_mb vms_mb host_owners freed_mb "
    "predicted_gpu_mb measured_gpu_mb gpu_error gpu_allocated_mb gpu_reserved_mb gpu_split_share gpu_retries "
    "gpu_owners host"
).split()
_HOST = (*OWNERS, UNATTRIBUTED)
STAGE = (
    *"rule unit stage wall_s rss_mb".split(), *(f"host_{owner}" for owner in _HOST),
    *"gpu_allocated_mb gpu_reserved_mb".split(), *(f"gpu_{owner}" for owner in OWNERS),
)  # fmt: skip
MOST_POINTS = 2000
MOST_ROWS = 400
CLOSE = 0.1
"""What counts as a good forecast: a measured peak within a tenth of it."""
_ABOUT = 0.02
Record = Mapping[str, Any]


def write_memory(results: Path, *, jobs_out: Path, stages_out: Path, figure_out: Path) -> int:
    """Write a row for each job of the run in `results`, a row for each stage of those that tell of them, and a figure.

    Tab separated; memory in MiB, times in seconds; a job that failed keeps its row and its reason. Returns the number
    of jobs.
    """
    write_tsv(jobs_out, JOB, map(job_row, records(results)))
    write_tsv(stages_out, STAGE, (row for record in records(results) for row in stage_rows(record)))
    found = summarise(results)
    save(drawn(found), figure_out)
    return sum(rule.jobs for rule in found.rules.values())


def records(results: Path) -> Iterator[Record]:
    """Yield the record of each job in `results`, as `longtake.store.records` reads them."""
    return scan_all_records(results / "logs")


def job_row(record: Record) -> dict[str, Any]:
    """Return the row of a job, with columns `JOB`."""
    ledger, facts = _part(record, "ledger"), _part(record, "facts")
    state, (host, gpu) = _part(ledger, "gpu"), _both(record)
    attempts = record.get("attempts") or []
    row = {name: record.get(name) for name in JOB}
    row |= {
        "unit": unit(record),
        "rung": facts.get("rung") or (attempts[-1].get("rung") if attempts else None),
        "attempts": len(attempts) or None,
        "device": facts.get("device"),
        "gpu_class": _part(record, "asked").get("gpu_class"),
        "predicted_host_mb": host.get("predicted_mb"),
        "host_error": host.get("error"),
        "predicted_gpu_mb": gpu.get("predicted_mb"),
        "measured_gpu_mb": gpu.get("measured_mb"),
        "gpu_error": gpu.get("error"),
        "gpu_split_share": state.get("split_share"),
        "gpu_retries": state.get("retries"),
        "host_owners": _words(largest(ledger, "host")[1]),
        "gpu_owners": _words(largest(ledger, "gpu")[1]),
        "freed_mb": _part(ledger, "clean_ups").get("freed_mb"),
    }
    return {name: "" if value is None else value for name, value in row.items()}


def stage_rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yield a row for each stage of a job, with columns `STAGE`; none where it kept no ledger."""
    for name, stage in _part(_part(record, "ledger"), "stages").items():
        row = {"rule": record["rule"], "unit": unit(record), "stage": name}
        row |= {key: stage.get(key, "") for key in STAGE if key in stage}
        for kind in ("host", "gpu"):
            row |= {f"{kind}_{owner}": nbytes for owner, nbytes in _part(stage, kind).items()}
        yield {key: row.get(key, "") for key in STAGE}


def unit(record: Record) -> str:
    """The unit that a job worked on, in words."""
    return " ".join(f"{name} {value}" for name, value in _part(record, "wildcards").items()) or "the study"


def largest(ledger: Mapping[str, Any], kind: str) -> tuple[float, dict[str, float]]:
    """Return the peak (MiB) of the stage that took most of the host's or the GPU's memory, and who held it.

    Where memory stays about as high in several stages, that in which most of it was somebody's.
    """
    key = "rss_mb" if kind == "host" else "gpu_reserved_mb"
    stages = [stage for stage in _part(ledger, "stages").values() if stage.get(key) and kind in stage]
    if not stages:
        return 0.0, {}
    top = max(float(stage[key]) for stage in stages)
    near: list[dict[str, float]] = [stage[kind] for stage in stages if stage[key] >= (1 - _ABOUT) * top]
    return top, max(near, key=lambda held: sum(held.values()) - held.get(UNATTRIBUTED, 0.0))


@dataclass
class Points:
    """At most `MOST_POINTS` pairs of predicted and measured MiB: every n-th, and n doubles where those are more."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    step: int = 1
    seen: int = 0
    close: int = 0

    def add(self, predicted: float, measured: float) -> None:
        """Take one pair."""
        self.close += abs(measured / predicted - 1) <= CLOSE
        if self.seen % self.step == 0:
            self.pairs.append((predicted, measured))
        self.seen += 1
        if len(self.pairs) > MOST_POINTS:
            self.pairs, self.step = self.pairs[::2], 2 * self.step


@dataclass
class RuleMemory:
    """The jobs of one rule: how many, peaks of what they used and asked for, time in all, forecasts, owners."""

    jobs: int = 0
    failed: int = 0
    stepped: int = 0
    top: dict[str, float] = field(default_factory=dict)
    share: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    points: dict[str, Points] = field(default_factory=lambda: {"host": Points(), "gpu": Points()})
    owners: dict[str, tuple[float, dict[str, float]]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Take one job."""
        self.jobs += 1
        self.failed += record.get("status") != Status.OK
        self.stepped += len(record.get("attempts") or []) > 1
        self.wall_s += number_of(record.get("wall_s"))
        self.cpu_s += number_of(record.get("cpu_s"))
        for name in ("rss_mb", "requested_mem_mb", "gpu_allocated_mb", "gpu_reserved_mb"):
            if record.get(name) is not None:
                self.top[name] = max(self.top.get(name, 0.0), number_of(record[name]))
        asked = number_of(record.get("requested_mem_mb"))
        self.share = max(self.share, number_of(record.get("rss_mb")) / asked if asked else 0.0)
        for kind, told in zip(("host", "gpu"), _both(record), strict=True):
            if told.get("error") is not None:
                self.points[kind].add(told["predicted_mb"], told["measured_mb"])
            found = largest(_part(record, "ledger"), kind)
            if found[0] > self.owners.get(kind, (0.0, {}))[0]:
                self.owners[kind] = found


@dataclass
class Memory:
    """The jobs of a run by rule, and the rows of the largest."""

    rules: dict[str, RuleMemory] = field(default_factory=dict)
    largest: list[dict[str, Any]] = field(default_factory=list)


def summarise(results: Path) -> Memory:
    """Read the records of a run once; memory does not depend on their number."""
    found = Memory()
    heap: list[tuple[float, int, dict[str, Any]]] = []
    for place, record in enumerate(records(results)):
        found.rules.setdefault(str(record["rule"]), RuleMemory()).add(record)
        entry = (number_of(record.get("rss_mb")), -place, job_row(record))
        if len(heap) < MOST_ROWS:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    found.largest = [row for _, _, row in sorted(heap, reverse=True)]
    return found


def drawn(found: Memory) -> Figure:
    """The figure of a run: forecasts against what was measured, and who held the memory of each step's largest job."""
    told = {(name, kind): each for name, rule in found.rules.items() for kind, each in rule.points.items() if each.seen}
    owners = {(name, kind): held for name, rule in found.rules.items() for kind, (_, held) in rule.owners.items()}
    seen, close = sum(each.seen for each in told.values()), sum(each.close for each in told.values())
    words = f"{close} of {seen} forecasts within {CLOSE:.0%}" if seen else ""
    return memory_figure({key: each.pairs for key, each in told.items()}, owners, words=words, close=CLOSE)


def memory_section(found: Memory) -> Markup:
    """Memory forecast, requested and measured, for every rule and the largest jobs."""
    head = (
        "Step", "Jobs", "failed", "stepped down", "Peak RSS (MiB)", "Requested (MB)", "Share used",
        "Forecasts within 10 %", "GPU allocated (MiB)", "GPU reserved (MiB)", "Wall (s)", "CPU (s)",
    )  # fmt: skip
    job_head = (
        "Step", "Unit", "Status", "Forecast (MiB)", "Peak RSS (MiB)", "Requested (MB)", "Who held it (MiB)",
        "GPU allocated (MiB)", "Wall (s)", "Device", "Machine",
    )  # fmt: skip
    shown = any(rule.owners or told.seen for rule in found.rules.values() for told in rule.points.values())
    return element(
        "section",
        element("h2", "Memory and time"),
        element(
            "p",
            "Peaks over the jobs of a step, as each job measured itself; times are sums over its jobs. A forecast is "
            "compared where the job ran as it was planned.",
            class_="quiet",
        ),
        table(head, map(_rule_row, found.rules.items()), numeric=(1, 2, 3, 4, 5, 7, 8, 9, 10, 11),
              empty="No job has left a record."),
        picture(drawn(found), "Memory forecast and measured, and who held it") if shown else "",
        details(
            f"{len(found.largest)} jobs, largest first",
            table(job_head, map(_largest_row, found.largest), numeric=(3, 4, 5, 7, 8)),
        ),
        id="memory",
    )  # fmt: skip


def _rule_row(named: tuple[str, RuleMemory]) -> Sequence[Any]:
    name, rule = named
    tops = {key: number(round(rule.top[key])) if key in rule.top else "–" for key in
            ("rss_mb", "requested_mem_mb", "gpu_allocated_mb", "gpu_reserved_mb")}  # fmt: skip
    told = [each for each in rule.points.values() if each.seen]
    close = f"{sum(each.close for each in told)} of {sum(each.seen for each in told)}" if told else "–"
    return (
        name, rule.jobs, rule.failed, rule.stepped, tops["rss_mb"], tops["requested_mem_mb"], _bar(rule.share), close,
        tops["gpu_allocated_mb"], tops["gpu_reserved_mb"], number(rule.wall_s), number(rule.cpu_s),
    )  # fmt: skip


def _largest_row(row: Mapping[str, Any]) -> Sequence[Any]:
    numbers = {
        key: number(row[key] if row[key] != "" else None)
        for key in ("predicted_host_mb", "rss_mb", "requested_mem_mb", "gpu_allocated_mb", "wall_s")
    }
    return (
        row["rule"], row["unit"], status(str(row["status"])), numbers["predicted_host_mb"], numbers["rss_mb"],
        numbers["requested_mem_mb"], row["host_owners"], numbers["gpu_allocated_mb"], numbers["wall_s"],
        row["device"], row["host"],
    )  # fmt: skip


def _bar(share: float) -> Markup:
    if not share:
        return Markup("–")
    fill = element("i", style=f"width:{min(100, round(100 * share))}%")
    bar = element("span", fill, class_="bar")
    return element("span", bar, f"{round(100 * share)} %", class_="share")


def _words(held: Mapping[str, float], most: int = 4) -> str:
    """The largest owners with their MiB."""
    ordered = sorted((owner for owner in held if held[owner] > 0), key=lambda owner: -held[owner])
    return ", ".join(f"{owner} {held[owner]:.0f}" for owner in ordered[:most])


def _both(record: Record) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What was predicted and measured of the host, and of the GPU."""
    told = _part(record, "forecast")
    return _part(told, "host"), _part(told, "gpu")


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, Mapping) else {}
