"""What became of every window: one table, the same as text for a terminal, and as a figure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

from longtake.annotate.checks import outdated
from longtake.figures.status import StatusRow, status_grid
from longtake.media.windows import Window
from longtake.report.draw import save
from longtake.report.failures import as_here
from longtake.report.records import Plan, Record, Records, Run, Table, read_record
from longtake.store.atomic import write_text, write_tsv

RULES = {"annotate": "annotate_window", "backward": "annotate_window_backward", "gradients": "gradients_window"}
"""Step of a window -> the rule of its job."""
BEGUN = "killed or running"
SIGNS = {"ok": ".", "approximate": "~", "outdated": "o", "failed": "x", BEGUN: "!", "missing": "-", "unreadable": "?"}
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
    """One window and step: what became of it (`SIGNS`), why, its log, and the command that redoes it alone.

    A video that could not be read has one row of its own, without a window.
    """

    video: str
    window: str
    step: str
    status: str
    reason: str = ""
    start_s: float | None = None
    stop_s: float | None = None
    log: str = ""
    command: str = ""


@dataclass
class _Tally:
    """What the text and the figure need: a sign for each window, and the first of those that are not ok."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    lines: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[UnitStatus] = field(default_factory=list)
    outdated: UnitStatus | None = None
    odd: int = 0

    def add(self, unit: UnitStatus) -> UnitStatus:
        self.counts.setdefault(unit.step, Counter())[unit.status] += 1
        key = (unit.video, unit.step)
        self.lines[key] = self.lines.get(key, "") + SIGNS[unit.status]
        if unit.status == "outdated":
            self.outdated = self.outdated or unit
        elif unit.status not in ("ok", "missing"):
            self.odd += 1
            if len(self.told) < _MOST_TOLD:
                self.told.append(unit)
        return unit


def write_status(
    *,
    results: Path,
    steps: Mapping[str, Sequence[str]],
    command: str,
    settings: Mapping[str, Any],
    table_out: Path,
    text_out: Path,
    figure_out: Path,
) -> tuple[str, dict[str, Any]]:
    """Write what became of every planned window, in three forms; return the text, and the counts by step and status.

    The folder is read as it stands; nothing is run. Of a window's table its metadata are read (0.2 ms). Memory: some
    hundred bytes a video, and a byte a window and step.

    Parameters
    ----------
    results
        The run's folder.
    steps
        Step (`RULES`) -> the videos whose windows take it.
    command
        How the run was started, without its profile.
    settings
        `frame_interval` and `continuity` as they are now; windows that were made with others are outdated.
    table_out
        Tab separated, a row a window and step (`UnitStatus`).
    """
    tally = _Tally()
    names = [each.name for each in fields(UnitStatus)]
    run = Run(results, f"{as_here(command)} --profile profiles/{{}}", (), {}, ())
    taking = {step: frozenset(videos) for step, videos in steps.items()}
    units = _units(run, taking, settings, _profile(results / "logs"))
    write_tsv(table_out, names, (asdict(tally.add(unit)) for unit in units))
    text = _text(tally)
    write_text(text_out, text)
    rows = [StatusRow(video, step, signs) for (video, step), signs in tally.lines.items()]
    save(status_grid(rows, {sign: status for status, sign in SIGNS.items()}), figure_out)
    return text, {step: dict(counted) for step, counted in tally.counts.items()}


def _units(
    run: Run, steps: Mapping[str, frozenset[str]], settings: Mapping[str, Any], profile: str
) -> Iterator[UnitStatus]:
    plan = Plan(run.results / "plan" / "windows.tsv")
    for row in Table(run.results / "plan" / "videos.tsv"):
        if row["status"] != "ok":
            yield UnitStatus(row["video"], "", "probe", row["status"], row["reason"])
        for window in plan.get(row["video"], ()):
            for step in steps:
                if row["video"] in steps[step]:
                    yield _unit(run, window, step, settings, profile)


