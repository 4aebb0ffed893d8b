"""The workflow itself: planned, run, extended, edited, interrupted, resumed."""

import hashlib
import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import psutil
import pytest
from PIL import Image

from longtake.annotate.sheet import SEEDED
from longtake.store.schemas import CLIPS, DETECTIONS, PROMPTS
from longtake.store.tables import read_table


def digests(project, pattern="detections/*.parquet"):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.out.glob(pattern)}


WINDOWS = {"pond-a": 3, "pond-b": 2}


def test_after_the_plan_a_dry_run_shows_every_window(finished, tmp_path):
    project = finished.copy(tmp_path / "checkout")
    for folder in ("annotate", "gradients", "detections", "statistics"):
        subprocess.run(["rm", "-r", str(project.out / folder)], check=True)
    jobs = project.jobs("all")
    assert jobs["annotate_window"] == jobs["gradients_window"] == sum(WINDOWS.values())
    assert jobs["plan"] == jobs["probe_video"] == 0


def test_before_the_plan_a_dry_run_shows_what_is_known(fresh):
    jobs = fresh.jobs("all")
    assert (jobs["probe_video"], jobs["windows"]) == (3, 1)


def test_a_bad_video_is_left_out_and_reported(finished):
    rows = (finished.out / "plan/videos.tsv").read_text().splitlines()
    (broken,) = [row for row in rows if row.startswith("broken\t")]
    assert "unreadable" in broken
    assert json.loads((finished.out / "probe/broken.json").read_text())["reason"]
    assert not (finished.out / "detections/broken.parquet").exists()
    assert "broken" in (finished.out / "report.html").read_text()


def test_every_grid_frame_and_object_stands_once(finished):
    for video, frames in (("pond-a", 160), ("pond-b", 100)):
        rows = read_table(finished.out / f"detections/{video}.parquet", DETECTIONS).to_pylist()
        keys = [(row["frame"], row["object"]) for row in rows]
        assert len(keys) == len(set(keys))
        assert {row["frame"] for row in rows} <= set(range(0, frames, 5))
        assert {row["window"] for row in rows} == set(range(WINDOWS[video]))
        assert max(row["frame"] for row in rows) == frames - 5


def test_clips_have_a_status_and_a_target(finished):
    clips = read_table(finished.out / "gradients/pond-a.clips.parquet", CLIPS).to_pylist()
    assert clips
    assert {clip["status"] for clip in clips} <= {"ok", "approximate", "failed"}
    assert all(bool(clip["reason"]) == (clip["status"] != "ok") for clip in clips)


def test_every_job_left_a_benchmark_and_a_record(finished):
    for rule, number in {"probe_video": 3, "annotate_window": 5, "gradients_window": 5, "merge_detections": 2}.items():
        assert len(list((finished.out / "benchmarks" / rule).glob("*.tsv"))) == number
        records = [json.loads(path.read_text()) for path in (finished.out / "logs" / rule).glob("*.json")]
        assert len(records) == number
        assert all(record["status"] == "ok" and record["rss_mb"] > 10 for record in records)


def test_a_second_run_has_nothing_to_do(finished):
    assert not finished.jobs("all")


@pytest.mark.parametrize("target", ["plan", "annotate", "gradients", "species", "figures", "export", "all"])
def test_targets(finished, target):
    assert not finished.jobs(target)


def test_windows_become_files_where_somebody_asks(finished):
    assert finished.jobs("segments") == {"window_file": sum(WINDOWS.values()), "segments": 1}


