"""What earlier jobs used, gathered by key and by what they had to do; records that say nothing are passed over."""

import json
import weakref

import pytest

from longtake.planning import history
from longtake.planning.history import ENOUGH, Measured, Timed, read_history

TRACKED = {"device": "cpu", "tracked_frames": 100, "objects_at_once": 2, "prompted_at_once": 1}


def record(results, unit, attempts, rule="annotate_window", *, facts=TRACKED, told=(), **asked):
    path = results / "logs" / rule / f"{unit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"forecast": "key", "frames": 100, "gpu_class": "CPU"} | asked
    whole = {"rule": rule, "status": "ok", "asked": given, "attempts": attempts, "facts": facts} | dict(told)
    path.write_text(json.dumps(whole))


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
    assert found["key"] == Measured({(2, 1): Timed(3, (True, 1.0), 1.0)}, host_mb=1000, gpu_mb=80)
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
    record(tmp_path, "x", attempts, facts=3, told={"reason": 3, "wall_s": "long"})
    assert read_history([tmp_path], ["annotate_window"]) == {"key": Measured({(0, 0): Timed(1)})}


@pytest.mark.parametrize(
    "idle",
    [
        {"tracked_frames": 0, "objects_at_once": 0, "prompted_at_once": 0},
        {"tracked_frames": 3},  # the memories of a tracker are not full yet
        {"objects_at_once": None},  # of an older version
    ],
)
def test_a_window_with_next_to_nothing_to_do_counts_by_itself(tmp_path, idle):
    record(tmp_path, "a.0000", [attempt(900, 70, wall=30)], facts=TRACKED | idle)
    found = found_in(tmp_path)
    assert (found.host_mb, found.gpu_mb, found.jobs) == (900, 70, 1)
    assert found.with_at_least(1, 1) == Timed()
    record(tmp_path, "a.0001", [attempt(800, 90)])
    assert found_in(tmp_path).with_at_least(1, 1).jobs == 1


def test_only_jobs_with_as_many_objects_and_prompted_frames_are_alike(tmp_path):
    for objects, prompted in ((1, 1), (8, 1), (8, 3), (8, 3), (9, 4)):
        facts = TRACKED | {"objects_at_once": objects, "prompted_at_once": prompted}
        unit = len(list(tmp_path.glob("logs/*/*")))
        record(tmp_path, unit, [attempt(900, wall=100 * objects)], facts=facts)
    found = found_in(tmp_path)
    assert found.jobs == 5
    assert [found.with_at_least(*load).jobs for load in ((1, 1), (8, 1), (8, 2), (8, 4), (9, 4), (10, 1))] == [
        *(5, 4, 3, 3, 1, 0),
    ]
    assert found.with_at_least(8, 1).seconds_per_frame == 9.0


def test_the_pace_is_that_of_frames_that_were_tracked_and_leaves_out_the_start(tmp_path):
    record(tmp_path, "a.0000", [attempt(900, wall=500)], facts=TRACKED | {"tracked_frames": 40}, frames=9000)
    assert found_in(tmp_path).with_at_least(2, 1).seconds_per_frame == 500 / 40
    facts = TRACKED | {"tracked_frames": 40, "wall_s": 80.0}
    record(tmp_path, "a.0000", [attempt(900, wall=500)], facts=facts, frames=9000)
    assert found_in(tmp_path).with_at_least(2, 1).seconds_per_frame == 2.0


def test_a_short_window_tells_the_pace_only_where_no_longer_one_does(tmp_path):
    few = TRACKED | {"tracked_frames": ENOUGH - 1}
    record(tmp_path, "a.0001", [attempt(900, wall=150)], facts=few, frames=ENOUGH - 1)
    assert found_in(tmp_path).with_at_least(2, 1).seconds_per_frame == 10.0
    record(tmp_path, "a.0000", [attempt(900)])
    record(tmp_path, "a.0002", [attempt(900)], facts=TRACKED | {"tracked_frames": 0})
    assert found_in(tmp_path).with_at_least(2, 1) == Timed(2, (True, 0.5), 1.0)


def test_gradients_are_timed_by_the_clip_and_for_the_window_with_most(tmp_path):
    none = {"device": "cpu", "objects": 3, "ok": 0, "approximate": 0, "failed": 6}
    record(tmp_path, "a.0000", [attempt(900)], rule="gradients_window", facts=none)
    assert found_in(tmp_path, "gradients_window").with_at_least(1, 1) == Timed()
    one, many = none | {"ok": 1, "wall_s": 6.0}, none | {"ok": 4, "wall_s": 8.0}
    record(tmp_path, "a.0001", [attempt(900)], rule="gradients_window", facts=one)
    record(tmp_path, "a.0002", [attempt(800)], rule="gradients_window", facts=many)
    found = found_in(tmp_path, "gradients_window")
    assert found.with_at_least(1, 1) == Timed(2, (True, 6.0), 0.04)
    assert found.with_at_least(1, 1).seconds_per_frame == 6.0 * 4 / 100


@pytest.mark.parametrize(
    ("gpu_class", "device", "jobs"),
    [("a100", "cpu", 0), ("a100", "cuda:0", 1), ("CPU", "cuda", 0), ("CPU", "cpu", 1), ("CPU", None, 1)],
)
def test_a_job_on_another_device_than_was_planned_says_nothing_of_those_on_that(tmp_path, gpu_class, device, jobs):
    record(tmp_path, "a.0000", [attempt(900)], gpu_class=gpu_class, facts=TRACKED | {"device": device})
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
                asked={"forecast": f"key {number % 7}", "frames": 100},
                attempts=[attempt(number)],
                facts=TRACKED,
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
