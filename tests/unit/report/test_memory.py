"""What jobs used: a row for each, whatever its record knows; stages and owners; the same memory for many as for few."""

import csv
import json
import tracemalloc

import pytest

from longtake.memory.ledger import UNATTRIBUTED
from longtake.memory.owners import OWNERS
from longtake.report import memory
from longtake.report.memory import JOB, MOST_POINTS, STAGE, Points, largest, memory_section, summarise, write_memory

LEDGER = {
    "stages": {
        "load": {"wall_s": 1.0, "rss_mb": 400.0, "host": {"base": 300.0, "parameters": 80.0, "unattributed": 20.0}},
        "track": {
            "wall_s": 9.0, "rss_mb": 700.0,
            "host": {"base": 300.0, "parameters": 0.0, "frames": 40.0, "activations": 310.0, "unattributed": 50.0},
            "gpu": {"context": 400.0, "parameters": 80.0, "activations": 900.0},
            "gpu_allocated_mb": 980.0, "gpu_reserved_mb": 1100.0,
        },
    },
    "clean_ups": {"times": 2, "freed_mb": 150.0, "let_go_mb": {}},
    "gpu": {"split_share": 0.12, "retries": 3, "context": 400.0},
}  # fmt: skip
FORECAST = {
    "host": {"predicted_mb": 720, "measured_mb": 700.0, "error": 0.0286},
    "gpu": {"predicted_mb": 1000, "measured_mb": 1380.0, "error": -0.2754},
}
ATTEMPTS = [{"rung": "as asked", "status": "ok"}]


def written(run, tmp_path):
    out = {f"{name}_out": tmp_path / f"{name}.png" for name in ("jobs", "stages", "figure")}
    n = write_memory(run.results, **out)
    rows = [list(csv.DictReader(out[name].open(), delimiter="\t")) for name in ("jobs_out", "stages_out")]
    assert out["figure_out"].read_bytes().startswith(b"\x89PNG")
    return n, *rows


@pytest.fixture
def accounted(run):
    run.window(
        "good", 2, rss_mb=700.0, ledger=LEDGER, forecast=FORECAST, attempts=ATTEMPTS, vms_mb=5000.0,
        gpu_allocated_mb=980.0, gpu_reserved_mb=1100.0, asked={"gpu_class": "24 GB"}, facts={"device": "cuda"},
    )  # fmt: skip
    return run


def test_every_job_has_a_row_and_older_records_have_empty_cells(accounted, tmp_path):
    n, rows, _ = written(accounted, tmp_path)
    assert n == len(rows) == 6
    assert list(rows[0]) == JOB
    by_unit = {row["unit"]: row for row in rows}
    old, new = by_unit["video good window 0000"], by_unit["video good window 0002"]
    assert (old["rss_mb"], old["requested_mem_mb"], old["predicted_host_mb"]) == ("250.0", "1000", "")
    assert old["host_owners"] == old["rung"] == old["attempts"] == old["gpu_retries"] == ""
    assert by_unit["video bad one window 0000"]["reason"].startswith("OutOfMemoryError")
    assert (new["rung"], new["attempts"], new["device"], new["gpu_class"]) == ("as asked", "1", "cuda", "24 GB")
    assert (new["predicted_host_mb"], new["rss_mb"], new["host_error"]) == ("720", "700.0", "0.0286")
    assert (new["measured_gpu_mb"], new["gpu_error"]) == ("1380.0", "-0.2754")
    assert (new["gpu_split_share"], new["gpu_retries"], new["freed_mb"]) == ("0.12", "3", "150.0")
    assert new["host_owners"] == "activations 310, base 300, unattributed 50, frames 40"
    assert new["gpu_owners"] == "activations 900, context 400, parameters 80"


def test_the_stage_that_is_told_is_a_full_one_of_which_most_is_known():
    after = {"rss_mb": 705.0, "host": {"base": 300.0, "unattributed": 405.0}}
    before = {"rss_mb": 500.0, "host": {"base": 300.0, "cache": 900.0}}
    peak, held = largest({"stages": {**LEDGER["stages"], "after": after, "before": before}}, "host")
    assert (peak, held["activations"]) == (705.0, 310.0)


def test_stages_are_told_by_owner(accounted, tmp_path):
    _, _, stages = written(accounted, tmp_path)
    assert set(STAGE) >= {f"host_{owner}" for owner in (*OWNERS, UNATTRIBUTED)} | {f"gpu_{owner}" for owner in OWNERS}
    assert [(row["stage"], row["host_frames"], row["gpu_activations"]) for row in stages] == [
        ("load", "", ""),
        ("track", "40.0", "900.0"),
    ]
    assert stages[1]["gpu_reserved_mb"] == "1100.0"


def test_the_section_shows_forecasts_owners_and_the_picture(accounted):
    page = memory_section(summarise(accounted.results))
    assert "activations 310, base 300" in page
    assert "1 of 2" in page  # the host's forecast was good, the GPU's was not
    assert 'alt="Memory forecast and measured, and who held it"' in page


def test_a_run_of_older_records_has_a_section_without_the_picture(run):
    page = memory_section(summarise(run.results))
    assert "video good window 0001" in page
    assert "<img" not in page
    assert "OutOfMemoryError" not in page  # reasons stand elsewhere


def test_an_empty_run_says_so(empty_run, tmp_path):
    assert "No job has left a record." in memory_section(summarise(empty_run().results))
    assert written(empty_run(), tmp_path)[0] == 0


def test_points_are_thinned_evenly_and_all_are_judged():
    told = Points()
    for value in range(1, 5 * MOST_POINTS):
        told.add(float(value), value * (1.05 if value % 2 else 1.2))
    assert len(told.pairs) <= MOST_POINTS
    steps = {round(b[0] - a[0]) for a, b in zip(told.pairs, told.pairs[1:], strict=False)}
    assert steps == {told.step}
    assert told.seen == 5 * MOST_POINTS - 1
    assert told.close == 5 * MOST_POINTS // 2


def test_memory_does_not_depend_on_the_number_of_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MOST_POINTS", 50)
    monkeypatch.setattr(memory, "MOST_ROWS", 50)
    record = {"rule": "annotate_window", "status": "ok", "rss_mb": 700.0, "ledger": LEDGER, "forecast": FORECAST}
    folder = tmp_path / "logs" / "annotate_window"
    folder.mkdir(parents=True)
    peaks = []
    for first, last in ((0, 100), (100, 1000)):
        for number in range(first, last):
            text = json.dumps(
                record | {"wildcards": {"video": "v", "window": f"{number:04d}"}, "rss_mb": 700.0 + number}
            )
            (folder / f"v.{number:04d}.json").write_text(text)
        tracemalloc.start()
        found = summarise(tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.rules["annotate_window"].jobs == last
        assert found.largest[0]["rss_mb"] == 699.0 + last
    assert peaks[1] < 1.2 * peaks[0] + 900 * 150  # names of files