def test_one_more_video_runs_its_own_jobs_only(project):
    from_sheet = (project.path / "config/videos.tsv").read_text()
    (project.path / "media/pond-c.mp4").write_bytes((project.path / "media/pond-b.mp4").read_bytes())
    (project.path / "config/videos.tsv").write_text(from_sheet + "pond-c\tmedia/pond-c.mp4\tjelly\n")
    jobs = project.jobs("annotate")
    assert jobs["probe_video"] == 1
    assert jobs["annotate_window"] == 0
    text = project.run("annotate")
    assert "Annotate pond-c" in text
    assert "Annotate pond-a" not in text
    assert "Annotate pond-b" not in text
    assert "Look at pond-a" not in text
    found_out = {}
    for step in ("annotate", "gradients"):
        record = project.out / f"logs/forecast/{step}.json"
        facts = json.loads(record.read_text())["facts"]
        assert facts["known"] > 0
        found_out[step] = facts["found_out"]
    assert found_out == {"annotate": 1, "gradients": 0}, "no video before it was searched for objects"


def test_a_path_may_hold_odd_characters(project, finished):
    project.forget("probe/pond-b*", "annotate/pond-b/*", "detections/pond-b*")
    name = 'it\'s "pond b" ü $(x)&*[0]#.mp4'
    (project.path / "media/pond-b.mp4").rename(project.path / "media" / name)
    sheet = project.path / "config/videos.tsv"
    sheet.write_text(sheet.read_text().replace("media/pond-b.mp4", f"media/{name}"))
    target = "results/detections/pond-b.parquet"
    project.run(target)
    assert (project.path / target).read_bytes() == (finished.path / target).read_bytes()


def test_a_changed_box_reruns_its_own_video_only(project):
    sheet = project.path / "config/prompts.tsv"
    lines = sheet.read_text().splitlines()
    cells = lines[-1].split("\t")
    assert cells[0] == "pond-b"
    cells[5] = str(float(cells[5]) + 1)
    sheet.write_text("\n".join([*lines[:-1], "\t".join(cells)]) + "\n")
    jobs = project.jobs("annotate")
    assert jobs["annotate_window"] == WINDOWS["pond-b"]
    assert jobs["merge_detections"] == 1


def test_an_edited_picture_of_a_mask_reruns_its_own_video_only(project):
    sheet = project.path / "config/prompts.tsv"
    lines = [line for line in sheet.read_text().splitlines() if not line.startswith("pond-b")]
    rows = [f"{lines[0]}\tmask", *lines[1:], "pond-b\tjelly-1\tjelly\t0" + "\t" * 7 + "config/jelly.png"]
    sheet.write_text("\n".join(rows) + "\n")
    mask = Image.new("L", (512, 288))
    mask.paste(255, (200, 100, 300, 200))
    mask.save(project.path / "config/jelly.png")
    project.run("annotate")
    (drawn,) = read_table(project.out / "detections/pond-b.prompts.parquet", PROMPTS).to_pylist()
    assert (drawn["kind"], drawn["status"]) == ("mask", "ok")
    assert drawn["iou"] > 0.9
    assert not project.jobs("annotate")
    mask.paste(255, (300, 100, 320, 200))
    mask.save(project.path / "config/jelly.png")
    jobs = project.jobs("annotate")
    assert jobs["annotate_window"] == WINDOWS["pond-b"]
    assert jobs["merge_detections"] == 1


def test_a_sheet_without_a_prompt_gives_objects_with_ids(project):
    sheet = project.path / "config/prompts.tsv"
    sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    # As config/demo sets it for the embedded model.
    with (project.path / "config/config.yaml").open("a") as config:
        config.write("annotate: {seed_predicted_iou: 0.75, seed_stability: 0.7}\n")
    project.run("annotate")
    for video in WINDOWS:
        rows = read_table(project.out / f"detections/{video}.parquet", DETECTIONS).to_pylist()
        keys = [(row["frame"], row["object"]) for row in rows]
        assert rows
        assert len(keys) == len(set(keys))
        assert all(SEEDED.fullmatch(row["object"]) for row in rows)
        assert read_table(project.out / f"detections/{video}.prompts.parquet", PROMPTS).num_rows == 0


