"""The plan of jobs from windows, forecasts, classes and earlier runs; and what fits on a machine."""

import csv
import json

import pytest

from longtake.errors import LongtakeError
from longtake.memory.devices import Device
from longtake.planning import jobs
from longtake.planning.choice import START_MINUTES, Terms
from longtake.planning.classes import ANY, OWN, GpuClass
from longtake.planning.forecast import MIB, Forecast
from longtake.planning.jobs import check_memory, plan_jobs, with_own_memory
from longtake.planning.request import Requests
from longtake.store.atomic import write_tsv
from longtake.store.tsv import write_records
from longtake.unit import Study

CLASSES = [GpuClass("small", 8), GpuClass("large", 80)]
FACTS = {
    "annotate": {"rules": ["annotate_window"], "objects": {"a": 3, "b": 1}, "frame_interval": 5},
    "gradients": {"videos": ["a"], "frame_interval": 5},
}


@pytest.fixture
def given(tmp_path):
    """Two videos of two windows, forecasts of one of them."""
    names = "video window start stop emit_start emit_stop start_s stop_s n_frames".split()
    bounds = ((0, 60, 0, 50), (50, 100, 50, 100))
    rows = [
        dict(zip(names, (video, number, *bounds[number], 0.0, 1.0), strict=False))
        for video in "ab"
        for number in range(2)
    ]
    write_tsv(tmp_path / "plan/windows.tsv", names, rows)
    ways = [("cpu", 2, 0), ("cuda", 2, 20000), ("cuda", 1, 9000)]
    forecasts = [
        Forecast(
            "annotate", "a", device, chunk, f"3 objects, {chunk} at a time", {"base": 600 * MIB}, gpu, key=f"k{mb}"
        )
        for device, chunk, mb in ways
        for gpu in [{"activations": mb * MIB} if mb else {}]
    ]
    write_records(tmp_path / "forecast.tsv", Forecast, forecasts)
    return tmp_path


def planned(folder, classes=CLASSES, **more):
    options = {"terms": Terms(margin=1.2), "runs": [folder], "here": False} | more
    studies = {name: Study(folder, facts) for name, facts in FACTS.items()}
    facts = plan_jobs(studies, [folder / "forecast.tsv"], classes=classes, out=folder / "jobs.tsv", **options)
    return facts, Requests(folder / "jobs.tsv")


def test_every_job_of_a_model_has_a_row(given):
    facts, found = planned(given)
    assert len(found) == 6
    assert facts["jobs"] == {"large": 6}
    row = found.get("annotate_window", "a.0001")
    assert (row.load, row.work, row.chunk, row.gpu_mb, row.gpu_class) == ({"objects": 3}, 10, 2, 20000, "large")
    assert (row.key, row.source) == ("k20000", "simulated")
    unknown = found.get("gradients_window", "a.0000")
    assert (unknown.gpu_mb, unknown.mem_mb, unknown.runtime) == (None, 4000, 120)
    assert "there is no forecast for it" in unknown.why


def test_units_that_would_share_a_log_are_refused(given, monkeypatch):
    facts = FACTS["annotate"] | {"rules": ["annotate_window", "annotate_window"]}
    with pytest.raises(LongtakeError, match=r"a\.0000.*one log"):
        plan_jobs(
            {"annotate": Study(given, facts)},
            [],
            classes=[],
            terms=Terms(margin=1.2),
            runs=[],
            here=False,
            out=given / "jobs.tsv",
        )


def test_on_this_machine_its_memory_counts(given, monkeypatch):
    monkeypatch.setattr(jobs, "installed_gpus", lambda: [Device("T4", 15360, 15000)])
    _, found = planned(given, [OWN], here=True)
    row = found.get("annotate_window", "a.0000")
    assert (row.gpu_class, row.chunk) == (OWN.name, 1)
    monkeypatch.setattr(jobs, "machine_mb", lambda: 500)
    _, found = planned(given, [], here=True)
    assert "has 500 of" in found.get("annotate_window", "a.0000").why


def test_only_this_machines_own_gpu_is_asked_for_its_memory(monkeypatch):
    monkeypatch.setattr(jobs, "installed_gpus", list)
    assert with_own_memory(OWN) == OWN
    monkeypatch.setattr(jobs, "installed_gpus", lambda: [Device("T4", 15360, 15000)])
    assert with_own_memory(OWN).memory_gb == 15
    assert with_own_memory(ANY) == ANY


def finished(folder, video, **done):
    """The record of a job on a large GPU, planned with three objects, two at a time."""
    attempt = {"rung": "as asked", "status": "ok", "rss_mb": 900.0, "gpu_reserved_mb": 5000.0, "wall_s": 200.0}
    asked = {"forecast": "k20000", "work": 10, "gpu_class": "large"}
    record = {
        "rule": "annotate_window",
        "asked": asked,
        "attempts": [attempt],
        "facts": {"device": "cuda"},
        "done": done,
    }
    path = folder / f"logs/annotate_window/{video}.0000.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def test_what_an_earlier_job_used_stands_beside_the_forecast_and_is_asked_for(given):
    finished(given, "a", work=10, load={"objects": 3})
    _, found = planned(given)
    row = found.get("annotate_window", "a.0001")
    assert (row.gpu_mb, row.measured_gpu_mb, row.measured_host_mb) == (20000, 5000, 900)
    assert (row.gpu_class, row.chunk, row.runtime) == ("small", 2, START_MINUTES + 10)
    assert row.why.endswith("; as 1 earlier jobs used")


def test_a_window_in_which_nothing_was_tracked_yet_lowers_no_other_ones_memory_and_time(given):
    before = planned(given)[1].get("annotate_window", "a.0001")
    finished(given, "a")
    finished(given, "b", work=10, load={"objects": 1})
    after = planned(given)[1].get("annotate_window", "a.0001")
    assert (after.gpu_class, after.chunk, after.runtime) == (before.gpu_class, before.chunk, 120)
    assert after.measured_gpu_mb == 5000
    assert after.why.endswith("; 2 earlier jobs had less to do than is forecast")


def test_what_fits_is_a_table_on_disk_and_on_the_terminal(given, monkeypatch):
    monkeypatch.setattr(jobs, "installed_gpus", lambda: [Device("T4", 15360, 15000)])
    options = {"terms": Terms(margin=1.2), "gpus": True, "runs": [given]}
    text = check_memory([given / "forecast.tsv"], classes=[*CLASSES, OWN], out=given / "check.tsv", **options)
    with (given / "check.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["chunk"], row["fits"]) for row in rows] == [
        *[("2", "yes")],
        *[("2", "no"), ("2", "no"), ("2", "yes")],
        *[("1", "yes"), ("1", "no"), ("1", "yes")],
    ]
    assert "GPU memory: T4, 15000 of 15360 MiB free" in text
    assert "class large" in text
    without = check_memory([given / "forecast.tsv"], classes=[], out=given / "check.tsv", **(options | {"gpus": False}))
    assert "GPU memory: none (there is no GPU)" in without
