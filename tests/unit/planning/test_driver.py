"""One forecast for all analyses: rows of every way and device, from what an analysis says of its work."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from longtake.memory.budget import CONTEXT, CUDA_LIBRARIES
from longtake.planning import driver
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, Footprint, Probe, Workload, forecast
from longtake.planning.forecast import read_forecasts
from longtake.unit import Study

HELD = {"parameters": 10, "frames": 20, "activations": 1000}


def told(tmp_path, force_cpu=False, code="one", **given):
    """Rows and counts of an analysis with two cases, of which the larger may be run in two ways."""
    asked = []
    ways = [("small", 4, [8, 8]), ("large", 4, [64, 64]), ("large", 2, [64, 64]), ("small twin", 4, [8, 8])]

    def footprint(ask, workload):
        asked.append(workload.depends)
        return Footprint(HELD, {"parameters": 10, "activations": 500}, effort=6.0)

    module = SimpleNamespace(
        __name__="toy.workload",
        workloads=lambda ask: (
            Workload(case, chunk, f"{chunk} at a time", {"shape": shape, "chunk": chunk}, {"rows": shape[0]})
            for case, chunk, shape in ways
        ),
        footprint=footprint,
        **given,
    )
    ask = Ask(Study(Path()), known=Known.within(tmp_path / "known", code))
    counts = forecast("toy", ask, force_cpu=force_cpu, out=tmp_path / "forecast.tsv", module=module)
    return read_forecasts(tmp_path / "forecast.tsv"), counts, asked


def probe(ask, first):
    """What can be checked by hand; the first workload is known by then."""
    assert first.footprint.effort == 6.0
    return Probe(300, slope=1.5, speed=3.0)


def test_what_is_alike_is_asked_once_and_kept(tmp_path):
    rows, counts, asked = told(tmp_path, probe=probe)
    assert len(asked) == 3
    assert (counts["cases"], counts["rows"], counts["found_out"]) == (3, 8, 3)
    assert [(row.case, row.chunk, row.device, row.load["rows"]) for row in rows[:4]] == [
        *[("small", 4, "cpu", 8), ("small", 4, "cuda", 8), ("large", 4, "cpu", 64), ("large", 4, "cuda", 64)],
    ]
    keys = {(row.case, row.chunk, row.device): row.key for row in rows}
    assert keys["small", 4, "cpu"] == keys["small twin", 4, "cpu"]
    assert len(set(keys.values())) == 6
    again, counts, asked = told(tmp_path, probe=probe)
    assert (again, asked, counts["known"]) == (rows, [], 3)
    assert told(tmp_path, code="two", probe=probe)[2], "another version of the code"


def test_a_row_is_what_was_measured_here_and_what_the_analysis_says(tmp_path):
    (cpu, cuda, *_), *_ = told(tmp_path, probe=probe)
    assert cpu.host == {"base": 300, **HELD, "activations": 1000 + 515}, "half again of 1030 for a heap's gaps"
    assert (cpu.gpu, cpu.pace, cpu.source) == ({}, 2.0, "calibrated")
    assert cuda.host == {"base": 300 + CUDA_LIBRARIES, "parameters": 10, "frames": 20}
    assert cuda.gpu == {"context": CONTEXT, "parameters": 10, "activations": 500}
    assert (cuda.pace, cuda.source) == (None, "simulated")
    assert {row.device for row in told(tmp_path, force_cpu=True, probe=probe)[0]} == {"cpu"}


def test_loading_weights_may_be_the_peak(tmp_path):
    (cpu, cuda, *_), *_ = told(tmp_path, probe=lambda ask, first: Probe(300, loading=5000))
    assert sum(cpu.host.values()) == 5000
    assert cpu.host["parameters"] == 10 + 5000 - 1330
    assert sum(cuda.host.values()) == max(5000, 330 + CUDA_LIBRARIES)
    assert cpu.pace is None


def test_without_a_probe_a_process_that_loads_what_jobs_load_is_measured_once(tmp_path, monkeypatch):
    measured = []

    def measure(work, arguments, threads):
        measured.append(arguments)
        return SimpleNamespace(rss=777)

    monkeypatch.setattr(driver, "measure", measure)
    rows, *_ = told(tmp_path)
    assert {row.host["base"] for row in rows if row.device == "cpu"} == {777}
    told(tmp_path)
    assert measured == [{"module": "toy.workload"}]


@pytest.mark.parametrize("spec", ["", None])
def test_an_analysis_without_a_model_keeps_what_it_found_out(tmp_path, spec):
    _, counts, _ = told(tmp_path, probe=probe, model=lambda study: spec)
    assert counts["found_out"] == 3
    assert len(list((tmp_path / "known").iterdir())) == 3
