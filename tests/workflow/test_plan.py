"""The plan of jobs: made with the windows, shown in a dry run, asked for, and changed without rerunning a window."""

import csv
import json
import re
import shutil

import pytest

from longtake.planning.request import Requests

CLUSTER = "classes: [{name: small, memory_gb: 16, gpu_model: t4}, {name: large, memory_gb: 80, gpu_model: h100}]\n"
WINDOW = "results/annotate/pond-b/window-0000.parquet"


def shown(text):
    """What a dry run says of each window of annotate: (video, window) -> the rest of its line."""
    found = re.findall(r"Annotate (\S+), window (\d+): (.*)", text)
    return {(video, int(window)): rest for video, window, rest in found}


def test_every_window_was_planned_and_its_job_asked_for_that(finished):
    plan = Requests(finished.out / "plan/jobs.tsv")
    assert len(plan) == 10
    for path in (finished.out / "logs/annotate_window").glob("*.json"):
        record = json.loads(path.read_text())
        row = plan.get(record["rule"], ".".join(record["wildcards"].values()))
        assert record["requested_mem_mb"] == row.mem_mb < 4000
        assert record["asked"]["forecast"] == row.key
        assert record["asked"]["chunk"] == row.chunk
        assert row.host_mb < record["rss_mb"] * 2


def test_a_dry_run_shows_what_every_window_asks_for(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    for folder in ("annotate", "detections"):
        shutil.rmtree(project.out / folder)
    lines = shown(project.run("annotate", "-n"))
    plan = Requests(project.out / "plan/jobs.tsv")
    assert len(lines) == 5
    for (video, window), line in lines.items():
        row = plan.get("annotate_window", f"{video}.{window:04d}")
        assert line.startswith(f"{row.mem_mb} MB, {row.runtime} min; gpu_class=CPU; chunk={row.chunk}; ")


def test_prompted_frames_of_the_sheet_reach_the_plan(fresh, finished, tmp_path):
    """By a model that reads them all; the demo's own reads one."""
    project = fresh.copy(tmp_path / "checkout").knowing(finished)
    folder = shutil.copytree(project.path / "workflow/models/sam2-pond", project.path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_cond_frame_num": -1}))
    sheet = project.path / "config/prompts.tsv"
    header, *rows = [line.split("\t") for line in sheet.read_text().splitlines()]
    first = next(row for row in rows if row[0] == "pond-a")
    again = [[*first[:3], str(frame), *first[4:]] for frame in (41, 42, 61, 81, 101, 121)]  # 41 and 42 are one frame
    sheet.write_text("".join("\t".join(row) + "\n" for row in [header, *rows, *again]))
    # Of the six in the video a window that stands alone has three, from 50 to 109; counts go up to a power of two.
    project.run("plan", "--config", "annotate={model: model, continuity: overlap}")
    plan = Requests(project.out / "plan/jobs.tsv")
    many, one = (plan.get("annotate_window", f"{video}.0000") for video in ("pond-a", "pond-b"))
    assert many.way.endswith(", 4 prompted frames of each")
    assert "prompted" not in one.way
    assert many.key != one.key


def test_another_margin_makes_another_plan_and_reruns_no_window(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    targets = ("annotate", "gradients", "--config", "memory={margin: 3}")
    assert project.jobs(*targets) == {"plan": 1, "annotate": 1, "gradients": 1}
    before = Requests(project.out / "plan/jobs.tsv").get("annotate_window", "pond-a.0000")
    project.run(*targets)
    after = Requests(project.out / "plan/jobs.tsv").get("annotate_window", "pond-a.0000")
    assert before.measured_host_mb is None
    assert after.measured_host_mb > 0, "the first run's measurements are history now"
    assert after.host_mb == before.host_mb
    assert not project.jobs(*targets)


def test_a_cluster_is_asked_for_its_classes_and_a_changed_one_reruns_no_window(fresh, finished, tmp_path):
    project = fresh.copy(tmp_path / "checkout").knowing(finished)
    shutil.copytree(finished.out / "probe", project.out / "probe")
    config = project.path / "config/config.yaml"
    config.write_text(config.read_text().replace("force_cpu: true", "force_cpu: false") + "cluster: mine.yaml\n")
    cluster = project.path / "mine.yaml"
    cluster.write_text(CLUSTER)
    project.run("plan", WINDOW)
    assert Requests(project.out / "plan/jobs.tsv").get("annotate_window", "pond-b.0000").gpu_class == "small"
    assert "gpu_class=small; chunk=1; " in shown(project.run(WINDOW, "-n", "--forcerun=annotate_window"))["pond-b", 0]

    cluster.write_text(CLUSTER.replace("memory_gb: 16", "memory_gb: 0.1"))
    assert project.jobs("plan", WINDOW) == {"plan": 1}
    project.run("plan", WINDOW)
    assert Requests(project.out / "plan/jobs.tsv").get("annotate_window", "pond-b.0000").gpu_class == "large"
    assert not project.jobs("plan", WINDOW)

    for text, words in ((CLUSTER + "more: 1", "'more'"), (CLUSTER.replace("80", "80 GB"), "'80 GB'")):
        cluster.write_text(text)
        told = project.run("plan", WINDOW, fails=True)
        assert "ConfigError: " in told
        assert words in told
        assert "Traceback" not in told


def test_a_plan_for_a_cpu_is_shown_although_the_cluster_was_set_since(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    (project.path / "mine.yaml").write_text(CLUSTER.replace("gpu_model: t4", "constraint: turing"))
    config = project.path / "config/config.yaml"
    config.write_text(config.read_text().replace("force_cpu: true", "force_cpu: false") + "cluster: mine.yaml\n")
    assert "MB" in shown(project.run(WINDOW, "-n", "--forcerun=annotate_window"))["pond-b", 0]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("statistics={compare_with: ./results/}", "statistics.compare_with is './results/', which is "),
        ("memory={history: nowhere}", "memory.history is 'nowhere', which is no folder"),
    ],
)
def test_folders_of_other_runs_are_looked_for_at_once(fresh, setting, words):
    said = fresh.run("all", "-n", "--config", setting, fails=True)
    assert words in said
    assert "Traceback" not in said


def test_what_fits_is_said_with_the_reason(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    for _ in range(2):  # of this moment: so it is asked anew each time
        text = project.run("memory_check")
        assert re.search(r"^annotate +pond-a .* yes ", text, re.M)
    with (project.out / "reports/memory_check.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["analysis"] for row in rows} == {"annotate", "gradients"}
    assert all(row["why"] for row in rows)
    assert not project.jobs("all")


@pytest.mark.parametrize("target", ["annotate", "plan"])
def test_an_empty_sheet_is_told_to_who_asks_for_videos_and_enough_to_ask_what_fits(fresh, tmp_path, target):
    project = fresh.copy(tmp_path / "checkout")
    for name in ("videos", "prompts"):
        sheet = project.path / f"config/{name}.tsv"
        sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    text = project.run(target, fails=True)
    assert "holds no video. Add a row" in text
    assert "Traceback" not in text
    jobs = project.jobs("memory_check")
    assert jobs == {"typical_video": 3, "forecast": 2, "memory_check": 1}
