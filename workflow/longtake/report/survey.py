"""Everything that the report says of a run as a whole, found in one pass: one record and one unit at a time.

What is kept does not grow with the number of jobs; with that of subjects it grows by the names of those in trouble.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from longtake.report.records import Record, Run
from longtake.report.units import redo, state_of
from longtake.status import ENDS, Status
from longtake.unit import Analysis, Study, Trouble, analyses, kinds

MOST_TROUBLES = 400
RANK: dict[str, int] = {
    Status.UNREADABLE: 0,
    Status.FAILED: 1,
    Status.BEGUN: 1,
    Status.MISSING: 2,
    Status.APPROXIMATE: 3,
}
"""How bad each status is, the worst first."""


@dataclass
class Survey:
    """A run as a whole.

    Attributes
    ----------
    units : of each kind of job, how many units there are of each status
    parts : of what jobs do in parts (clips), the same
    troubles, n_troubles : the worst `MOST_TROUBLES` of what needs a look, and how many there are
    ranks : of each subject in trouble, that of the worst that is wrong with it (`RANK`)
    hosts : machines
    """

    units: dict[str, Counter[str]] = field(default_factory=dict)
    parts: dict[str, Counter[str]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    n_troubles: int = 0
    ranks: dict[str, int] = field(default_factory=dict)
    hosts: set[str] = field(default_factory=set)


def survey(run: Run) -> Survey:
    """Read all of a run once."""
    found = Survey()
    kept: list[tuple[int, int, Trouble]] = []

    def tell(order: int, troubles: Iterable[Trouble]) -> None:
        for trouble in troubles:
            found.n_troubles += 1
            rank = RANK.get(trouble.status, len(RANK))
            if trouble.subject:
                found.ranks[trouble.subject] = min(rank, found.ranks.get(trouble.subject, rank))
            kept.append((rank, order, trouble))
        if len(kept) > 2 * MOST_TROUBLES:
            kept[:] = heapq.nsmallest(MOST_TROUBLES, kept, key=_by_rank)

    # Failures of other jobs come before units, and units before what else was told, where they rank alike.
    for record in run.records:
        found.hosts |= {record.host} - {""}
        tell(1, _of_record(run, record))
    told: set[str] = set()
    for name, study in run.studies.items():
        analysis = analyses()[name]
        for trouble in _left_out(run, analysis, study):
            # Several analyses may have one sheet.
            tell(0, [trouble] if trouble.what not in told else [])
            told.add(trouble.what)
        tell(2, _of_units(run, analysis, study, found))
        tell(3, analysis.troubles(study) if analysis.troubles else ())
    found.troubles = [trouble for *_, trouble in heapq.nsmallest(MOST_TROUBLES, kept, key=_by_rank)]
    return found


def _of_record(run: Run, record: Record) -> Iterator[Trouble]:
    """Yield that a job failed; those that use a model are judged as units."""
    if record.status != Status.OK and record.rule not in kinds():
        command = run.redo(record.rule, record.wildcards, force=False)
        subject = next(iter(record.wildcards.values()), "")
        yield Trouble(f"{record.rule}, {record.unit}", Status.FAILED, record.reason, subject, command)


def _left_out(run: Run, analysis: Analysis, study: Study) -> Iterator[Trouble]:
    for unit, reason in analysis.left_out(study) if analysis.left_out else ():
        words = " ".join(f"{name} {value}" for name, value in unit.wildcards.items())
        yield Trouble(words, Status.UNREADABLE, reason, unit.subject, run.redo(unit.rule, unit.wildcards, force=True))


def _of_units(run: Run, analysis: Analysis, study: Study, found: Survey) -> Iterator[Trouble]:
    """Yield the units that did not end as ok, and count all of them."""
    for unit in analysis.units(study) if analysis.units else ():
        state = state_of(run, analysis, study, unit, outdated=False)
        found.units.setdefault(state.kind.row, Counter())[state.status] += 1
        if state.kind.parts and state.record is not None:
            counted = {name: int(state.record.facts.get(name) or 0) for name in ENDS}
            found.parts.setdefault(state.kind.parts, Counter()).update(counted)
        if state.status != Status.OK:
            more = analysis.why(study, unit) if analysis.why and state.status == Status.APPROXIMATE else ""
            reason = f"{state.reason}: {more}" if more else state.reason
            what = f"{state.kind.row}, {unit.name or unit.subject}"
            yield Trouble(what, state.status, reason, unit.subject, redo(run, unit, state.status))


def _by_rank(entry: tuple[int, int, Trouble]) -> tuple[int, int]:
    return entry[:2]
