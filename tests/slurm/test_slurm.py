"""profiles/slurm through a real scheduler: the same bytes, what jobs asked for, one cancelled, one failing."""

import os

import pytest

WINDOWS = [("pond-a", 0), ("pond-a", 1), ("pond-a", 2), ("pond-b", 0), ("pond-b", 1)]


def test_the_same_bytes_as_on_one_machine(through_slurm, locally):
    found = through_slurm[0].digests()
    assert len(found) == 2 * len(WINDOWS) + 3 * 2
    assert found == locally.digests()


@pytest.mark.parametrize(("video", "number"), WINDOWS)
def test_a_window_asks_for_one_gpu_and_its_memory(through_slurm, cluster, window, video, number):
    job = cluster.jobs()[window(video, number)]
    assert (job["JobState"], job["TresPerJob"]) == ("COMPLETED", "gres:gpu:1")
    assert (job["MinMemoryNode"], job["CPUs/Task"], job["TimeLimit"]) == ("4000M", "1", "02:00:00")
    assert job["NodeList"] in ("small", "large"), "where the GPUs are"


@pytest.mark.parametrize("comment", ["rule_merge_detections_wildcards_pond-a", "rule_probe_video_wildcards_pond-b"])
def test_other_steps_ask_for_no_gpu(through_slurm, cluster, comment):
    job = cluster.jobs()[comment]
    assert job["JobState"] == "COMPLETED"
    assert "gpu" not in job.get("TresPerJob", "") + job["TRES"]
    assert (job["MinMemoryNode"], job["TimeLimit"]) == ("1000M", "00:30:00")


def test_a_cancelled_window_stops_its_video_alone_and_is_redone_alone(fresh, on, cluster, window, locally, tmp_path):
    project = on(fresh.copy(tmp_path / "checkout"))
    before = cluster.jobs()
    run = project.start("annotate", said=tmp_path / "driver.log")
    victim = cluster.working(window("pond-a", 1), before, project.out / "logs/annotate_window/pond-a.0001.log")["JobId"]
    cluster.ask("scancel", victim)
    assert run.wait(timeout=240) != 0
    text = (tmp_path / "driver.log").read_text()
    assert f"SLURM-job '{victim}' failed, SLURM status is: 'CANCELLED'" in text
    assert "results/logs/annotate_window/pond-a.0001.log" in text
    assert cluster.jobs()[window("pond-a", 1)]["JobState"] == "CANCELLED"
    assert (project.out / "annotate/pond-a/window-0000.parquet").exists()
    assert not (project.out / "annotate/pond-a/window-0001.parquet").exists()
    assert (project.out / "detections/pond-b.parquet").exists(), "the other video goes on"

    assert project.jobs("annotate") == {"annotate_window": 2, "merge_detections": 1, "annotate": 1}
    project.run("annotate")
    assert project.digests() == locally.digests()


def test_a_failed_window_is_tried_again_with_twice_the_memory(through_slurm, cluster, window, tmp_path):
    project = through_slurm[0].copy(tmp_path / "checkout")
    target = project.out / "annotate/pond-b/window-0000.parquet"
    target.unlink()
    media = project.path / "media/pond-b.mp4"
    looked_at = media.stat()
    media.write_bytes(b"no video any more")
    os.utime(media, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))
    before = len(cluster.submissions())
    text = project.run(str(target.relative_to(project.path)), "--retries=1", fails=True)
    tries = cluster.submissions()[before:]
    assert {job["Comment"] for job in tries} == {window("pond-b", 0)}
    asked = [(job["JobState"], job["MinMemoryNode"], job["TimeLimit"], job["TresPerJob"]) for job in tries]
    assert asked == [("FAILED", "4000M", "02:00:00", "gres:gpu:1"), ("FAILED", "8000M", "04:00:00", "gres:gpu:1")]
    assert "media/pond-b.mp4" in text
