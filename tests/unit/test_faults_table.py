"""docs/faults.md: each row names a test that there is, and no fault's test is left out."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/faults.md").read_text()
ROWS = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in re.findall(r"^\| .* \|$", TABLE, re.M)]
NAMED = [row[-1].strip("` |") for row in ROWS[1:]]


def names_in(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_is_whole():
    assert len(NAMED) >= 15
    assert {len(row) for row in ROWS} == {5}
    assert all(all(row) for row in ROWS)


@pytest.mark.parametrize("named", NAMED)
def test_the_test_of_a_row_exists(named):
    path, name = named.split("::")
    assert name in names_in(path)


@pytest.mark.parametrize("path", ["tests/slurm/test_faults.py", "tests/workflow/test_faults.py"])
def test_every_fault_that_is_tested_is_told(path):
    assert {f"{path}::{name}" for name in names_in(path)} <= set(NAMED)


@pytest.mark.parametrize("profile", ["slurm", "laptop"])
def test_how_often_a_job_is_tried_is_what_the_profile_says(profile):
    retries = yaml.safe_load((ROOT / f"profiles/{profile}/config.yaml").read_text())["retries"]
    assert f"`profiles/{profile}` (`retries: {retries}`)" in TABLE
