"""What the jobs of a run say of themselves, and what the plan asked for: the report's facts, read and judged.

A run's folder is read as it stands. Whatever a step has not written yet, or failed to write, is simply not there:
a report must be possible above all when something went wrong.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtake.store.records import load_record, scan_all_records
from longtake.unit import Facts, Study, target_of


@dataclass(frozen=True)
class Record:
    """The record of one job: rule, unit, how it ended, where, and what it found."""

    rule: str
    wildcards: Mapping[str, str]
    status: str
    reason: str
    host: str
    slurm_job: str
    facts: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """The unit that the job worked on, in words."""
        return " ".join(f"{name} {value}" for name, value in self.wildcards.items()) or "the study"


@dataclass(frozen=True)
class Run:
    """A run's folder as the report sees it; records are read as often as they are asked for.

    `studies` are those of the analyses that take part, by name.
    """

    results: Path
    command: str
    records: Iterable[Record]
    studies: Mapping[str, Study] = field(default_factory=dict)

    def target(self, rule: str, wildcards: Mapping[str, str]) -> str | None:
        """The file that stands for a unit, as Snakemake knows it; None for a rule without one."""
        target = target_of(rule, wildcards)
        return None if target is None else str(self.results / target)

    def redo(self, rule: str, wildcards: Mapping[str, str], *, force: bool) -> str:
        """The command that makes a unit; with `force` also where its output exists."""
        target = self.target(rule, wildcards)
        if target is None:
            return self.command
        # Options like --configfile take every word up to "--", the target included.
        return f"{self.command} {'--force ' if force else ''}-- {shlex.quote(target)}"


class Records:
    """The records of all jobs, by rule and unit, read anew each time (`longtake.store.records`)."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    def __iter__(self) -> Iterator[Record]:
        yield from map(_record, scan_all_records(self._logs))


def read_run(results: Path, command: str = "snakemake", facts: Mapping[str, Facts] | None = None) -> Run:
    """Read where the records of a run are.

    `facts` are what the rules say of each analysis that takes part. `command` is how the run was started; where it
    names no profile, that is told by where its jobs ran.
    """
    records = Records(results / "logs")
    if "--profile" not in command:
        command += f" --profile profiles/{'slurm' if any(record.slurm_job for record in records) else 'laptop'}"
    return Run(results, command, records, {name: Study(results, given) for name, given in (facts or {}).items()})


def read_record(path: Path) -> Record | None:
    """Read a job's record; None where there is none, or it is being written, or was torn."""
    data = load_record(path)
    return None if data is None else _record(data)


def _record(data: Mapping[str, Any]) -> Record:
    return Record(
        rule=str(data["rule"]),
        wildcards={str(k): str(v) for k, v in dict(data.get("wildcards") or {}).items()},
        status=str(data.get("status", "")),
        reason=str(data.get("reason", "")),
        host=str(data.get("host", "")),
        slurm_job=str(data.get("slurm_job") or ""),
        facts=dict(data.get("facts") or {}),
    )
