"""What earlier jobs used, gathered by key and by what they had to do; records that say nothing are passed over."""

import json
import weakref

import pytest

from longtake.planning import history
from longtake.planning.history import Measured, Timed, read_history

LOAD = {"objects": 2, "prompted": 1}
DONE = {"work": 100, "seconds": 0, "load": LOAD, "alike": True, "settled": True}
ON_CPU = {"device": "cpu"}


def record(results, unit, attempts, rule="annotate_window", *, facts=ON_CPU, done=DONE, told=(), **asked):
    path = results / "logs" / rule / f"{unit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"forecast": "key", "work": 100, "gpu_class": "CPU"} | asked
    whole = {"rule": rule, "status": "ok", "asked": given, "attempts": attempts, "facts": facts, "done": done}
    path.write_text(json.dumps(whole | dict(told)))


def attempt(rss, reserved=0.0, wall=50.0, status="ok", rung="as asked", reason=""):
    numbers = {"rss_mb": rss, "gpu_allocated_mb": 0.0, "gpu_reserved_mb": reserved, "wall_s": wall}
    return {"rung": rung, "status": status, "reason": reason, **numbers}


def found_in(folder, rule="annotate_window"):
    return read_history([folder], [rule]).get("key", Measured())


def test_the_largest_peaks_and_the_slowest_pace_of_a_key_over_runs(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    record(one, "a.0000", [attempt(900, 70)])
    record(one, "a.0001", [attempt(1000, 60, wall=100)])
    record(two, "b.0000", [attempt(950, 80)])
    record(two, "b.0001", [attempt(5000)], forecast="other")
    record(two, "b.0000", [attempt(9000)], rule="merge_detections")
    found = read_history([one, two, tmp_path / "absent"], ["annotate_window"])
    assert found["key"] == Measured({frozenset(LOAD.items()): Timed(3, (True, 1.0), 1.0)}, host_mb=1000, gpu_mb=80)
    assert found["other"].host_mb == 5000
    assert read_history([one], ["annotate_window"])["key"].jobs == 2


def test_another_rung_is_another_way_and_counts_for_nothing(tmp_path):
    first = attempt(3000, 700, status="out of memory", reason="the watch, close to the limit of 3 GB")
    record(tmp_path, "a.0000", [first, attempt(800, rung="one object at a time")])
    record(tmp_path, "a.0001", [attempt(100, 900, status="out of memory", reason="the GPU's allocator")])
    record(tmp_path, "a.0002", [attempt(8000, status="failed")])
    assert found_in(tmp_path) == Measured(short_host_mb=3000, short_gpu_mb=900)


def test_a_record_that_is_torn_or_of_another_version_says_nothing(tmp_path):
    folder = tmp_path / "logs/annotate_window"
    folder.mkdir(parents=True)
    for number, text in enumerate(["", "{", "[1]", "{}", '{"asked": 3, "attempts": []}', '{"attempts": [{}]}']):
        (folder / f"{number}.json").write_text(text)
        (folder / f"of a rule {number}.json").write_text(text.replace("{", '{"rule": "annotate_window", ', 1))
    attempts = [3, {"rung": "as asked", "status": "ok", "rss_mb": "much"}]
    record(tmp_path, "x", attempts, facts=3, done=3, told={"reason": 3, "wall_s": "long"})
    assert read_history([tmp_path], ["annotate_window"]) == {"key": Measured({None: Timed(1)})}


@pytest.mark.parametrize("idle", [{}, {"work": 0}, DONE | {"work": None}, DONE | {"load": {"objects": "two"}}])
def test_a_job_with_next_to_nothing_to_do_counts_by_itself(tmp_path, idle):
    record(tmp_path, "a.0000", [attempt(900, 70, wall=30)], done=idle)
    found = found_in(tmp_path)
    assert (found.host_mb, found.gpu_mb, found.jobs) == (900, 70, 1)
    assert found.with_at_least({}) == Timed()
    record(tmp_path, "a.0001", [attempt(800, 90)])
    assert found_in(tmp_path).with_at_least({}).jobs == 1


def test_only_jobs_with_as_large_a_load_in_each_are_alike(tmp_path):
    for unit, (objects, prompted) in enumerate(((1, 1), (8, 1), (8, 4), (8, 4), (9, 4))):
        done = DONE | {"load": {"objects": objects, "prompted": prompted}}
        record(tmp_path, unit, [attempt(900, wall=100 * objects)], done=done)
    found = found_in(tmp_path)
    assert found.jobs == 5
    for (objects, prompted), jobs in {(1, 1): 5, (8, 1): 4, (8, 2): 3, (9, 4): 1, (10, 1): 0}.items():
        assert found.with_at_least({"objects": objects, "prompted": prompted}).jobs == jobs
    assert found.with_at_least({"objects": 8}).pace == 9.0
    assert found.with_at_least({"voxels": 1}).jobs == 0, "what a job does not name it did not hold"


def test_the_pace_is_that_of_the_work_and_leaves_out_the_start(tmp_path):
    record(tmp_path, "a.0000", [attempt(900, wall=500)], done=DONE | {"work": 40}, work=9000)
    assert found_in(tmp_path).with_at_least(LOAD).pace == 500 / 40
    record(tmp_path, "a.0000", [attempt(900, wall=500)], done=DONE | {"work": 40, "seconds": 80.0}, work=9000)
    assert found_in(tmp_path).with_at_least(LOAD).pace == 2.0


def test_little_work_tells_the_pace_only_where_no_more_of_it_does(tmp_path):
    record(tmp_path, "a.0001", [attempt(900, wall=150)], done=DONE | {"work": 15, "settled": False})
    assert found_in(tmp_path).with_at_least(LOAD).pace == 10.0
    record(tmp_path, "a.0000", [attempt(900)])
    record(tmp_path, "a.0002", [attempt(900)], done={})
    assert found_in(tmp_path).with_at_least(LOAD) == Timed(2, (True, 0.5), 1.0)


def test_what_is_counted_otherwise_than_planned_is_timed_for_the_fullest_unit(tmp_path):
    one, many = ({"work": n, "seconds": s, "load": {}, "alike": False} for n, s in ((1, 6.0), (4, 8.0)))
    record(tmp_path, "a.0001", [attempt(900)], rule="gradients_window", done=one)
    record(tmp_path, "a.0002", [attempt(800)], rule="gradients_window", done=many)
    found = found_in(tmp_path, "gradients_window")
    assert found.with_at_least({}) == Timed(2, (True, 6.0), 0.04)
    assert found.with_at_least({}).pace == 6.0 * 4 / 100


@pytest.mark.parametrize(
    ("gpu_class", "device", "jobs"),
    [("a100", "cpu", 0), ("a100", "cuda:0", 1), ("CPU", "cuda", 0), ("CPU", "cpu", 1), ("CPU", None, 1)],
)
def test_a_job_on_another_device_than_was_planned_says_nothing_of_those_on_that(tmp_path, gpu_class, device, jobs):
    record(tmp_path, "a.0000", [attempt(900)], gpu_class=gpu_class, facts={"device": device})
    assert found_in(tmp_path).jobs == jobs


def test_a_job_that_stepped_down_to_the_cpu_had_begun_on_a_gpu(tmp_path):
    first = attempt(100, 900, status="out of memory", reason="the GPU's allocator")
    record(tmp_path, "a.0000", [first, attempt(800, rung="on the CPU")], gpu_class="a100")
    assert found_in(tmp_path) == Measured(short_gpu_mb=900)


def ended(wall, why="SystemExit: ended by SIGTERM: cancelled, or at the scheduler's time limit", status="failed"):
    return {"status": status, "reason": why, "wall_s": wall}


def test_a_job_that_was_ended_at_its_time_limit_tells_what_did_not_suffice(tmp_path):
    for unit, minutes in enumerate((33, 22)):
        record(tmp_path, unit, [], runtime=minutes, facts={"device": "cpu"}, told=ended(60 * minutes - 20))
    record(tmp_path, "cancelled", [], runtime=90, facts={}, told=ended(60))
    record(tmp_path, "broken", [], runtime=90, facts={}, told=ended(5400, "MediaError: it is no video"))
    record(tmp_path, "over time", [], runtime=90, facts={}, told=ended(6000, "", "ok"))
    record(tmp_path, "elsewhere", [], runtime=90, gpu_class="a100", facts={"device": "cpu"}, told=ended(5400))
    assert found_in(tmp_path) == Measured(short_minutes=33)


def test_thousands_of_records_are_read_one_at_a_time(tmp_path, monkeypatch):
    class Record(dict):
        """One that can be watched."""

    alive, most = weakref.WeakSet(), []

    def scan(folder):
        for number in range(5000):
            each = Record(
                rule="annotate_window",
                status="ok",
                asked={"forecast": f"key {number % 7}", "work": 100},
                attempts=[attempt(number)],
                facts=ON_CPU,
                done=DONE,
            )
            alive.add(each)
            most.append(len(alive))
            yield each
            del each

    Record.__hash__ = object.__hash__
    monkeypatch.setattr(history, "scan_records", scan)
    found = read_history([tmp_path], ["annotate_window"])
    assert max(most) <= 2
    assert sum(each.jobs for each in found.values()) == 5000
    assert max(each.host_mb for each in found.values()) == 4999
