"""What became of every unit: one table, the same as text for a terminal, and as a figure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

from longtake.figures.save import save
from longtake.figures.status import StatusRow, status_grid
from longtake.report.failures import as_here
from longtake.report.records import Records, Run
from longtake.report.units import log_of, redo, state_of
from longtake.status import Status
from longtake.store.atomic import write_text, write_tsv
from longtake.unit import Analysis, Facts, Study, Unit, analyses

SIGNS: dict[str, str] = {
    Status.OK: ".",
    Status.APPROXIMATE: "~",
    Status.OUTDATED: "o",
    Status.FAILED: "x",
    Status.BEGUN: "!",
    Status.MISSING: "-",
    Status.UNREADABLE: "?",
}
LEFT_OUT = "probe"
"""The row of subjects that could not be read."""
_OK = (
    "ok: its output is there, and is of the settings of now as far as it says. A changed box, model, other setting or "
    "code is not seen here: "
    "snakemake -n tells what would be made anew."
)
_MOST_TOLD = 40
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
    run = Run(results, f"{as_here(command)} --profile profiles/{{}}", ())
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
        found = analysis.left_out(study) if analysis.left_out else ()
        left_out |= {(unit.subject, reason): None for unit, reason in found}
    for subject, reason in left_out:
        yield UnitStatus(subject, "", LEFT_OUT, Status.UNREADABLE, reason)


def _unit(run: Run, analysis: Analysis, study: Study, unit: Unit, profile: str) -> UnitStatus:
    state = state_of(run, analysis, study, unit, outdated=True)
    odd, log = state.status != Status.OK, log_of(run, unit)
    if state.record is not None:
        profile = "slurm" if state.record.slurm_job else "laptop"
    return UnitStatus(
        unit.subject,
        unit.name,
        state.kind.row,
        state.status,
        state.reason,
        unit.where,
        str(log) if odd and log.is_file() else "",
        redo(run, unit, state.status).replace("{}", profile, 1) if odd else "",
    )


def _profile(logs: Path) -> str:
    """Where a job without a record runs, or would: on a cluster, where this one does or the first others did."""
    found = "SLURM_JOB_ID" in os.environ or any(record.slurm_job for record in islice(Records(logs), _MOST_ASKED))
    return "slurm" if found else "laptop"


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
