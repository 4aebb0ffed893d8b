"""What became of every window: told from a folder as it stands, bounded on a terminal and in a figure."""

import csv
import json
import os

import pytest

from longtake.annotate.facts import WindowFacts
from longtake.figures.status import MOST_ROWS, StatusRow, status_grid
from longtake.figures.style import STATUS
from longtake.media.windows import Window
from longtake.report.status import SIGNS, write_status
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

COLUMNS = list(Window.__dataclass_fields__)


@pytest.fixture
def results(tmp_path):
    """Five videos of three windows; of the first nothing is done, the last cannot be read."""
    plan = tmp_path / "plan"
    plan.mkdir()
    videos = [f"v{number}" for number in range(4)]
    lines = ["\t".join([*COLUMNS, "n_frames"])]
    for video in videos:
        for n in range(3):
            window = Window(video, n, 10 * n, 10 * n + 12, 10 * n, 10 * n + 10, float(n), n + 1.2)
            lines.append("\t".join(map(str, [*vars(window).values(), 10])))
    (plan / "windows.tsv").write_text("\n".join(lines) + "\n")
    told = [f"{video}\tok\t" for video in videos] + ["torn\tunreadable\tit is no video"]
    (plan / "videos.tsv").write_text("video\tstatus\treason\n" + "\n".join(told) + "\n")
    return tmp_path


def ended(results, video, window, *, output=True, rule="annotate_window", **record):
    log = results / f"logs/{rule}/{video}.{window:04d}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    if record:
        log.with_suffix(".json").write_text(json.dumps({"rule": rule} | record))
    folder, ending = ("gradients", "clips.parquet") if "gradients" in rule else ("annotate", "parquet")
    path = results / f"{folder}/{video}/window-{window:04d}.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if output:
        made = WindowFacts(video, window, "chain", "forward", 1, *(10 * window, 10 * window + 10) * 2, 40, "m", "s")
        write_table(path, [], DETECTIONS, made.to_metadata())


def told(results, steps=None, frame_interval=1):
    settings = {"frame_interval": frame_interval, "continuity": "chain"}
    facts = {
        "annotate": lambda videos: {"rules": ["annotate_window"], "objects": dict.fromkeys(videos, 1)},
        "gradients": lambda videos: {"videos": videos},
    }
    steps = steps or {"annotate": ["v0", "v1", "v2", "v3"]}
    text, counted = write_status(
        results=results,
        studies={name: settings | facts[name](videos) for name, videos in steps.items()},
        command="snakemake",
        table_out=results / "status.tsv",
        text_out=results / "status.txt",
        figure_out=results / "status.png",
    )
    with (results / "status.tsv").open() as file:
        rows = {
            (row["subject"], row["unit"].removeprefix(f"{row['subject']}."), row["row"]): row
            for row in csv.DictReader(file, delimiter="\t")
        }
    assert (results / "status.txt").read_text() == text
    return text, counted, rows


def test_every_way_to_end(results):
    ended(results, "v1", 0, status="ok", facts={"status": "ok"})
    ended(results, "v1", 1, status="ok", facts={"status": "approximate", "reason": "a lossy rung"})
    ended(results, "v1", 2, output=False, status="failed", reason="it broke", slurm_job="7")
    ended(results, "v2", 0, output=False)
    ended(results, "v3", 0)
    text, counted, rows = told(results)
    assert counted["annotate"] == {"missing": 7, "killed or running": 1, "ok": 2, "approximate": 1, "failed": 1}
    assert counted["probe"] == {"unreadable": 1}
    assert "v1    annotate  .~x\n" in text
    assert rows["v1", "0001", "annotate"]["reason"] == "a lossy rung"
    assert rows["v1", "0001", "annotate"]["command"].endswith(
        "--force -- " + str(results / "annotate/v1/window-0001.parquet")
    )
    assert "profiles/slurm --" in rows["v1", "0002", "annotate"]["command"]
    assert rows["v1", "0002", "annotate"]["log"].endswith("logs/annotate_window/v1.0002.log")
    killed = rows["v2", "0000", "annotate"]
    assert killed["reason"] == "begun and not ended: it runs now, or was killed"
    assert killed["log"].endswith("logs/annotate_window/v2.0000.log")
    assert killed["log"] in text
    assert killed["command"] in text
    assert "v2    annotate  !--\n" in text
    assert rows["v2", "0001", "annotate"]["reason"] == "it has not run"
    assert "it is no video" in text


def test_a_window_that_was_killed_after_it_had_failed(results):
    for window in range(2):
        ended(results, "v1", window, output=False, status="failed", reason="it broke")
    log = results / "logs/annotate_window/v1.0001.log"
    ended_at = log.with_suffix(".json").stat().st_mtime
    os.utime(log, (ended_at + 60, ended_at + 60))
    _, counted, rows = told(results, {"annotate": ["v1"]})
    assert counted["annotate"] == {"failed": 1, "killed or running": 1, "missing": 1}
    assert rows["v1", "0001", "annotate"]["reason"].endswith("or was killed; before, it failed: it broke")


