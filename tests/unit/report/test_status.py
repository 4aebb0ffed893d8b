"""What became of every window: told from a folder as it stands, bounded on a terminal and in a figure."""

import csv
import json

import pytest

from longtake.figures.status import MOST_ROWS, StatusRow, status_grid
from longtake.report.status import SIGNS, write_status
from longtake.windows import Window

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
        path.write_text("")


def told(results, steps=None):
    text, counted = write_status(
        results=results,
        steps=steps or {"annotate": ["v0", "v1", "v2", "v3"]},
        command="snakemake",
        table_out=results / "status.tsv",
        text_out=results / "status.txt",
        figure_out=results / "status.png",
    )
    with (results / "status.tsv").open() as file:
        rows = {(row["video"], row["window"], row["step"]): row for row in csv.DictReader(file, delimiter="\t")}
    assert (results / "status.txt").read_text() == text
    return text, counted, rows


def test_every_way_to_end(results):
    ended(results, "v1", 0, status="ok", facts={"status": "ok"})
    ended(results, "v1", 1, status="ok", facts={"status": "approximate", "reason": "a lossy rung"})
    ended(results, "v1", 2, output=False, status="failed", reason="it broke", slurm_job="7")
    ended(results, "v2", 0, output=False)
    ended(results, "v3", 0)
    text, counted, rows = told(results)
    assert counted["annotate"] == {"missing": 8, "ok": 2, "approximate": 1, "failed": 1}
    assert counted["probe"] == {"unreadable": 1}
    assert "v1    annotate  .~x\n" in text
    assert rows["v1", "0001", "annotate"]["reason"] == "a lossy rung"
    assert rows["v1", "0001", "annotate"]["command"].endswith(
        "--force -- " + str(results / "annotate/v1/window-0001.parquet")
    )
    assert "profiles/slurm --" in rows["v1", "0002", "annotate"]["command"]
    assert rows["v1", "0002", "annotate"]["log"].endswith("logs/annotate_window/v1.0002.log")
    assert "runs now, or was killed" in rows["v2", "0000", "annotate"]["reason"]
    assert rows["v2", "0001", "annotate"]["reason"] == "it has not run"
    assert "it is no video" in text


def test_clips_that_are_not_ok_make_a_window_approximate(results):
    ended(results, "v1", 0, rule="gradients_window", status="ok", facts={"ok": 3, "approximate": 1, "failed": 2})
    ended(results, "v1", 1, rule="gradients_window", status="ok", facts={"ok": 3, "approximate": 0, "failed": 0})
    _, counted, rows = told(results, {"gradients": ["v1"]})
    assert counted["gradients"] == {"approximate": 1, "ok": 1, "missing": 1}
    assert rows["v1", "0000", "gradients"]["reason"] == "1 approximate and 2 failed of 6 clips"


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
    assert text.count("    log: ") == 39, "and the video that cannot be read"
    assert "33 more that are not ok stand in the table." in text
    assert len(rows) == 73


def test_the_figure_shows_the_worst_of_many_and_says_so():
    rows = [StatusRow(f"v{n}", "annotate", "....") for n in range(100)]
    rows[90] = StatusRow("v90", "annotate", "..x.")
    made = status_grid(rows, {sign: status for status, sign in SIGNS.items()})
    assert f"({MOST_ROWS} of 100 rows, the worst)" in made.get_suptitle()
    assert any("v90" in label.get_text() for label in made.axes[0].get_yticklabels())
