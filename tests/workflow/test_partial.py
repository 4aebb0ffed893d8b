"""Looking before all is done: what exists is joined, holes are marked, and no window is run for it."""

import csv
import json
import os

import pytest

from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

JOINING = {"partial_detections", "partial_gradients", "partial_video_statistics"}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture
def torn(project):
    """A finished project that lost the middle window of a video; the state from which it starts is damaged."""
    for path in [*project.out.glob("*/pond-a/window-0001.*"), *project.out.glob("logs/*/pond-a.0001.*")]:
        path.unlink()
    state = project.out / "annotate/pond-a/window-0000.state.safetensors"
    looked_at = state.stat()
    state.write_bytes(state.read_bytes()[:-100])
    os.utime(state, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))
    return project


def test_what_exists_is_joined_and_nothing_is_run_for_it(torn):
    jobs = torn.jobs("partial")
    assert jobs == dict.fromkeys(JOINING, 2) | {"partial_species_statistics": 1, "status": 1, "partial": 1}
    said = torn.run("partial")
    assert "gradients: 4 ok (.), 1 missing (-)" in said
    assert "annotate: 4 ok (.), 1 missing (-)" in said
    assert not (torn.out / "annotate/pond-a/window-0001.parquet").exists()

    whole = read_table(torn.out / "detections/pond-a.parquet", DETECTIONS).to_pylist()
    partial = read_table(torn.out / "partial/detections/pond-a.parquet", DETECTIONS).to_pylist()
    assert partial == [row for row in whole if row["window"] != 1]
    assert len(partial) < len(whole)
    assert [row["window"] for row in rows_of(torn.out / "partial/detections/pond-a.holes.tsv")] == ["1"]
    other = [torn.out / folder / "pond-b.parquet" for folder in ("detections", "partial/detections")]
    assert read_table(other[0], DETECTIONS) == read_table(other[1], DETECTIONS)

    counted = [json.loads(line)["n_failed"] for line in species_of(torn, "pond-a")]
    assert set(counted) == {1}, "the hole counts as a window that failed"
    assert not torn.jobs("partial"), "nothing has changed since"


def species_of(project, video):
    from longtake.species.tables import VIDEO_SPECIES

    path = project.out / f"partial/statistics/videos/{video}/species.parquet"
    return [json.dumps(row) for row in read_table(path, VIDEO_SPECIES).to_pylist()]


def test_the_status_of_every_window_with_why_and_the_command(torn):
    torn.run("results/annotate/pond-a/window-0001.parquet", fails=True)
    said = torn.run("status")
    rows = rows_of(torn.out / "reports/status.tsv")
    assert {row["status"] for row in rows if row["subject"] == "broken"} == {"unreadable"}
    by_window = {
        row["unit"].split(".")[-1]: row for row in rows if (row["subject"], row["row"]) == ("pond-a", "annotate")
    }
    assert [by_window[name]["status"] for name in sorted(by_window)][:2] == ["ok", "failed"]
    failed = by_window["0001"]
    assert "window-0000.state.safetensors is no whole state file" in failed["reason"]
    assert failed["log"] == "results/logs/annotate_window/pond-a.0001.log"
    assert failed["command"].endswith("-- results/annotate/pond-a/window-0001.parquet")
    assert failed["command"] in said
    assert said.count("\n") < 400
    assert said.split("pond-a  annotate")[1].split()[0].startswith(".x")
    assert (torn.out / "figures/status.png").stat().st_size > 5000


def test_windows_of_other_settings_are_no_part_of_what_exists(project):
    said = project.run("partial", "--config", "frame_interval=2")
    why = "made with other settings (frame_interval 5, now 2): run annotate"
    assert f"pond-b: 2 windows are left out, {why}" in said
    assert "annotate: 5 outdated (o)" in said
    holes = rows_of(project.out / "partial/detections/pond-a.holes.tsv")
    assert [(row["status"], row["reason"]) for row in holes] == [("outdated", why)] * 3
    for video in ("pond-a", "pond-b"):
        assert not read_table(project.out / f"partial/detections/{video}.parquet", DETECTIONS).num_rows
        assert not any(json.loads(line)["presence"] for line in species_of(project, video))


def test_what_cannot_be_asked_for_is_told_why(project):
    def told(video, window):
        return project.run("-n", f"results/annotate/{video}/window-{window}.parquet", fails=True)

    assert "there is no video 'pond-z' in config/videos.tsv. Did you mean 'pond-" in told("pond-z", "0000")
    assert "video 'broken' was left out, since it cannot be read: media/broken.mp4" in told("broken", "0000")
    assert "video 'pond-a' has no window 0099: it is cut into 3, 0000 to 0002" in told("pond-a", "0099")


def test_a_study_of_no_readable_video_ends_in_order_and_says_so(fresh, tmp_path):
    project = fresh.copy(tmp_path / "checkout")
    for name in ("videos", "prompts"):
        sheet = project.path / f"config/{name}.tsv"
        lines = sheet.read_text().splitlines(keepends=True)
        sheet.write_text("".join(line for line in lines if not line.startswith("pond")))
    for target in ("annotate", "status", "partial"):
        said = project.run(target)
        assert "No video of the sheet can be read" in said
        assert "results/plan/videos.tsv says why" in said
    (row,) = rows_of(project.out / "reports/status.tsv")
    assert (row["subject"], row["status"]) == ("broken", "unreadable")
