"""A row of the plan, and what it makes a job ask for on each try."""

from dataclasses import replace

import pytest

from longtake.errors import SchemaError
from longtake.planning.classes import GpuClass
from longtake.planning.request import (
    PLANNED,
    Request,
    Requests,
    from_words,
    in_words,
    requested,
    resources,
    table,
)
from longtake.store.tsv import write_records

SMALL = GpuClass("small", 16, gpu_model="t4")
LARGE = GpuClass("large", 80, gpu_model="h100")
ROW = Request(
    rule="annotate_window",
    unit="pond-a.0012",
    subject="pond-a",
    work=300,
    counted="frames",
    load={"objects": 3},
    device="cuda",
    gpu_class="small",
    chunk=2,
    way="3 objects, 2 at a time",
    gpu_mb=9000,
    host_mb=1500,
    measured_gpu_mb=None,
    measured_host_mb=1600,
    mem_mb=2400,
    runtime=35,
    key="0123456789abcdef",
    source="simulated",
    why="small, the smallest class that holds 9000 MiB",
)


@pytest.fixture
def plan(tmp_path):
    rows = [ROW, replace(ROW, unit="pond-a.0013", chunk=None, gpu_mb=None, key="")]
    write_records(tmp_path / "jobs.tsv", Request, rows)
    return tmp_path / "jobs.tsv"


def test_rows_are_read_back(plan):
    found = Requests(plan)
    assert len(found) == 2
    assert found.get("annotate_window", "pond-a.0012") == ROW
    assert found.get("annotate_window", "pond-a.0013").chunk is None
    assert found.get("gradients_window", "pond-a.0012") is None


def test_a_missing_plan_has_no_rows(tmp_path):
    assert Requests(tmp_path / "jobs.tsv").get("annotate_window", "pond-a.0000") is None


@pytest.mark.parametrize(
    ("old", "new"), [("\t300\t", "\tmany\t"), ("unit\tsubject", "unit"), ("\tcuda", ""), (": 3}", ": ")]
)
def test_a_broken_plan_is_told_with_its_remedy(plan, old, new):
    plan.write_text(plan.read_text().replace(old, new))
    with pytest.raises(SchemaError, match=r"jobs\.tsv.*Delete.*snakemake plan"):
        Requests(plan).get("annotate_window", "pond-a.0012")


def test_the_first_try_asks_for_what_the_plan_says():
    asked = resources(ROW, [SMALL, LARGE], 1, gpu_limit_mb=12000)
    assert (asked["mem_mb"], asked["runtime"], asked["gpu"], asked["gpu_model"]) == (2400, 35, 1, "t4")
    assert (asked["gpu_class"], asked["chunk"], asked["rung"], asked["gpu_limit_mb"]) == ("small", 2, 0, 12000)
    assert asked["forecast"] == ROW.key


def test_a_later_try_asks_for_more_of_the_next_class_and_begins_further_down():
    asked = resources(ROW, [SMALL, LARGE], 2)
    assert (asked["mem_mb"], asked["runtime"], asked["gpu_model"], asked["rung"]) == (4800, 70, "h100", 1)
    assert resources(ROW, [SMALL, LARGE], 3)["gpu_class"] == "large"


def test_without_a_row_or_a_class_of_that_name_the_largest_is_asked_for():
    asked = resources(None, [SMALL, LARGE], 2)
    assert (asked["mem_mb"], asked["runtime"], asked["gpu_class"]) == (8000, 240, "large")
    assert resources(replace(ROW, gpu_class="gone"), [SMALL, LARGE], 1)["gpu_class"] == "large"


def test_on_the_cpu_no_gpu_is_asked_for():
    for row, classes in ((ROW, []), (replace(ROW, device="cpu", gpu_class=""), [SMALL])):
        asked = resources(row, classes, 1, gpu_limit_mb=9)
        assert not {"gpu", "gres", "gpu_model"} & asked.keys()
        assert (asked["gpu_class"], asked["gpu_limit_mb"]) == ("CPU", None)


def test_what_no_scheduler_needs_travels_as_one_text():
    asked = resources(ROW, [SMALL, LARGE], 2, gpu_limit_mb=7)
    text = in_words(asked)
    assert from_words(text) == {name: asked[name] for name in PLANNED}
    assert text.startswith("gpu_class=large; chunk=2; ")
    assert from_words("") == {}
    told = {"gradient_mb": 512, "clean_up_percent": 85, "expandable_segments": "off", "approximate": 1}
    assert from_words(in_words({"mem_mb": 4000, "chunk": 2}, {"chunk": 8, **told})) == {"chunk": 2, **told}
    assert from_words(in_words({"chunk": None}, {"chunk": 8})) == {"chunk": 8}
    # A digest may be all digits.
    assert from_words("forecast=0123456789012345") == {"forecast": "0123456789012345"}


def test_what_all_classes_ask_alike_needs_no_function():
    assert requested([SMALL, LARGE]) == ({"gpu": 1}, ["gpu_model"])
    assert requested([SMALL]) == ({"gpu": 1, "gpu_model": "t4"}, [])
    assert requested([]) == ({}, [])


def test_a_table_for_a_terminal():
    assert table([{"a": 1, "b": "x"}, {"a": 100}], ["a", "b"]) == "a    b\n1    x\n100"
