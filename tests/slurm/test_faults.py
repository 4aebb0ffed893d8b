"""What goes wrong on clusters: nothing is lost, the failed unit alone is redone, and the bytes are the same."""

import json
import re
import shlex
from datetime import datetime, timedelta

import pytest

LAST_OF_B = ("annotate/pond-b/window-0001*", "logs/annotate_window/pond-b.0001.*", "detections/pond-b*")
TARGET_OF_B = "results/annotate/pond-b/window-0001.parquet"


# The comment of the job that runs beside the tests.
OVERTIME = "rule_slow"


def tries(cluster, comment, since=0):
    return [job for job in cluster.submissions()[since:] if job["Comment"] == comment]


def again(cluster, job):
    """Have a job that goes back to the queue start soon, as an administrator would: by itself it waits two minutes.

    Not at once, since a node refuses a job that it has just killed; and asked until it holds, since one that is still
    being ended gets its time to begin afterwards.
    """

    def started():
        now = cluster.jobs()[job["Comment"]]
        if now["JobState"] == "PENDING" and not soon(now["EligibleTime"]):
            cluster.ask("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now+10")
        return now["Restarts"] == "1" and now["JobState"] in ("RUNNING", "COMPLETED")

    cluster.wait_for(started, f"{job['Comment']} did not start again")


def soon(time):
    return time != "Unknown" and datetime.fromisoformat(time) < datetime.now() + timedelta(seconds=15)


def told_to_redo(said, unit):
    """The log and the target of a unit that a driver says has failed."""
    log, command = re.search(rf"^Failed: annotate_window {unit}\n  its log: (.*)\n.*alone: (.*)$", said, re.M).groups()
    assert "--profile profiles/slurm" in command
    return log, shlex.split(command)[-1]


@pytest.fixture(scope="module")
def overtime(on, fresh, tmp_path_factory):
    """A run of one job that takes longer than it said, and on its second try less; a minute is the shortest limit."""
    project = on(fresh.copy(tmp_path_factory.mktemp("overtime") / "checkout"), "--retries=1")
    (project.path / "Snakefile").write_text(
        "rule slow:\n    output: 'slow.txt'\n    resources: runtime=lambda wildcards, attempt: attempt\n"
        "    shell: 'test {resources.runtime} = 2 || sleep 600; touch {output}'\n"
    )
    driver = project.start("slow.txt", said=project.path / "driver.log")
    yield driver
    if driver.poll() is None:
        driver.kill()
        driver.wait()


@pytest.fixture(autouse=True)
def _meanwhile(overtime):
    """It runs beside the other tests, and is asked for by the last."""