def test_a_window_that_was_made_with_other_settings_is_outdated(results):
    for window in range(2):
        ended(results, "v1", window, status="ok", facts={"status": "ok"})
        ended(results, "v1", window, rule="gradients_window", status="ok", facts={"ok": 3})
    steps = {"annotate": ["v1"], "gradients": ["v1"]}
    text, counted, rows = told(results, steps)
    assert counted["annotate"] == counted["gradients"] == {"ok": 2, "missing": 1}
    assert "snakemake -n tells what would be made anew" in text
    text, counted, rows = told(results, steps, frame_interval=2)
    assert counted["annotate"] == counted["gradients"] == {"outdated": 2, "missing": 1}
    why = "made with other settings (frame_interval 1, now 2): run annotate"
    assert rows["v1", "0001", "annotate"]["reason"] == why
    assert f"v1.0000 of v1: {why}" in text
    assert "--force" not in rows["v1", "0001", "annotate"]["command"]


def test_a_table_that_is_none_is_outdated(results):
    ended(results, "v1", 0, status="ok")
    (results / "annotate/v1/window-0000.parquet").write_text("no table")
    assert told(results)[2]["v1", "0000", "annotate"]["status"] == "outdated"


@pytest.mark.parametrize("sign", ["this job", "another job"])
def test_what_has_no_record_runs_where_the_others_do(results, monkeypatch, sign):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    ended(results, "v1", 0, output=False)
    assert "profiles/laptop --" in told(results)[2]["v1", "0000", "annotate"]["command"]
    if sign == "this job":
        monkeypatch.setenv("SLURM_JOB_ID", "8")
    else:
        ended(results, "v2", 0, status="ok", slurm_job="7")
    assert "profiles/slurm --" in told(results)[2]["v1", "0000", "annotate"]["command"]


def test_commands_begin_with_the_program_that_can_be_called(results, monkeypatch, tmp_path):
    program = tmp_path / ".venv/bin/snakemake"
    program.parent.mkdir(parents=True)
    program.write_text("")
    monkeypatch.setattr("sys.executable", str(program.with_name("python")))
    monkeypatch.chdir(tmp_path)
    command = told(results)[2]["v1", "0000", "annotate"]["command"]
    assert command.startswith(".venv/bin/snakemake --profile profiles/")


def test_clips_that_are_not_ok_make_a_window_approximate(results):
    ended(results, "v1", 0, rule="gradients_window", status="ok", facts={"ok": 3, "approximate": 1, "failed": 2})
    ended(results, "v1", 1, rule="gradients_window", status="ok", facts={"ok": 3, "approximate": 0, "failed": 0})
    _, counted, rows = told(results, {"gradients": ["v1"]})
    assert counted["gradients"] == {"approximate": 1, "ok": 1, "missing": 1}
    assert rows["v1", "0000", "gradients"]["reason"] == "1 approximate and 2 failed of 6 clips"


def test_a_window_of_which_every_clip_failed_has_failed(results):
    ended(results, "v1", 0, rule="gradients_window", status="ok", facts={"ok": 0, "approximate": 0, "failed": 2})
    ended(results, "v1", 1, rule="gradients_window", status="ok", facts={"ok": 0, "approximate": 2, "failed": 0})
    ended(results, "v1", 2, rule="gradients_window", status="ok", facts={"ok": 0, "approximate": 1, "failed": 1})
    _, counted, rows = told(results, {"gradients": ["v1"]})
    assert counted["gradients"] == {"failed": 1, "approximate": 2}
    assert rows["v1", "0000", "gradients"]["reason"] == "2 failed of 2 clips"
    assert "--force" in rows["v1", "0000", "gradients"]["command"]


def test_a_torn_record_says_nothing(results):
    ended(results, "v1", 0)
    (results / "logs/annotate_window/v1.0000.json").write_text('{"status": "fai')
    assert told(results)[2]["v1", "0000", "annotate"]["status"] == "ok"


def test_a_terminal_is_told_the_first_of_many(results):
    for video in ("v0", "v1", "v2", "v3"):
        for window in range(3):
            ended(results, video, window, output=False, status="failed", reason=f"why {video} {window}")
    plan = (results / "plan/windows.tsv").read_text().splitlines()
    more = [line.replace("v0\t", f"w{n}\t", 1) for n in range(20) for line in plan if line.startswith("v0\t")]
    (results / "plan/windows.tsv").write_text("\n".join(plan + more) + "\n")
    with (results / "plan/videos.tsv").open("a") as file:
        file.writelines(f"w{n}\tok\t\n" for n in range(20))
    for n in range(20):
        for window in range(3):
            ended(results, f"w{n}", window, output=False, status="failed", reason="why")
    text, counted, rows = told(results, {"annotate": ["v0", "v1", "v2", "v3", *(f"w{n}" for n in range(20))]})
    assert counted["annotate"] == {"failed": 72}
    assert text.count("    log: ") == 40
    assert "33 more that are not ok stand in the table." in text
    assert len(rows) == 73


def test_the_figure_shows_the_worst_of_many_and_says_so():
    rows = [StatusRow(f"v{n}", "annotate", "....") for n in range(100)]
    rows[90] = StatusRow("v90", "annotate", "..x.")
    made = status_grid(rows, {sign: status for status, sign in SIGNS.items()})
    assert f"({MOST_ROWS} of 100 rows, the worst)" in made.get_suptitle()
    assert any("v90" in label.get_text() for label in made.axes[0].get_yticklabels())


def test_every_status_is_drawn_in_its_own_way():
    assert SIGNS.keys() - {"unreadable"} == STATUS.keys()
    assert len(set(STATUS.values())) == len(STATUS)