def _unit(run: Run, window: Window, step: str, settings: Mapping[str, Any], profile: str) -> UnitStatus:
    rule, wildcards = RULES[step], {"video": window.video, "window": f"{window.window:04d}"}
    log = run.results / "logs" / rule / f"{window.video}.{window.window:04d}.log"
    record = read_record(log.with_suffix(".json"))
    if Path(run.target(rule, wildcards) or "").is_file():
        # What a gradient is taken around are the objects of its window.
        table = run.target(rule if step in ("annotate", "backward") else RULES["annotate"], wildcards)
        status, reason = _outdated(Path(table or ""), window, settings) or _judged(record)
    else:
        status, reason = _missing(record, log)
    odd = status != "ok"
    if record is not None:
        profile = "slurm" if record.slurm_job else "laptop"
    return UnitStatus(
        window.video,
        wildcards["window"],
        step,
        status,
        reason,
        window.start_s,
        window.stop_s,
        str(log) if odd and log.is_file() else "",
        run.redo(rule, wildcards, force=status == "approximate").replace("{}", profile, 1) if odd else "",
    )


def _profile(logs: Path) -> str:
    """Where a job without a record runs, or would: on a cluster, where this one does or the first others did."""
    found = "SLURM_JOB_ID" in os.environ or any(record.slurm_job for record in islice(Records(logs), _MOST_ASKED))
    return "slurm" if found else "laptop"


def _outdated(table: Path, window: Window, settings: Mapping[str, Any]) -> tuple[str, str] | None:
    if not table.is_file():
        return None
    reason = outdated(table, window, **settings)
    return ("outdated", reason) if reason else None


def _missing(record: Record | None, log: Path) -> tuple[str, str]:
    failed = record is not None and record.status == "failed"
    before = f"; before, it failed: {record.reason}" if record is not None and failed else ""
    if log.is_file() and (record is None or _goes_on(log)):
        return BEGUN, f"begun and not ended: it runs now, or was killed{before}"
    return ("failed", record.reason) if record is not None and failed else ("missing", "it has not run")


def _goes_on(log: Path) -> bool:
    """Whether a log was begun after the record beside it, which a job writes just before the last line of its log."""
    return log.stat().st_mtime > log.with_suffix(".json").stat().st_mtime + _LAST_LINES_S


def _judged(record: Record | None) -> tuple[str, str]:
    facts = record.facts if record is not None else {}
    if "status" in facts:
        return str(facts["status"]), str(facts.get("reason", ""))
    odd = {name: int(facts.get(name) or 0) for name in ("approximate", "failed")}
    if any(odd.values()):
        counted = " and ".join(f"{number} {name}" for name, number in odd.items() if number)
        return "approximate", f"{counted} of {sum(odd.values()) + int(facts.get('ok') or 0)} clips"
    return "ok", ""


def _text(tally: _Tally) -> str:
    lines = []
    for step, counted in tally.counts.items():
        listed = ", ".join(f"{counted[status]} {status} ({sign})" for status, sign in SIGNS.items() if counted[status])
        lines.append(f"{step}: {listed}")
    width = max((len(video) for video, _ in tally.lines), default=0)
    if any(counted["ok"] for counted in tally.counts.values()):
        lines.append(_OK)
    if tally.outdated:
        lines.append(
            f"Outdated is first window {tally.outdated.window} of {tally.outdated.video}: {tally.outdated.reason}"
        )
    steps = max((len(step) for _, step in tally.lines), default=0)
    lines += ["", *(f"{video:<{width}}  {step:<{steps}}  {signs}" for (video, step), signs in tally.lines.items())]
    for unit in tally.told:
        lines += ["", f"{unit.video}{unit.window and f', window {unit.window}'}, {unit.step}: {unit.status}"]
        lines += [f"    {part}" for part in (unit.reason, unit.log and f"log: {unit.log}", unit.command) if part]
    if tally.odd > len(tally.told):
        lines += ["", f"{tally.odd - len(tally.told)} more that are not ok stand in the table."]
    return "\n".join(lines) + "\n"
