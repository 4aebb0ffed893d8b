"""What earlier jobs used, gathered by key; records that say nothing are passed over."""

import json

from longtake.memory.history import Measured, read_history


def record(results, unit, attempts, rule="annotate_window", **asked):
    path = results / "logs" / rule / f"{unit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"forecast": "key", "frames": 100} | asked
    path.write_text(json.dumps({"rule": rule, "asked": given, "attempts": attempts}))


def attempt(rss, reserved=0.0, wall=50.0, status="ok", rung="as asked", reason=""):
    numbers = {"rss_mb": rss, "gpu_allocated_mb": 0.0, "gpu_reserved_mb": reserved, "wall_s": wall}
    return {"rung": rung, "status": status, "reason": reason, **numbers}


def test_the_largest_peaks_and_the_slowest_pace_of_a_key_over_runs(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    record(one, "a.0000", [attempt(900, 70)])
    record(one, "a.0001", [attempt(1000, 60, wall=100)])
    record(two, "b.0000", [attempt(950, 80)])
    record(two, "b.0001", [attempt(5000)], forecast="other")
    record(two, "b.0000", [attempt(9000)], rule="merge_detections")
    found = read_history([one, two, tmp_path / "absent"], ["annotate_window"])
    assert found["key"] == Measured(jobs=3, host_mb=1000, gpu_mb=80, seconds_per_frame=1.0)
    assert found["other"].host_mb == 5000
    assert read_history([one], ["annotate_window"])["key"].jobs == 2


def test_another_rung_is_another_way_and_counts_for_nothing(tmp_path):
    first = attempt(3000, 700, status="out of memory", reason="the watch, close to the limit of 3 GB")
    record(tmp_path, "a.0000", [first, attempt(800, rung="one object at a time")])
    record(tmp_path, "a.0001", [attempt(100, 900, status="out of memory", reason="the GPU's allocator")])
    record(tmp_path, "a.0002", [attempt(8000, status="failed")])
    found = read_history([tmp_path], ["annotate_window"])
    assert found["key"] == Measured(short_host_mb=3000, short_gpu_mb=900)


def test_a_record_that_is_torn_or_of_another_version_says_nothing(tmp_path):
    folder = tmp_path / "logs/annotate_window"
    folder.mkdir(parents=True)
    for number, text in enumerate(["", "{", "[1]", "{}", '{"asked": 3, "attempts": []}', '{"attempts": [{}]}']):
        (folder / f"{number}.json").write_text(text)
    record(tmp_path, "x", [3, {"rung": "as asked", "status": "ok", "rss_mb": "much"}])
    assert read_history([tmp_path], ["annotate_window"]) == {"key": Measured(jobs=1)}


def test_a_job_that_found_no_gpu_says_nothing_of_those_that_do(tmp_path):
    record(tmp_path, "a.0000", [attempt(900)], gpu_class="a100")
    path = tmp_path / "logs/annotate_window/a.0000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"facts": {"device": "cpu"}}))
    assert read_history([tmp_path], ["annotate_window"]) == {}
    path.write_text(path.read_text().replace('"cpu"', '"cuda"'))
    assert read_history([tmp_path], ["annotate_window"])["key"].jobs == 1
