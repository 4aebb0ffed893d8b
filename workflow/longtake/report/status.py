"""What became of every unit: one table, the same as text for a terminal, and as a figure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

from longtake.figures.status import StatusRow, status_grid
from longtake.report.draw import save
from longtake.report.failures import as_here
from longtake.report.records import Record, Records, Run, read_record
from longtake.store.atomic import write_text, write_tsv
from longtake.unit import Analysis, Facts, Kind, Study, Unit, analyses, kinds

BEGUN = "killed or running"
SIGNS = {"ok": ".", "approximate": "~", "outdated": "o", "failed": "x", BEGUN: "!", "missing": "-", "unreadable": "?"}
LEFT_OUT = "probe"
"""The row of subjects that could not be read."""
_OK = (
    "ok: its output is there, for the frames of now. A changed box, model, other setting or code is not seen here: "
    "snakemake -n tells what would be made anew."
)
_MOST_TOLD = 40
# How long a job may take for the end of its log.
_LAST_LINES_S = 10
# Records to look at for where jobs run.
_MOST_ASKED = 200


@dataclass(frozen=True)
class UnitStatus:
    """One unit: what became of it (`SIGNS`), why, its log, and the command that redoes it alone.

    A subject that could not be read has one row of its own, without a unit.
    """

    subject: str
    unit: str
    row: str
    status: str
    reason: str = ""
    where: str = ""
    log: str = ""
    command: str = ""


@dataclass
class _Tally:
    """What the text and the figure need: a sign for each unit, and the first of those that are not ok."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lines: dict[str, dict[str, str]] = field(default_factory=dict)
    told: list[UnitStatus] = field(default_factory=list)
    outdated: UnitStatus | None = None
    odd: int = 0

    def add(self, unit: UnitStatus) -> UnitStatus:
        self.counts.setdefault(unit.row, Counter())[unit.status] += 1
        lines = self.lines.setdefault(unit.subject, {})
        lines[unit.row] = lines.get(unit.row, "") + SIGNS[unit.status]
        if unit.status == "outdated":
            self.outdated = self.outdated or unit
        elif unit.status not in ("ok", "missing"):
            self.odd += 1
            if len(self.told) < _MOST_TOLD:
                self.told.append(unit)
        return unit

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield subject, row and signs, the rows of a subject one below the other."""
        for subject, lines in self.lines.items():
            for row, signs in lines.items():
                yield subject, row, signs


def write_status(
    *,
    results: Path,
    studies: Mapping[str, Facts],
    command: str,
    table_out: Path,
    text_out: Path,
    figure_out: Path,
) -> tuple[str, dict[str, Any]]:
    """Write what became of every planned unit, in three forms; return the text, and the counts by row and status.

    The folder is read as it stands; nothing is run. Of a window's table its metadata are read (0.2 ms). Memory: some
    hundred bytes a subject, and a byte a unit.

    Parameters
    ----------
    results
        The run's folder.
    studies
        Of each analysis that takes part, what the rules say of it (`longtake.unit.Study.facts`).
    command
        How the run was started, without its profile.
    table_out
        Tab separated, a row a unit (`UnitStatus`).
    """
    tally = _Tally()
    names = [each.name for each in fields(UnitStatus)]
    run = Run(results, f"{as_here(command)} --profile profiles/{{}}", (), {}, ())
    units = _units(run, {name: Study(results, facts) for name, facts in studies.items()}, _profile(results / "logs"))
    write_tsv(table_out, names, (asdict(tally.add(unit)) for unit in units))
    text = _text(tally)
    write_text(text_out, text)
    rows = [StatusRow(*row) for row in tally.rows()]
    save(status_grid(rows, {sign: status for status, sign in SIGNS.items()}), figure_out)
    return text, {row: dict(counted) for row, counted in tally.counts.items()}


def _units(run: Run, studies: Mapping[str, Study], profile: str) -> Iterator[UnitStatus]:
    left_out: dict[tuple[str, str], None] = {}
    for name, study in studies.items():
        analysis = analyses()[name]
        for unit in analysis.units(study) if analysis.units else ():
            yield _unit(run, analysis, study, unit, profile)
        left_out |= dict.fromkeys(analysis.left_out(study) if analysis.left_out else ())
    for subject, reason in left_out:
        yield UnitStatus(subject, "", LEFT_OUT, "unreadable", reason)


def _unit(run: Run, analysis: Analysis, study: Study, unit: Unit, profile: str) -> UnitStatus:
    kind = kinds()[unit.rule][1]
    log = run.results / "logs" / unit.rule / f"{unit.name or unit.rule}.log"
    record = read_record(log.with_suffix(".json"))
    if kind.path(run.results, unit).is_file():
        reason = analysis.outdated(study, unit) if analysis.outdated else ""
        status, reason = ("outdated", reason) if reason else judged(kind, record)
    else:
        status, reason = _missing(record, log)
    odd = status != "ok"
    if record is not None:
        profile = "slurm" if record.slurm_job else "laptop"
    return UnitStatus(
        unit.subject,
        unit.name,
        kind.row,
        status,
        reason,
        unit.where,
        str(log) if odd and log.is_file() else "",
        run.redo(unit.rule, unit.wildcards, force=status == "approximate").replace("{}", profile, 1) if odd else "",
    )


def _profile(logs: Path) -> str:
    """Where a job without a record runs, or would: on a cluster, where this one does or the first others did."""
    found = "SLURM_JOB_ID" in os.environ or any(record.slurm_job for record in islice(Records(logs), _MOST_ASKED))
    return "slurm" if found else "laptop"


def _missing(record: Record | None, log: Path) -> tuple[str, str]:
    failed = record is not None and record.status == "failed"
    before = f"; before, it failed: {record.reason}" if record is not None and failed else ""
    if log.is_file() and (record is None or _goes_on(log)):
        return BEGUN, f"begun and not ended: it runs now, or was killed{before}"
    return ("failed", record.reason) if record is not None and failed else ("missing", "it has not run")


def _goes_on(log: Path) -> bool:
    """Whether a log was begun after the record beside it, which a job writes just before the last line of its log."""
    return log.stat().st_mtime > log.with_suffix(".json").stat().st_mtime + _LAST_LINES_S


def judged(kind: Kind, record: Record | None) -> tuple[str, str]:
    """Return how a unit ended whose output is there, and why: by what its job said of itself, or of its parts."""
    facts = record.facts if record is not None else {}
    if "status" in facts:
        return str(facts["status"]), str(facts.get("reason", ""))
    odd = {name: int(facts.get(name) or 0) for name in ("approximate", "failed")}
    if kind.parts and any(odd.values()):
        counted = " and ".join(f"{number} {name}" for name, number in odd.items() if number)
        return "approximate", f"{counted} of {sum(odd.values()) + int(facts.get('ok') or 0)} {kind.parts}"
    return "ok", ""


def _text(tally: _Tally) -> str:
    lines = []
    for row, counted in tally.counts.items():
        listed = ", ".join(f"{counted[status]} {status} ({sign})" for status, sign in SIGNS.items() if counted[status])
        lines.append(f"{row}: {listed}")
    if any(counted["ok"] for counted in tally.counts.values()):
        lines.append(_OK)
    if tally.outdated:
        lines.append(f"Outdated is first {tally.outdated.unit} of {tally.outdated.subject}: {tally.outdated.reason}")
    rows = list(tally.rows())
    first, second = (max((len(row[at]) for row in rows), default=0) for at in (0, 1))
    lines += ["", *(f"{subject:<{first}}  {row:<{second}}  {signs}" for subject, row, signs in rows)]
    for unit in tally.told:
        lines += ["", f"{unit.row}, {unit.unit or unit.subject}: {unit.status}"]
        lines += [f"    {part}" for part in (unit.reason, unit.log and f"log: {unit.log}", unit.command) if part]
    if tally.odd > len(tally.told):
        lines += ["", f"{tally.odd - len(tally.told)} more that are not ok stand in the table."]
    return "\n".join(lines) + "\n"