def test_a_job_killed_for_memory_is_tried_again_with_more(project, cluster, window, finished):
    project.forget(*LAST_OF_B)
    since = len(cluster.submissions())
    more = "annotate_window:mem_mb=120 * 10 ** (attempt - 1)"
    project.run(TARGET_OF_B, "--retries=1", "--set-resources", more)
    first, second = tries(cluster, window("pond-b", 1), since)
    assert [job["MinMemoryNode"] for job in (first, second)] == ["120M", "1200M"]
    assert first["JobState"] in ("FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert second["JobState"] == "COMPLETED"
    record = json.loads((project.out / "logs/annotate_window/pond-b.0001.json").read_text())
    assert record["asked"]["rung"] == 1
    assert record["facts"]["first_rung"] == record["attempts"][0]["rung"]
    assert project.digests("annotate") == finished.digests("annotate")


def test_a_failed_window_is_tried_again_with_more_of_all_and_told(project, cluster, window):
    project.forget(*LAST_OF_B)
    media = project.path / "media/pond-b.mp4"
    with (project.path / "Snakefile").open("a") as snakefile:
        # Once the driver has looked at every video, and before its first job.
        snakefile.write(f"\n\nonstart:\n    os.truncate({str(media)!r}, {media.stat().st_size - 1000})\n")
    since = len(cluster.submissions())
    said = project.run(TARGET_OF_B, "--retries=1", fails=True)
    first, second = tries(cluster, window("pond-b", 1), since)
    assert first["JobState"] == second["JobState"] == "FAILED"
    assert (first["TresPerJob"], second["TresPerJob"]) == ("gres:gpu:t4:1", "gres:gpu:a100:1"), "the next class"
    assert cluster.megabytes_of(second) == 2 * cluster.megabytes_of(first)
    assert "media/pond-b.mp4" in said
    assert told_to_redo(said, "pond-b 0001") == ("results/logs/annotate_window/pond-b.0001.log", TARGET_OF_B)


def test_a_lost_node_and_a_requeue_start_a_window_again_by_themselves(begin, project, cluster, window, finished):
    driver, first, _ = begin()
    cluster.ask("scontrol", "update", f"nodename={first['NodeList']}", "state=down", "reason=test")
    try:
        before = cluster.jobs()
        again(cluster, first)
        second = cluster.working(window("pond-a", 2), before, project.out / "logs/annotate_window/pond-a.0002.log")
    finally:
        cluster.ask("scontrol", "update", f"nodename={first['NodeList']}", "state=resume")
    cluster.ask("scontrol", "requeue", second["JobId"])
    again(cluster, second)
    assert driver.wait(timeout=900) == 0
    for job in (first, second):
        ended = cluster.jobs()[job["Comment"]]
        assert (ended["JobId"], ended["JobState"], ended["Restarts"]) == (job["JobId"], "COMPLETED", "1")
    assert cluster.jobs()[first["Comment"]]["NodeList"] != first["NodeList"]
    assert project.digests() == finished.digests()


def test_a_cancelled_window_stops_its_video_alone_and_is_told(begin, project, cluster, window, finished):
    driver, victim, said = begin(*LAST_OF_B)
    cluster.ask("scancel", victim["JobId"])
    assert driver.wait(timeout=900) != 0
    text = said.read_text()
    assert f"SLURM-job '{victim['JobId']}' failed, SLURM status is: 'CANCELLED'" in text
    log, target = told_to_redo(text, "pond-a 0001")
    assert (log, target) == (
        "results/logs/annotate_window/pond-a.0001.log",
        "results/annotate/pond-a/window-0001.parquet",
    )
    assert (project.out / "annotate/pond-a/window-0000.parquet").exists()
    assert not (project.path / target).exists()
    assert (project.out / "detections/pond-b.parquet").exists(), "the other video goes on"

    assert project.jobs("annotate") == {"annotate_window": 2, "merge_detections": 1, "annotate": 1}
    project.run("annotate")
    assert project.digests() == finished.digests()


def test_a_second_driver_is_refused_and_a_killed_one_resumed(begin, project, cluster, window, finished):
    driver, job, _ = begin()
    said = project.run("annotate", fails=True)
    assert "locked" in said
    assert driver.poll() is None, "the first goes on"

    driver.kill()
    driver.wait()
    cluster.ask("scancel", f"--name={job['JobName']}")
    project.run("--unlock")
    since = len(cluster.submissions())
    project.run("annotate")
    submitted = [each["Comment"] for each in cluster.submissions()[since:] if each["Comment"] != OVERTIME]
    assert window("pond-a", 2) in submitted, "there was something left to do"
    assert window("pond-a", 0) not in submitted, "what is done stays done"
    assert len(submitted) == len(set(submitted))
    assert project.digests() == finished.digests()


def test_a_job_over_its_time_is_tried_again_with_more(overtime, cluster):
    assert overtime.wait(timeout=900) == 0
    found = [(job["JobState"], job["TimeLimit"]) for job in tries(cluster, OVERTIME)]
    assert found == [("TIMEOUT", "00:01:00"), ("COMPLETED", "00:02:00")]
