"""What the jobs of a run say of themselves, and what the plan asked for: the report's facts, read and judged.

A run's folder is read as it stands. Whatever a step has not written yet, or failed to write, is simply not there:
a report must be possible above all when something went wrong.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from longtake.errors import SchemaError
from longtake.figures import WindowState, band
from longtake.store.schemas import CLIPS, DETECTIONS, PROMPTS
from longtake.store.tables import read_table, scan_batches
from longtake.windows import Window, read_windows

# Rule -> the file that asks Snakemake for this unit alone.
_TARGETS = {
    "probe_video": "probe/{video}.json",
    "annotate_window": "annotate/{video}/window-{window}.parquet",
    "annotate_window_backward": "annotate/{video}/window-{window}.backward.parquet",
    "gradients_window": "gradients/{video}/window-{window}.clips.parquet",
    "merge_detections": "detections/{video}.parquet",
    "merge_gradients": "gradients/{video}.clips.parquet",
    "video_statistics": "statistics/videos/{video}/species.parquet",
    "species_statistics": "statistics/species.parquet",
    "video_figures": "figures/{video}/timeline.png",
    "study_figures": "figures/species.png",
    "overlay": "export/{video}.mp4",
    "heat_video": "figures/{video}/heat.mp4",
    "model_comparison": "statistics/models.parquet",
    "convert": "export/{video}.{ending}",
}


@dataclass(frozen=True)
class Record:
    """The record of one job: rule, unit, how it ended and what it used (MiB, s)."""

    rule: str
    wildcards: Mapping[str, str]
    status: str
    reason: str
    rss_mb: float | None
    requested_mem_mb: float | None
    gpu_allocated_mb: float
    gpu_reserved_mb: float
    wall_s: float | None
    cpu_s: float | None
    host: str
    slurm_job: str
    facts: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """The unit that the job worked on, in words."""
        return " ".join(f"{name} {value}" for name, value in self.wildcards.items()) or "the study"


@dataclass(frozen=True)
class Trouble:
    """Something that did not end as ``ok``, and the command that redoes just that."""

    what: str
    status: str
    reason: str
    command: str


@dataclass(frozen=True)
class Run:
    """A run's folder as the report sees it."""

    results: Path
    command: str
    videos: Sequence[Mapping[str, str]]
    plan: Mapping[str, Sequence[Window]]
    records: Sequence[Record]

    def target(self, rule: str, wildcards: Mapping[str, str]) -> str | None:
        """The file that stands for a unit, as Snakemake knows it; None for a rule without one."""
        pattern = _TARGETS.get(rule)
        if pattern is None or not set(_names(pattern)) <= set(wildcards):
            return None
        return str(self.results / pattern.format(**wildcards))

    def redo(self, rule: str, wildcards: Mapping[str, str], *, force: bool) -> str:
        """The command that makes a unit; with `force` also where its output exists."""
        target = self.target(rule, wildcards)
        if target is None:
            return self.command
        # Options like --configfile take every word up to "--", the target included.
        return f"{self.command} {'--force ' if force else ''}-- {shlex.quote(target)}"


def _names(pattern: str) -> list[str]:
    return [part.split("}")[0] for part in pattern.split("{")[1:]]


def read_run(results: Path, command: str = "snakemake") -> Run:
    """Read the plan and the records of a run; memory follows the number of jobs.

    `command` is how the run was started; where it names no profile, that is told by where its jobs ran.
    """
    videos_file, windows_file = results / "plan" / "videos.tsv", results / "plan" / "windows.tsv"
    videos: list[dict[str, str]] = []
    if videos_file.is_file():
        with videos_file.open(encoding="utf-8", newline="") as file:
            videos = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    plan = read_windows(windows_file) if windows_file.is_file() else {}
    records = sorted(_records(results / "logs"), key=_order)
    if "--profile" not in command:
        command += f" --profile profiles/{'slurm' if any(record.slurm_job for record in records) else 'laptop'}"
    return Run(results, command, videos, plan, records)


