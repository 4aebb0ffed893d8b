"""The profiles: Snakemake reads them, `default` hides nothing of the others, and every entry is explained."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).parents[2] / "profiles"
CHOSEN = ["laptop", "slurm"]
SAY_THEMSELVES = ("executor:", "printshellcmds:", "scheduler-subsample:")


def entries(name):
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", CHOSEN)
def test_default_hides_no_entry_of_a_chosen_profile(name):
    assert not entries("default").keys() & entries(name).keys(), "Snakemake would take the one of default"


@pytest.mark.parametrize("name", ["default", *CHOSEN])
def test_every_entry_is_explained_above_it(name):
    lines = (PROFILES / name / "config.yaml").read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r"[a-z]", line) and not line.startswith(SAY_THEMSELVES):
            assert above.startswith("#"), line


@pytest.mark.parametrize(("name", "retries"), [("laptop", 1), ("slurm", 2)])
def test_snakemake_takes_a_profile(name, retries):
    # In a process of its own, since Snakemake registers its plugins once for a process.
    code = (
        "from snakemake.cli import parse_args\n"
        f"_, options = parse_args(['--profile', 'profiles/{name}'])\n"
        "print(options.retries, options.keep_going, options.rerun_incomplete, options.scheduler, "
        "options.scheduler_subsample)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=PROFILES.parent, capture_output=True, text=True, check=True)
    assert said.stdout == f"{retries} True True greedy 200\n"
