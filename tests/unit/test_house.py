"""The house: who may import whom, light imports, thin scripts, and no forbidden habits."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow" / "longtake"

# From the ground up. A module may import its own room and any floor below its own, never beside or above.
FLOORS = [
    {"errors", "streams", "fingerprint", "status", "verdicts", "cells", "kinds"},
    {"settings", "unit", "sources", "model_folder", "model_config", "submission"},
    {"memory", "store", "masks"},
    {"supervise", "media", "volumes", "statistics", "figures", "importers"},
    {"models", "bounded"},
    {"planning"},
    # Never each other: what they have of each other are tables on disk, and what the registry of units says.
    {"annotate", "gradients", "attribution", "latents", "training"},
    {"export"},
    {"species"},
    {"report", "demo"},
    {"job"},
]
# Beside each other on a floor, and yet one uses the other.
ALLOWED = {
    ("model_folder", "settings"),
    ("model_folder", "model_config"),
    ("submission", "settings"),
    ("bounded", "models"),
    ("memory", "store"),
}
HEAVY = {"torch", "transformers"}
MAY_USE_TORCH = {"models", "bounded", "annotate", "gradients", "attribution", "latents", "training", "job"}


def modules():
    return sorted(LIBRARY.rglob("*.py"))


def room(path):
    first = path.relative_to(LIBRARY).parts[0]
    return first.removesuffix(".py")


def floor(name):
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(path, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "longtake":
                yield from (f"longtake.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_arrows_point_down(path):
    own = room(path)
    if own == "__init__":
        return
    for name in imports(path):
        if name.startswith("longtake."):
            other = name.split(".")[1]
            if other in (own, "__version__"):
                continue
            assert floor(other) < floor(own) or (own, other) in ALLOWED, f"{path} imports {name}"
        if name.split(".")[0] in HEAVY:
            assert own in MAY_USE_TORCH, f"{path} imports {name}"


def test_every_room_has_a_floor():
    assert {room(path) for path in modules()} - {"__init__"} == set().union(*FLOORS)


def test_the_snakefile_loads_nothing_heavy():
    rules = "\n".join(path.read_text() for path in ROOT.glob("rules/*.smk"))
    names = sorted(set(re.findall(r"^from (longtake[\w.]*) import", rules, re.M)))
    assert names
    code = f"import sys, {', '.join(names)}; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow", capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("torch", "numpy", "polars", "pyarrow", "matplotlib", "transformers", "av", "cv2"):
        assert f"'{heavy}'" not in loaded, heavy


@pytest.mark.parametrize("path", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda path: path.name)
def test_scripts_are_thin(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 20
    assert "with job(snakemake) as job:" in lines
    assert "snakemake.config" not in path.read_text()


def test_every_rule_has_a_script_and_every_script_a_rule():
    used = set()
    for path in ROOT.glob("rules/*.smk"):
        used |= set(re.findall(r'"\.\./workflow/scripts/(\w+\.py)"', path.read_text()))
    assert used == {path.name for path in (ROOT / "workflow/scripts").glob("*.py")}


@pytest.mark.parametrize("path", sorted(ROOT.glob("rules/*.smk")), ids=lambda path: path.name)
def test_rules_are_short_and_name_everything_in_order(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 120
    order = "input output log benchmark conda threads resources params message script".split()
    for block in re.split(r"^(?:(?:rule|checkpoint) \w+|use rule \w+ as \w+ with):$", text, flags=re.M)[1:]:
        found = [name for name in re.findall(r"^    (\w+):", block, re.M) if name in order]
        if "script" in found:
            assert found == [name for name in order if name in found]
            assert set(order) - set(found) <= {"input"}, f"{path}: {set(order) - set(found)} missing"
            assert "code=digest(" in block


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_habits(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 400, "split the file"
    assert path.stem not in {"utils", "helpers", "misc"}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: raise an error instead of asserting"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{path}:{node.lineno}: bare except"
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            doc = ast.get_docstring(node, clean=False)
            length -= len(doc.splitlines()) if doc else 0
            assert length <= 60, f"{path}: {node.name} has {length} lines"


def pins(lines):
    return sorted(line.strip(" -") for line in lines if "==" in line)


def test_pip_and_conda_pin_the_same_versions():
    pip = pins((ROOT / "envs/requirements.txt").read_text().splitlines())
    conda = yaml.safe_load((ROOT / "envs/longtake.yaml").read_text())["dependencies"][-1]["pip"]
    assert pip == sorted(conda)
    constraints = {line.lower() for line in pins((ROOT / "envs/constraints.txt").read_text().splitlines())}
    for name in ("dev", "nodeps"):
        pip += pins((ROOT / f"envs/requirements-{name}.txt").read_text().splitlines())
    needed = {line.lower() for line in pip}
    assert {pin for pin in needed if not pin.startswith("torch==")} <= constraints
