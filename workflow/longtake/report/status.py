"""What became of every window: one table, the same as text for a terminal, and as a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from longtake.figures.status import StatusRow, status_grid
from longtake.report.draw import save
from longtake.report.records import Plan, Record, Run, Table, read_record
from longtake.store.atomic import write_text, write_tsv
from longtake.windows import Window

RULES = {"annotate": "annotate_window", "backward": "annotate_window_backward", "gradients": "gradients_window"}
"""Step of a window -> the rule of its job."""
SIGNS = {"ok": ".", "approximate": "~", "failed": "x", "missing": "-", "unreadable": "?"}
_MOST_TOLD = 40


@dataclass(frozen=True)
class UnitStatus:
    """One window and step: ok, approximate, failed or missing, why, its log, and the command that redoes it alone.

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
    odd: int = 0

    def add(self, unit: UnitStatus) -> UnitStatus:
        self.counts.setdefault(unit.step, Counter())[unit.status] += 1
        key = (unit.video, unit.step)
        self.lines[key] = self.lines.get(key, "") + SIGNS[unit.status]
        if unit.status not in ("ok", "missing"):
            self.odd += 1
            if len(self.told) < _MOST_TOLD:
                self.told.append(unit)
        return unit


def write_status(
    *,
    results: Path,
    steps: Mapping[str, Sequence[str]],
    command: str,
    table_out: Path,
    text_out: Path,
    figure_out: Path,
) -> tuple[str, dict[str, Any]]:
    """Write what became of every planned window, in three forms; return the text, and the counts by step and status.

    The folder is read as it stands; nothing is run. Memory: some hundred bytes a video, and a byte a window and step.

    Parameters
    ----------
    results
        The run's folder.
    steps
        Step (`RULES`) -> the videos whose windows take it.
    command
        How the run was started, without its profile.
    table_out
        Tab separated, a row a window and step (`UnitStatus`).
    """
    tally = _Tally()
    names = [each.name for each in fields(UnitStatus)]
    units = _units(results, {step: frozenset(videos) for step, videos in steps.items()}, command)
    write_tsv(table_out, names, (asdict(tally.add(unit)) for unit in units))
    text = _text(tally)
    write_text(text_out, text)
    rows = [StatusRow(video, step, signs) for (video, step), signs in tally.lines.items()]
    save(status_grid(rows, {sign: status for status, sign in SIGNS.items()}), figure_out)
    return text, {step: dict(counted) for step, counted in tally.counts.items()}


def _units(results: Path, steps: Mapping[str, frozenset[str]], command: str) -> Iterator[UnitStatus]:
    plan = Plan(results / "plan" / "windows.tsv")
    for row in Table(results / "plan" / "videos.tsv"):
        if row["status"] != "ok":
            yield UnitStatus(row["video"], "", "probe", row["status"], row["reason"])
        for window in plan.get(row["video"], ()):
            for step in steps:
                if row["video"] in steps[step]:
                    yield _unit(results, window, step, command)


def _unit(results: Path, window: Window, step: str, command: str) -> UnitStatus:
    rule, wildcards = RULES[step], {"video": window.video, "window": f"{window.window:04d}"}
    log = results / "logs" / rule / f"{window.video}.{window.window:04d}.log"
    record = read_record(log.with_suffix(".json"))
    profile = "slurm" if record is not None and record.slurm_job else "laptop"
    run = Run(results, f"{command} --profile profiles/{profile}", (), {}, ())
    status, reason = _judged(Path(run.target(rule, wildcards) or "").is_file(), record, log)
    odd = status != "ok"
    return UnitStatus(
        window.video,
        wildcards["window"],
        step,
        status,
        reason,
        window.start_s,
        window.stop_s,
        str(log) if odd and log.is_file() else "",
        run.redo(rule, wildcards, force=status == "approximate") if odd else "",
    )


def _judged(exists: bool, record: Record | None, log: Path) -> tuple[str, str]:
    facts = record.facts if record is not None else {}
    if not exists:
        if record is not None and record.status == "failed":
            return "failed", record.reason
        begun = log.is_file() and record is None
        return "missing", "begun and not ended: it runs now, or was killed" if begun else "it has not run"
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
    steps = max((len(step) for _, step in tally.lines), default=0)
    lines += ["", *(f"{video:<{width}}  {step:<{steps}}  {signs}" for (video, step), signs in tally.lines.items())]
    for unit in tally.told:
        lines += ["", f"{unit.video}{unit.window and f', window {unit.window}'}, {unit.step}: {unit.status}"]
        lines += [f"    {part}" for part in (unit.reason, unit.log and f"log: {unit.log}", unit.command) if part]
    if tally.odd > len(tally.told):
        lines += ["", f"{tally.odd - len(tally.told)} more that are not ok stand in the table."]
    return "\n".join(lines) + "\n"
