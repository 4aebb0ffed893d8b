"""What an analysis is to the rest of the house: its jobs of models, their units, and what it adds to status and report.

An analysis is a folder of the library with a module ``analysis`` that defines ``ANALYSIS``. Nobody lists the analyses:
they are found by their folders. The Snakefile reads all of these modules in every job, so they load neither PyTorch nor
arrays nor tables; what needs those is imported inside the functions that they name.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parent

Facts = Mapping[str, Any]
"""What an analysis' rule file says of a study to its own functions: plain values, the same in every job."""


@dataclass(frozen=True)
class Kind:
    """One kind of job that uses a model: a rule, of which the plan asks for memory and time unit by unit.

    Attributes
    ----------
    rule : its name; its logs are ``logs/{rule}/{unit}.log``, where a unit is its wildcards joined by dots
    target : the file that stands for a unit, under the results' folder, with the wildcards of the rule in braces
    row : what the status grid calls it
    work : what a unit's work is counted in: frames, samples, arrays, clips
    parts : what a job's counts of ``ok``, ``approximate`` and ``failed`` are of; empty where a job ends as one
    """

    rule: str
    target: str
    row: str
    work: str = "frames"
    parts: str = ""

    def path(self, results: Path, unit: Unit) -> Path:
        """Return the file that stands for a unit."""
        return results / self.target.format(**unit.wildcards)


@dataclass(frozen=True)
class Unit:
    """One job of a model.

    Attributes
    ----------
    rule : of the job
    wildcards : of the job, in the order in which they name its log
    subject : the row of the status grid: a video, a case, a prompt group, a network
    work : how much there is to do, in the words of its `Kind`
    load : what is held at a time, by name: an earlier job counts if its load is at least as large in each
    case : whose forecasts hold for it; by default its subject's
    where : which part of the subject, for people: seconds of a video, a fold
    detail : what else the analysis' own functions want to know of it
    """

    rule: str
    wildcards: Mapping[str, str]
    subject: str
    work: int
    load: Mapping[str, int] = field(default_factory=dict)
    case: str = ""
    where: str = ""
    detail: Any = None

    @property
    def name(self) -> str:
        """The unit as its log and its row of the plan are named."""
        return unit_name(self.wildcards)

    @property
    def forecast(self) -> str:
        """The case whose forecasts hold for it."""
        return self.case or self.subject


@dataclass(frozen=True)
class Done:
    """What a job did, in its record under ``done``: plans of later jobs go by it.

    Attributes
    ----------
    work : how much was computed
    seconds : how long that took, without what takes as long for a little work as for much
    load : what was held at a time, by the names of `Unit.load`
    alike : whether `work` is counted as that of the unit; else a unit is taken for one as full as the fullest
    settled : whether it was enough for its pace to be that of more of it
    """

    work: float
    seconds: float
    load: Mapping[str, int] = field(default_factory=dict)
    alike: bool = True
    settled: bool = True


def unit_name(wildcards: Mapping[str, str]) -> str:
    """Return the name of a unit: the values of its wildcards, joined by dots."""
    return ".".join(wildcards.values())


@dataclass(frozen=True)
class Section:
    """A part of the report: what it shows, and a Jinja2 template for that beside the analysis' modules.

    `data` is called with the study and returns the template's variables; None where there is nothing to show. Without a
    `template` its one variable ``parts`` is shown: pieces of HTML (`longtake.figures.markup`), which may be made one by
    one, so that a section need not hold all videos. `place` orders the sections of all analyses.
    """

    anchor: str
    heading: str
    data: Callable[[Study], Mapping[str, Any] | None]
    template: str = ""
    place: int = 50


@dataclass(frozen=True)
class Study:
    """A run as the functions of an analysis see it: its folder, and what the rules say of the study.

    `ranks`: of each subject that the report has to say something of, how bad the worst of it is, 0 first.
    """

    results: Path
    facts: Facts = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """Something that did not end as it was asked, of which subject, and the command that redoes just that."""

    what: str
    status: str
    reason: str
    subject: str = ""
    command: str = ""


@dataclass(frozen=True)
class Tile:
    """A count at the top of the report, and words below it."""

    name: str
    value: str
    words: str = ""


@dataclass(frozen=True)
class Analysis:
    """An analysis, as the plan, the status, the memory tables and the report know it.

    Attributes
    ----------
    name : of its folder, its rule file and its section of the settings
    kinds : its jobs of models; none of an analysis that uses none
    units : yields the units of a study; what it reads lies in the study's folder (``needs`` of its rule file)
    outdated : why the output of a unit is not what the settings ask for now; empty where it is
    left_out : yields what cannot be read and has no units: the job that said so, as a unit, and why
    why : more of why parts of a unit are not ok
    troubles : yields what else of a study is not as it was asked
    steady : whether a job's time goes with its work alone, so that earlier jobs tell it better than a forecast does
    targets : of its other rules, the file that stands for one unit of each, as `Kind.target` has it
    sections : what it adds to the report
    tiles : what it counts at the top of the report
    """

    name: str
    kinds: tuple[Kind, ...] = ()
    units: Callable[[Study], Iterable[Unit]] | None = None
    outdated: Callable[[Study, Unit], str] | None = None
    left_out: Callable[[Study], Iterable[tuple[Unit, str]]] | None = None
    why: Callable[[Study, Unit], str] | None = None
    troubles: Callable[[Study], Iterable[Trouble]] | None = None
    steady: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[Section, ...] = ()
    tiles: Callable[[Study], Iterable[Tile]] | None = None

    @property
    def folder(self) -> Path:
        """Where its modules and templates lie."""
        return LIBRARY / self.name

    @property
    def module(self) -> str:
        """The module that defines it; a rule whose job asks all analyses has the digest of each."""
        return f"longtake.{self.name}.analysis"


@cache
def analyses() -> Mapping[str, Analysis]:
    """Return every analysis by name, in alphabetical order: those whose folders have a module ``analysis``."""
    names = sorted(path.parent.name for path in LIBRARY.glob("*/analysis.py"))
    return {name: import_module(f"longtake.{name}.analysis").ANALYSIS for name in names}


@cache
def kinds() -> Mapping[str, tuple[Analysis, Kind]]:
    """Return every job that uses a model, by its rule, and whose it is."""
    return {kind.rule: (analysis, kind) for analysis in analyses().values() for kind in analysis.kinds}


@cache
def targets() -> Mapping[str, str]:
    """Return the file that stands for a unit of each rule that an analysis named."""
    found = {rule: target for analysis in analyses().values() for rule, target in analysis.targets.items()}
    return {**found, **{rule: kind.target for rule, (_, kind) in kinds().items()}}


def seen(results: Path, facts: Mapping[str, Facts]) -> str:
    """Return a digest of when the files and records of all units were written, of the analyses that `facts` are of."""
    found = hashlib.sha256()
    for name, given in facts.items():
        analysis = analyses()[name]
        for unit in analysis.units(Study(results, given)) if analysis.units else ():
            target = kinds()[unit.rule][1].path(results, unit)
            for path in (target, results / "logs" / unit.rule / f"{unit.name}.json"):
                found.update(f"{path} {path.stat().st_mtime_ns if path.exists() else None}\n".encode())
    return found.hexdigest()


def target_of(rule: str, wildcards: Mapping[str, str]) -> str | None:
    """Return the file, under the results' folder, that stands for a unit; None for a rule without one."""
    pattern = targets().get(rule)
    if pattern is None or not {name for _, name, _, _ in string.Formatter().parse(pattern) if name} <= set(wildcards):
        return None
    return pattern.format(**wildcards)
