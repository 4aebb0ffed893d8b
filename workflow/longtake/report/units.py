"""What became of a unit, told from its output, its job's record and its log, as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longtake.report.records import Record, Run, read_record
from longtake.status import ENDS, Status
from longtake.unit import Analysis, Kind, Study, Unit, kinds

# How long a job may take for the end of its log.
_LAST_LINES_S = 10


@dataclass(frozen=True)
class State:
    """A unit's status and the reason, of which kind it is, and its job's record where there is one."""

    status: str
    reason: str
    kind: Kind
    record: Record | None


def log_of(run: Run, unit: Unit) -> Path:
    """Return the log of a unit's job."""
    return run.results / "logs" / unit.rule / f"{unit.name or unit.rule}.log"


def redo(run: Run, unit: Unit, status: str) -> str:
    """Return the command that redoes a unit alone; one whose output is there, and not outdated, must be forced."""
    made = kinds()[unit.rule][1].path(run.results, unit).is_file()
    return run.redo(unit.rule, unit.wildcards, force=made and status != Status.OUTDATED)


def state_of(run: Run, analysis: Analysis, study: Study, unit: Unit, *, outdated: bool) -> State:
    """Tell what became of a unit; with `outdated` also whether its output is what the settings ask for now."""
    kind, log = kinds()[unit.rule][1], log_of(run, unit)
    record = read_record(log.with_suffix(".json"))
    if not kind.path(run.results, unit).is_file():
        return State(*_missing(record, log), kind, record)
    why = analysis.outdated(study, unit) if outdated and analysis.outdated else ""
    status, reason = (Status.OUTDATED, why) if why else _judged(kind, record)
    return State(status, reason, kind, record)


def _missing(record: Record | None, log: Path) -> tuple[str, str]:
    failed = record is not None and record.status == Status.FAILED
    before = f"; before, it failed: {record.reason}" if record is not None and failed else ""
    if log.is_file() and (record is None or _goes_on(log)):
        return Status.BEGUN, f"begun and not ended: it runs now, or was killed{before}"
    return (Status.FAILED, record.reason) if record is not None and failed else (Status.MISSING, "it has not run")


def _goes_on(log: Path) -> bool:
    """Whether a log was begun after the record beside it, which a job writes just before the last line of its log."""
    return log.stat().st_mtime > log.with_suffix(".json").stat().st_mtime + _LAST_LINES_S


def _judged(kind: Kind, record: Record | None) -> tuple[str, str]:
    """How a unit ended whose output is there, and why: by what its job said of itself, or of its parts.

    One of which every part failed has failed: there is nothing in it that would be an approximation.
    """
    facts = record.facts if record is not None else {}
    if "status" in facts:
        return str(facts["status"]), str(facts.get("reason", ""))
    counted = {status: int(facts.get(status) or 0) for status in ENDS}
    odd = [f"{number} {status}" for status, number in counted.items() if number and status != Status.OK]
    if kind.parts and odd:
        total = sum(counted.values())
        status = Status.FAILED if counted[Status.FAILED] == total else Status.APPROXIMATE
        return status, f"{' and '.join(odd)} of {total} {kind.parts}"
    return Status.OK, ""
