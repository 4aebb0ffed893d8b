"""Analyses are found by their folders, and told apart by their jobs' rules."""

import subprocess
import sys
from pathlib import Path

import pytest

from longtake.unit import LIBRARY, Kind, Unit, analyses, kinds, target_of, targets, unit_name


def test_every_folder_with_a_module_analysis_is_one():
    found = analyses()
    assert {"annotate", "gradients"} <= found.keys()
    assert list(found) == sorted(path.parent.name for path in LIBRARY.glob("*/analysis.py"))
    assert all(name == each.name and each.folder.is_dir() for name, each in found.items())


def test_no_two_analyses_claim_one_rule_or_one_row():
    all_kinds = [kind for each in analyses().values() for kind in each.kinds]
    assert len({kind.rule for kind in all_kinds}) == len({kind.row for kind in all_kinds}) == len(all_kinds)
    named = [rule for each in analyses().values() for rule in each.targets]
    assert len(named) + len(all_kinds) == len(targets()), "a rule was named twice"
    analysis, kind = kinds()["gradients_window"]
    assert (analysis.name, kind.parts) == ("gradients", "clips")


@pytest.mark.parametrize("name", sorted(analyses()))
def test_an_analysis_is_known_without_what_it_needs(name):
    code = f"import sys, longtake.{name}.analysis; print(sorted(sys.modules))"
    folder = Path(LIBRARY).parent
    loaded = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "transformers", "matplotlib", "cv2", "av", "numpy", "pyarrow", "polars"):
        assert f"'{heavy}'" not in loaded, heavy


def test_a_unit_is_named_as_its_log_and_has_a_file():
    unit = Unit("annotate_window", {"video": "reef.2", "window": "0003"}, "reef.2", 10)
    assert (unit.name, unit.forecast) == ("reef.2.0003", "reef.2")
    assert Unit("r", {}, "s", 1, case="small").forecast == "small"
    assert unit_name({}) == ""
    assert str(Kind("r", "a/{video}/{window}.txt", "r").path(Path("out"), unit)) == "out/a/reef.2/0003.txt"
    assert target_of(unit.rule, unit.wildcards) == "annotate/reef.2/window-0003.parquet"
    assert target_of(unit.rule, {"video": "reef"}) is None
    assert target_of("no rule", {}) is None
