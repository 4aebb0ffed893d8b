"""What goes wrong on clusters: nothing is lost, the failed unit alone is redone, and the bytes are the same."""

import re

import pytest

WINDOWS_OF_A = 3


@pytest.fixture
def begun(fresh, on, cluster, window, tmp_path):
    """A run that works on the middle window of pond-a: project, driver, the job, and what the driver says."""
    project = on(fresh.copy(tmp_path / "checkout"))
    before, said = cluster.jobs(), tmp_path / "driver.log"
    driver = project.start("annotate", said=said)
    log = project.out / "logs/annotate_window/pond-a.0001.log"
    yield project, driver, cluster.working(window("pond-a", 1), before, log), said
    if driver.poll() is None:
        driver.kill()
        driver.wait()


def tries(cluster, comment, since):
    return [job for job in cluster.submissions()[since:] if job["Comment"] == comment]


def test_a_job_killed_for_memory_is_tried_again_with_more(through_slurm, cluster, window, locally, tmp_path):
    project = through_slurm[0].copy(tmp_path / "checkout")
    rules = project.path / "rules/annotate.smk"
    text, number = re.subn(r"4000 \* attempt", "120 * 10 ** (attempt - 1)", rules.read_text())
    assert number
    rules.write_text(text)
    for name in ("annotate/pond-b/window-0000.parquet", "detections/pond-b.parquet"):
        (project.out / name).unlink()
    since = len(cluster.submissions())
    project.run("annotate", "--retries=1")
    found = tries(cluster, window("pond-b", 0), since)
    assert [job["MinMemoryNode"] for job in found] == ["120M", "1200M"]
    assert found[0]["JobState"] in ("FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert found[1]["JobState"] == "COMPLETED"
    assert project.digests() == locally.digests()


def test_a_node_that_goes_down_gives_its_window_to_another(begun, cluster, window, locally):
    project, driver, job, _ = begun
    node = job["NodeList"]
    cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        assert driver.wait(timeout=300) == 0
    finally:
        cluster.ask("scontrol", "update", f"nodename={node}", "state=resume")
    ended = cluster.jobs()[window("pond-a", 1)]
    assert (ended["JobState"], int(ended["Restarts"])) == ("COMPLETED", 1)
    assert ended["NodeList"] != node
    assert project.digests() == locally.digests()


def test_a_requeued_window_starts_again_by_itself(begun, cluster, window, locally):
    project, driver, job, _ = begun
    cluster.ask("scontrol", "requeue", job["JobId"])
    assert driver.wait(timeout=300) == 0
    ended = cluster.jobs()[window("pond-a", 1)]
    assert (ended["JobId"], ended["JobState"], int(ended["Restarts"])) == (job["JobId"], "COMPLETED", 1)
    assert project.digests() == locally.digests()


def test_a_second_driver_is_refused_and_a_killed_one_resumed(begun, cluster, window, locally):
    project, driver, job, _ = begun
    said = project.run("annotate", fails=True)
    assert "locked" in said
    assert driver.poll() is None, "the first goes on"

    driver.kill()
    driver.wait()
    cluster.ask("scancel", f"--name={job['JobName']}")
    project.run("--unlock")
    since = len(cluster.submissions())
    project.run("annotate")
    again = [job["Comment"] for job in cluster.submissions()[since:]]
    assert window("pond-a", WINDOWS_OF_A - 1) in again, "there was something left to do"
    assert window("pond-a", 0) not in again, "what is done stays done"
    assert len(again) == len(set(again))
    assert project.digests() == locally.digests()


def test_a_job_over_its_time_is_tried_again_with_more(fresh, on, cluster, tmp_path):
    project = on(fresh.copy(tmp_path / "checkout"))
    (project.path / "Snakefile").write_text(
        "rule slow:\n    output: 'slow.txt'\n    resources: runtime=lambda wildcards, attempt: attempt\n"
        "    shell: 'test {resources.runtime} = 2 || sleep 600; touch {output}'\n"
    )
    project.run("slow.txt", "--retries=1")
    found = [(job["JobState"], job["TimeLimit"]) for job in tries(cluster, "rule_slow", 0)]
    assert found == [("TIMEOUT", "00:01:00"), ("COMPLETED", "00:02:00")]
