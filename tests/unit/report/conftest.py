"""A run's folder as its jobs leave it: some videos well, one unreadable, one with a failed window."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from longtake.media.windows import Window
from longtake.store.schemas import PROMPTS
from longtake.store.tables import write_table

EVIL = "<script>alert('x')</script>"


class Run:
    """Writes a run's files piece by piece."""

    def __init__(self, root: Path) -> None:
        self.results = root / "results"
        self.windows: list[Window] = []
        self.videos: list[dict[str, Any]] = []
        self.gradients = False

    def video(self, name: str, n_windows: int = 2, status: str = "ok", reason: str = "") -> None:
        self.videos.append(
            {
                "video": name, "status": status, "reason": reason, "windows": n_windows, "frames": 100,
                "duration_s": 10.0, "fps": 10.0, "variable_rate": False, "width": 64, "height": 48, "codec": "h264",
                "path": f"media/{name}.mp4",
            }
        )  # fmt: skip
        self.windows += [
            Window(name, k, 50 * k, 50 * k + 60, 50 * k, 50 * k + 50, 5.0 * k, 5.0 * k + 5.9)
            for k in range(n_windows if status == "ok" else 0)
        ]
        plan = self.results / "plan"
        plan.mkdir(parents=True, exist_ok=True)
        self._tsv(plan / "videos.tsv", self.videos)
        self._tsv(plan / "windows.tsv", [{**asdict(window), "n_frames": 5} for window in self.windows])

    @staticmethod
    def _tsv(path: Path, rows: list[dict[str, Any]]) -> None:
        lines = ["\t".join(rows[0])] if rows else [""]
        lines += ["\t".join(str(value) for value in row.values()) for row in rows]
        path.write_text("\n".join(lines) + "\n")

    def job(self, rule: str, wildcards: dict[str, str], *, status: str = "ok", **other: Any) -> None:
        path = self.results / "logs" / rule / f"{'.'.join(wildcards.values()) or rule}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "rule": rule, "wildcards": wildcards, "status": status, "reason": "", "requested_mem_mb": 1000,
            "rss_mb": 250.0, "gpu_allocated_mb": 0.0, "gpu_reserved_mb": 0.0, "wall_s": 2.0, "cpu_s": 1.0,
            "host": "node-1", "facts": {},
        }  # fmt: skip
        path.write_text(json.dumps(record | other))

    def window(self, video: str, number: int, *, status: str = "ok", **other: Any) -> None:
        self.job("annotate_window", {"video": video, "window": f"{number:04d}"}, status=status, **other)
        if status == "ok":
            output = self.results / "annotate" / video / f"window-{number:04d}.parquet"
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(b"")

    def studies(self, **pages: str) -> dict[str, dict[str, Any]]:
        """What the rules say of each analysis."""
        videos = [video["video"] for video in self.videos if video["status"] == "ok"]
        common = {"frame_interval": 10, "continuity": "chain"}
        return {
            "annotate": {"rules": ["annotate_window"], "objects": dict.fromkeys(videos, 1), **common},
            "gradients": {"videos": videos if self.gradients else [], **common},
            "species": {"species": ["carp", "perch"], "pages": pages},
        }

    def prompts(self, video: str, rows: list[dict[str, Any]]) -> None:
        """How a video's prompts fared: each well, unless a row says otherwise."""
        well = {
            "video": video, "row": 2, "object": "a", "label": "carp", "kind": "box", "frame": 7, "acts_on_frame": 5,
            "time_s": 0.7, "clipped": False, "status": "ok", "reason": "", "lost": False,
        }  # fmt: skip
        write_table(self.results / "detections" / f"{video}.prompts.parquet", [well | row for row in rows], PROMPTS)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    made = Run(Path())
    made.video("good")
    made.window("good", 0)
    made.window("good", 1)
    made.video("bad one")
    made.window("bad one", 0, status="failed", reason=f"OutOfMemoryError: {EVIL}")
    made.video("late")
    made.window("late", 0)
    late = {"status": "approximate", "reason": "3 frames lie behind a decoding error"}
    made.window("late", 1, facts=late)
    made.video("broken", status="unreadable", reason="no video stream")
    return made


@pytest.fixture
def empty_run(tmp_path: Path) -> Callable[[], Run]:
    return lambda: Run(tmp_path)
