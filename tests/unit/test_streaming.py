"""Steps that read many files: their memory is that of few, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = {
    "merge": ["merge_chain", "merge_overlap", "merge_both", "merge_gradients"],
    "one video": ["video_statistics", "exports"],
    "study": ["species_statistics", "study_figures", "report"],
}


@pytest.mark.slow
@pytest.mark.parametrize("steps", GROUPS.values(), ids=GROUPS)
def test_memory_of_many_is_that_of_few(steps: list[str], tmp_path: Path) -> None:
    out = tmp_path / "streaming.json"
    command = [sys.executable, "benchmarks/streaming.py", "--quick", "--out", str(out), "--steps", *steps]
    command += ["--videos", "10", "100", "--windows", "10", "100"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "workflow"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(out.read_text())["steps"]
    assert list(found) == steps
    for name, row in found.items():
        few, many = row["peak_mb"]
        assert many <= 1.2 * few, (name, row)
        # Above what the process loads, too: a fifth of that would hide some hundred kilobytes for each unit.
        few, many = row["above_floor_mb"]
        assert many - few <= 20, (name, row)
