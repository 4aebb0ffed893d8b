"""Expandable segments: taken where splitting is to blame, and switched on before the GPU starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from longtake.memory.segments import why_expandable

ROOT = Path(__file__).parents[3]


def gpu(share, ooms=1, retries=0):
    return {"split_share": share, "ooms": ooms, "retries": retries}


@pytest.mark.parametrize(
    ("choice", "earlier", "taken"),
    [
        ("always", [], True),
        ("never", [gpu(0.9)], False),
        ("auto", [], False),
        ("auto", [gpu(0.006)], False),  # full of tensors: no fragmentation
        ("auto", [gpu(0.1)], True),
        ("auto", [gpu(0.3, ooms=0, retries=4)], True),
        ("auto", [gpu(0.3, ooms=0)], False),  # nobody missed it
        ("auto", [gpu(0.02), gpu(0.5)], True),
        ("auto", [{}], False),  # a job on the CPU, or a record of an older version
    ],
)
def test_what_is_taken_for_fragmentation(choice, earlier, taken):
    why = why_expandable(choice, earlier)
    assert bool(why) == taken
    if choice == "auto" and taken:
        assert "% of the GPU memory of an earlier attempt lay in split blocks" in why


CODE = """
import os, sys
{first}
from longtake.memory.segments import expand_segments
expand_segments()
import torch
print(torch._C._accelerator_getAllocatorSettings(), torch.cuda.is_initialized())
"""


@pytest.mark.parametrize("first", ["", "import torch", "import torch; torch._C._accelerator_getAllocatorSettings()"])
@pytest.mark.parametrize("variable", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_the_allocator_knows_before_the_gpu_starts_and_keeps_what_else_was_set(first, variable):
    environment = {"PATH": "", variable: "max_split_size_mb:512,expandable_segments:False"}
    ran = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)], cwd=ROOT / "workflow", env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == ["max_split_size_mb:512,expandable_segments:True", "False"]
