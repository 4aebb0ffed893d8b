"""A job under a limit that kills: it finds the limit by itself, keeps to it, and ends with the numbers of no limit."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MIB = 2**20
# What plain back-propagation holds of it is 30 times what one frame takes.
JOB = """
import json, sys
import torch
from torch import nn
from longtake.bounded import gradient
from longtake.errors import BudgetError
from longtake.memory.budget import host_budget
from longtake.supervise.ladder import Rung, climb_down
from longtake.supervise.watch import held_by


class Clips(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Sequential(nn.Linear(32, 32), nn.GELU()) for _ in range(16)])
        self.out = nn.Linear(32, 3)

    def encode(self, frames):
        return self.layers(frames.flatten(2).transpose(1, 2).reshape(len(frames), -1, 32)).mean(1)

    def head(self, features):
        return self.out(features.cumsum(0).tanh().mean(0))

    def forward(self, frames):
        return self.head(self.encode(frames))


def work(budget, out):
    torch.manual_seed(1)
    model, frames = Clips().eval(), torch.rand(30, 3, 192, 192)
    found = gradient(model, frames, lambda scores: scores[1], budget=budget)
    torch.save(found.gradient, out)
    return {"way": found.way.name, "measured": found.measured_bytes}


if __name__ == "__main__":
    torch.set_num_threads(1)
    _, out, *limits = sys.argv
    attempts, budget = [], host_budget(environment={})
    hard = next(limit for limit in budget.limits if limit.hard)
    print("ready", flush=True)
    if limits:
        room = int(limits[0])
        rungs = [Rung("plain", {"budget": None}), Rung("planned", {"budget": room})]
    else:
        rungs = [Rung("plain", {"budget": None})]
    done = climb_down(work, {"out": out}, rungs, attempts=attempts, budget=budget)
    told = [[each.rung, each.status, each.reason, each.rss_mb] for each in attempts]
    print(json.dumps({"attempts": told, "limit": hard.nbytes, "by": hard.source, **done.result}))
"""


@pytest.fixture(scope="module")
def limits():
    spec = importlib.util.spec_from_file_location("limits", ROOT / "benchmarks/limits.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["limits"] = module
    spec.loader.exec_module(module)
    return module


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def test_a_gradient_under_a_hard_limit_equals_the_one_without(limits, tmp_path):
    job = tmp_path / "job.py"
    job.write_text(JOB)
    command = [sys.executable, str(job), str(tmp_path / "plain.pt")]
    free = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    plain = json.loads(free.stdout.splitlines()[-1])
    peak = plain["attempts"][0][3]
    assert plain["way"] == "plain"
    needed = plain["measured"] / MIB
    assert needed > 200
    with limits.confined(int((peak - 0.6 * needed) * MIB)) as place:
        if place.group is None:
            pytest.skip("no control group can be made here")
        command = [sys.executable, str(job), str(tmp_path / "tight.pt"), str(int(0.2 * needed * MIB))]
        tight = limits.start(command, place, env=environment(), stdout=subprocess.PIPE)
        told = json.loads(tight.communicate()[0].splitlines()[-1])
        facts = place.facts()
    assert told["limit"] == place.nbytes // 4096 * 4096
    assert f"of cgroup /{place.group.name}" in told["by"]
    assert [(rung, status) for rung, status, *_ in told["attempts"]] == [("plain", "out of memory"), ("planned", "ok")]
    assert told["attempts"][0][2].startswith(("the watch, close to the limit of", "killed, as the kernel does"))
    assert told["way"] != "plain"
    assert facts["peak_with_files_mb"] <= facts["limit_mb"] + 1, "whole MiB, and a dying process may take a page more"
    assert torch.equal(torch.load(tmp_path / "tight.pt"), torch.load(tmp_path / "plain.pt"))


def test_pages_of_files_neither_count_nor_kill(limits, tmp_path):
    """Four times the limit is written and read again; the kernel takes those pages back."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom longtake.memory.budget import host_budget\n"
        "from longtake.supervise.ladder import climb_down\n"
        "def work(path):\n"
        "    with open(path, 'wb') as file:\n"
        "        for _ in range(64):\n"
        "            file.write(bytes(4 * 2**20))\n"
        "    with open(path, 'rb') as file:\n"
        "        return sum(len(part) for part in iter(lambda: file.read(2**20), b''))\n"
        "attempts = []\n"
        "done = climb_down(work, {'path': sys.argv[1]}, attempts=attempts, budget=host_budget(environment={}))\n"
        "print(done.result, [str(each.status) for each in attempts])\n"
    )
    with limits.confined(64 * MIB) as place:
        if place.group is None:
            pytest.skip("no control group can be made here")
        command = [sys.executable, "-c", code, str(tmp_path / "large")]
        told = limits.start(command, place, env=environment(), stdout=subprocess.PIPE).communicate()[0]
        facts = place.facts()
    assert told == f"{256 * MIB} ['ok']\n"
    assert facts["kernel_kills"] == 0
    assert facts["peak_with_files_mb"] >= 60, "up to the limit, but for what the kernel takes back early"
