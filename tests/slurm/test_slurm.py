"""profiles/slurm through a real scheduler: the same bytes as on one machine, and what the plan said was asked for."""

import csv
import re
from collections import Counter

import pytest

WINDOWS = [("pond-a", 0), ("pond-a", 1), ("pond-a", 2), ("pond-b", 0), ("pond-b", 1)]
# A probe keeps the stamp of its file, which is another one in a copy of the project.
COMPARED = ("annotate", "detections", "gradients", "statistics")


def planned(project):
    """The rows of the plan's table, by the comment of their jobs."""
    with (project.out / "plan/jobs.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {f"rule_{row['rule']}_wildcards_{row['unit'].replace('.', '_')}": row for row in rows}


def time_limit(minutes):
    days, rest = divmod(int(minutes), 24 * 60)
    return (f"{days}-" if days else "") + f"{rest // 60:02d}:{rest % 60:02d}:00"


def test_the_same_bytes_as_on_one_machine(through_slurm, finished):
    expected = finished.digests(*COMPARED)
    assert len([name for name in expected if re.match("(annotate|gradients)/pond", name)]) > 4 * len(WINDOWS)
    assert through_slurm.digests(*COMPARED) == expected


def test_each_job_asks_for_the_class_the_memory_and_the_time_of_its_plan(through_slurm, submitted, cluster):
    plan = planned(through_slurm)
    assert Counter(row["rule"] for row in plan.values()) == {"annotate_window": 5, "gradients_window": 5}
    for comment, row in plan.items():
        job = submitted[comment]
        assert row["gpu_class"] == "T4", "the smallest that holds the small model"
        assert (job["JobState"], job["TresPerJob"]) == ("COMPLETED", "gres:gpu:t4:1")
        assert job["NodeList"] in ("small-1", "small-2"), "where these are"
        asked = (job["MinMemoryNode"], job["CPUs/Task"], job["TimeLimit"])
        assert asked == (cluster.megabytes(row["mem_mb"]), "1", time_limit(row["runtime"]))


@pytest.mark.parametrize(
    "comment",
    [
        "rule_probe_video_wildcards_pond-b",
        "rule_plan",
        "rule_merge_detections_wildcards_pond-a",
        "rule_merge_gradients_wildcards_pond-a",
        "rule_video_statistics_wildcards_pond-a",
        "rule_species_statistics",
    ],
)
def test_other_steps_ask_for_no_gpu(submitted, comment):
    job = submitted[comment]
    assert job["JobState"] == "COMPLETED"
    assert "gpu" not in job.get("TresPerJob", "") + job.get("TresPerNode", "") + job["TRES"]
    assert int(job["MinMemoryNode"].removesuffix("M")) <= 2000
    assert job["TimeLimit"] == "00:30:00"


def test_what_the_accounts_say_of_a_job(through_slurm, submitted, cluster, window):
    job = submitted[window("pond-a", 0)]
    told = cluster.ask("sacct", "-n", "-P", "-j", job["JobId"], "-X", "-o", "State,ReqMem,ReqTRES,TimelimitRaw")
    state, memory, requested, minutes = told.strip().split("|")
    row = planned(through_slurm)[window("pond-a", 0)]
    assert (state, memory, minutes) == ("COMPLETED", cluster.megabytes(row["mem_mb"]), row["runtime"])
    assert "gres/gpu:t4=1" in requested