def _order(record: Record) -> tuple[str, tuple[str, ...]]:
    return record.rule, tuple(record.wildcards.values())


def _records(logs: Path) -> Iterator[Record]:
    for path in sorted(logs.glob("*/*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a record that is being written, or was torn, says nothing
        if isinstance(data, dict) and "rule" in data:
            yield Record(
                rule=str(data["rule"]),
                wildcards={str(k): str(v) for k, v in dict(data.get("wildcards") or {}).items()},
                status=str(data.get("status", "")),
                reason=str(data.get("reason", "")),
                rss_mb=_number(data.get("rss_mb")),
                requested_mem_mb=_number(data.get("requested_mem_mb")),
                gpu_allocated_mb=_number(data.get("gpu_allocated_mb")) or 0.0,
                gpu_reserved_mb=_number(data.get("gpu_reserved_mb")) or 0.0,
                wall_s=_number(data.get("wall_s")),
                cpu_s=_number(data.get("cpu_s")),
                host=str(data.get("host", "")),
                slurm_job=str(data.get("slurm_job") or ""),
                facts=dict(data.get("facts") or {}),
            )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def window_states(run: Run, video: str) -> list[WindowState]:
    """What became of each planned window: by its job's record, else by the rows of its output, else missing."""
    windows = run.plan.get(video, ())
    told = {
        int(record.wildcards["window"]): record
        for record in run.records
        if record.rule == "annotate_window" and record.wildcards.get("video") == video
    }
    return band(windows, {w.window: _window_status(run, w, told.get(w.window)) for w in windows})


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
    for batch in scan_batches(detections, DETECTIONS):
        pairs = pa.table({"window": batch.column("window"), "status": batch.column("status")})
        for row in pairs.group_by(["window", "status"]).aggregate([]).to_pylist():
            if row["status"] != "ok":
                reasons.setdefault(row["window"], set()).add(row["status"])
    return {window: ("approximate", ", ".join(sorted(odd))) for window, odd in reasons.items()}


def troubles(run: Run) -> list[Trouble]:
    """Everything unreadable, failed, missing or approximate, worst first."""
    found: list[Trouble] = []
    for row in run.videos:
        if row.get("status") != "ok":
            command = run.redo("probe_video", {"video": row.get("video", "")}, force=True)
            found.append(Trouble(f"video {row.get('video', '')}", "unreadable", row.get("reason", ""), command))
    for record in run.records:
        if record.status != "ok" and record.rule != "annotate_window":
            command = run.redo(record.rule, record.wildcards, force=False)
            found.append(Trouble(f"{record.rule}, {record.unit}", "failed", record.reason, command))
    for video in run.plan:
        for state in window_states(run, video):
            if state.status != "ok":
                unit = {"video": video, "window": f"{state.window:04d}"}
                command = run.redo("annotate_window", unit, force=state.status == "approximate")
                found.append(Trouble(f"{video}, window {state.window}", state.status, state.reason, command))
    found += _clip_troubles(run) + _prompt_troubles(run)
    rank = {"unreadable": 0, "failed": 1, "missing": 2, "approximate": 3}
    return sorted(found, key=lambda trouble: rank.get(trouble.status, 4))


def _clip_troubles(run: Run) -> list[Trouble]:
    found = []
    for record in run.records:
        if record.rule == "gradients_window" and record.status == "ok":
            reasons = (
                _clip_reasons(run, record) if record.facts.get("failed") or record.facts.get("approximate") else {}
            )
            for (status, reason), number in sorted(reasons.items()):
                command = run.redo(record.rule, record.wildcards, force=True)
                what = f"{number} clip{'' if number == 1 else 's'}, {record.unit}"
                found.append(Trouble(what, status, reason, command))
    return found


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


def _prompt_troubles(run: Run) -> list[Trouble]:
    return [
        Trouble(f"{video}, prompt of {row['object']} at frame {row['frame']}", "failed", row["reason"], run.command)
        for video in run.plan
        for row in prompts_of(run, video)
        if row["status"] == "failed"
    ]
