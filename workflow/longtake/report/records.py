"""What the jobs of a run say of themselves, and what the plan asked for: the report's facts, read and judged.

A run's folder is read as it stands. Whatever a step has not written yet, or failed to write, is simply not there:
a report must be possible above all when something went wrong.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from longtake.cells import read_cells
from longtake.errors import SchemaError
from longtake.figures import WindowState, band
from longtake.media.windows import Window, parse_windows
from longtake.store.records import load_record, scan_all_records
from longtake.store.schemas import CLIPS, DETECTIONS, PROMPTS
from longtake.store.tables import read_table, scan_batches
from longtake.unit import target_of


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
class Trouble:
    """Something that did not end as ``ok``, the command that redoes just that, and the video that it is about."""

    what: str
    status: str
    reason: str
    command: str
    video: str = ""


@dataclass(frozen=True)
class Run:
    """A run's folder as the report sees it; videos, windows and records are read as often as they are asked for."""

    results: Path
    command: str
    videos: Iterable[Mapping[str, str]]
    plan: Mapping[str, Sequence[Window]]
    records: Iterable[Record]

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


class Table:
    """The rows of a tab-separated table, read anew each time; none where it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[dict[str, str]]:
        if self._path.is_file():
            with self._path.open(encoding="utf-8", newline="") as file:
                yield from read_cells(file)


class Plan(Mapping[str, Sequence[Window]]):
    """The windows of each video, read when asked for; holds where in the table each video's lines are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header = ""
        self._lines: dict[str, list[int]] = {}
        if not path.is_file():
            return
        with path.open("rb") as file:
            self._header = file.readline().decode("utf-8")
            place = file.tell()
            for line in file:
                video = line.split(b"\t", 1)[0].decode("utf-8")
                self._lines.setdefault(video, [place, place])[1] = place + len(line)
                place += len(line)

    def __getitem__(self, video: str) -> list[Window]:
        start, stop = self._lines[video]
        with self._path.open("rb") as file:
            file.seek(start)
            lines = file.read(stop - start).decode("utf-8").splitlines()
        return [window for window in parse_windows(chain([self._header], lines)) if window.video == video]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


class Records:
    """The records of all jobs, by rule and unit, read anew each time (`longtake.store.records`)."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    def __iter__(self) -> Iterator[Record]:
        yield from map(_record, scan_all_records(self._logs))


def read_run(results: Path, command: str = "snakemake") -> Run:
    """Read where the plan and the records of a run are; memory follows the number of videos, some 300 bytes each.

    `command` is how the run was started; where it names no profile, that is told by where its jobs ran.
    """
    records = Records(results / "logs")
    if "--profile" not in command:
        command += f" --profile profiles/{'slurm' if any(record.slurm_job for record in records) else 'laptop'}"
    return Run(
        results, command, Table(results / "plan" / "videos.tsv"), Plan(results / "plan" / "windows.tsv"), records
    )


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


def window_states(run: Run, video: str) -> list[WindowState]:
    """What became of each planned window: by its job's record, else by the rows of its output, else missing."""
    windows, logs = run.plan.get(video, ()), run.results / "logs" / "annotate_window"
    told = {w.window: read_record(logs / f"{video}.{w.window:04d}.json") for w in windows}
    return band(windows, {w.window: _window_status(run, w, told[w.window]) for w in windows})


def _window_status(run: Run, window: Window, record: Record | None) -> tuple[str, str]:
    target = run.target("annotate_window", {"video": window.video, "window": f"{window.window:04d}"})
    exists = target is not None and Path(target).is_file()
    if record is not None and record.status == "failed" and not exists:
        return "failed", record.reason
    if not exists and not (run.results / "detections" / f"{window.video}.parquet").is_file():
        return "missing", "the job has not run, or what it needs failed"
    if record is None:
        return _told_by_output(target, window)
    return str(record.facts.get("status", "ok")), str(record.facts.get("reason", ""))


def _told_by_output(target: str | None, window: Window) -> tuple[str, str]:
    try:
        return told_by_rows(Path(target or "")).get(window.window, ("ok", ""))
    except SchemaError:
        return "ok", ""


def told_by_rows(detections: Path) -> dict[int, tuple[str, str]]:
    """Windows of which a row of `detections` says anything but ok: approximate, with what the rows say.

    Memory: one batch of the table.
    """
    reasons: dict[int, set[str]] = {}
    for batch in scan_batches(detections, DETECTIONS, columns=("window", "status")):
        pairs = pa.table({"window": batch.column("window"), "status": batch.column("status")})
        for row in pairs.group_by(["window", "status"]).aggregate([]).to_pylist():
            if row["status"] != "ok":
                reasons.setdefault(row["window"], set()).add(row["status"])
    return {window: ("approximate", ", ".join(sorted(odd))) for window, odd in reasons.items()}


def job_troubles(run: Run, record: Record) -> Iterator[Trouble]:
    """Yield what a job's record tells of: that it failed, or clips did; windows are judged by `window_troubles`."""
    video = record.wildcards.get("video", "")
    if record.status != "ok" and record.rule != "annotate_window":
        command = run.redo(record.rule, record.wildcards, force=False)
        yield Trouble(f"{record.rule}, {record.unit}", "failed", record.reason, command, video)
    odd = record.facts.get("failed") or record.facts.get("approximate")
    if record.rule == "gradients_window" and record.status == "ok" and odd:
        for (status, reason), number in sorted(_clip_reasons(run, record).items()):
            command = run.redo(record.rule, record.wildcards, force=True)
            yield Trouble(f"{number} clip{'' if number == 1 else 's'}, {record.unit}", status, reason, command, video)


def video_trouble(run: Run, row: Mapping[str, str]) -> Iterator[Trouble]:
    """Yield that a video could not be read, if so."""
    if row.get("status") != "ok":
        video = row.get("video", "")
        command = run.redo("probe_video", {"video": video}, force=True)
        yield Trouble(f"video {video}", "unreadable", row.get("reason", ""), command, video)


def window_troubles(run: Run, video: str, states: Iterable[WindowState]) -> Iterator[Trouble]:
    """Yield the windows of a video that did not end as ok."""
    for state in states:
        if state.status != "ok":
            unit = {"video": video, "window": f"{state.window:04d}"}
            command = run.redo("annotate_window", unit, force=state.status == "approximate")
            yield Trouble(f"{video}, window {state.window}", state.status, state.reason, command, video)


def prompt_troubles(run: Run, video: str, prompts: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    """Yield the prompts of a video that were not used."""
    for row in prompts:
        if row["status"] == "failed":
            what = f"{video}, prompt of {row['object']} at frame {row['frame']}"
            yield Trouble(what, "failed", row["reason"], run.command, video)


def _clip_reasons(run: Run, record: Record) -> Counter[tuple[str, str]]:
    """Clips of a window by status and reason, those that are ok left out."""
    target = run.target(record.rule, record.wildcards)
    try:
        table = read_table(target or "", CLIPS).select(["status", "reason"])
    except SchemaError:
        return Counter({("failed", "the table of clips is missing"): int(record.facts.get("failed") or 0)})
    told = ((row["status"], row["reason"] or "") for row in table.to_pylist())
    return Counter(pair for pair in told if pair[0] != "ok")


def prompts_of(run: Run, video: str) -> list[dict[str, Any]]:
    """Read how the prompts of a video fared; nothing where its windows have not been merged."""
    try:
        return read_table(run.results / "detections" / f"{video}.prompts.parquet", PROMPTS).to_pylist()
    except SchemaError:
        return []