@pytest.mark.parametrize(
    ("module", "again", "kept"),
    [
        ("statistics/inference/intervals.py", {"species_statistics"}, {"annotate_window", "probe_video"}),
        ("gradients/relation.py", {"gradients_window", "video_statistics"}, {"annotate_window", "probe_video"}),
        ("annotate/session.py", {"annotate_window", "gradients_window"}, {"probe_video", "windows"}),
    ],
)
def test_editing_a_module_reruns_what_depends_on_it(project, module, again, kept):
    path = project.path / "workflow/longtake" / module
    path.write_text(path.read_text() + "\n# a remark changes nothing\n")
    assert not project.jobs("all")
    path.write_text(path.read_text() + "\nEDITED = True\n")
    jobs = project.jobs("all")
    assert all(jobs[rule] for rule in again), jobs
    assert not any(jobs[rule] for rule in kept), jobs


def test_a_changed_setting_reruns_what_uses_it(project):
    jobs = project.jobs("all", "--config", "seed=7")
    assert jobs["annotate_window"] == 0
    assert jobs["gradients_window"] == 5
    jobs = project.jobs("all", "--config", "video_scale_factor=0.4")
    assert jobs["annotate_window"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "window_duraton=3"], ["window_duraton", "Did you mean 'window_duration'?"]),
        (["--config", "window_overlap=3"], ["window_overlap", "smaller than the window"]),
        (["--config", "videos=nowhere.tsv"], ["nowhere.tsv", "does not exist"]),
        (["--config", "annotate={model: nowhere}"], ["nowhere", "config.json"]),
    ],
)
def test_bad_settings_stop_before_any_job(fresh, arguments, words):
    text = fresh.run("all", *arguments, fails=True)
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not fresh.out.exists()


def test_a_killed_window_is_redone_alone_and_gives_the_same_bytes(fresh, finished, tmp_path):
    project = fresh.copy(tmp_path / "checkout")
    log = project.out / "logs/annotate_window/pond-a.0001.log"
    run = subprocess.Popen(
        project.command("annotate"),
        cwd=project.path,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    victim = wait_for(lambda: log.exists() and script_of(run.pid, "process", log))
    victim.send_signal(signal.SIGKILL)
    assert run.wait(timeout=300) != 0
    assert (project.out / "annotate/pond-a/window-0000.parquet").exists()
    assert not (project.out / "annotate/pond-a/window-0001.parquet").exists()
    assert (project.out / "detections/pond-b.parquet").exists(), "the other video goes on"

    jobs = job_names(project.run("annotate"))
    assert jobs == {"annotate_window": 2, "merge_detections": 1, "annotate": 1}
    assert digests(project) == digests(finished)
    assert digests(project, "annotate/*/*") == digests(finished, "annotate/*/*")


def job_names(text):
    table = text.split("Job stats:", 1)[1].split("total", 1)[0].splitlines()[3:]
    return {line.split()[0]: int(line.split()[1]) for line in table if line.split()}


def script_of(parent, word, log):
    """The process of the job that wrote `log`, by the process number it logged first."""
    text = log.read_text()
    if f"{word} " not in text:
        return None
    number = int(text.split(f"{word} ", 1)[1].split()[0])
    assert number in {child.pid for child in psutil.Process(parent).children(recursive=True)}
    return psutil.Process(number)


def wait_for(condition, seconds=600):
    for _ in range(seconds * 20):
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError


def test_nothing_hangs_on_the_order_of_sets(project):
    """Python orders sets of texts anew in each process; what decides that is fixed here to several values."""
    for video, label in (("pond-c", "darter"), ("pond-d", "eel")):  # pond-a has both
        shutil.copy(project.path / "media/pond-b.mp4", project.path / f"media/{video}.mp4")
        with (project.path / "config/videos.tsv").open("a") as videos:
            videos.write(f"{video}\tmedia/{video}.mp4\t\n")
        with (project.path / "config/prompts.tsv").open("a") as prompts:
            prompts.write(f"{video}\tx\t{label}\t0\t\t20\t20\t90\t90\t\n")
    orders = [replace(project, variables=(("PYTHONHASHSEED", str(number)),)) for number in range(1, 5)]
    orders[0].run("plan")
    assert all(not order.jobs("plan") for order in orders)
