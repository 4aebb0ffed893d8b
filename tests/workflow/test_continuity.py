"""Independent windows and backward passes, as the workflow runs them."""

import pytest

from longtake.store.schemas import AGREEMENT, DETECTIONS, PROMPTS
from longtake.store.tables import read_table

WINDOWS = {"pond-a": 3, "pond-b": 2}


def set_annotate(project, **options):
    config = project.path / "config/config.yaml"
    rest = [line for line in config.read_text().splitlines() if not line.startswith("annotate:")]
    config.write_text("\n".join([*rest, f"annotate: {options}\n".replace("'", "")]))


def table(project, name, schema):
    return read_table(project.out / f"detections/{name}.parquet", schema).to_pylist()


def test_a_backward_pass_comes_on_top(project):
    set_annotate(project, direction="both")
    jobs = project.jobs("annotate")
    assert jobs["annotate_window"] == 0
    assert jobs["annotate_window_backward"] == sum(WINDOWS.values())
    assert jobs["merge_detections"] == 2


@pytest.fixture(scope="module")
def independent(finished, tmp_path_factory):
    """A finished project whose windows are to stand alone, planned anew for both directions; what its jobs were before,
    for each direction."""
    project = finished.copy(tmp_path_factory.mktemp("independent") / "checkout")
    jobs = {}
    for direction in ("forward", "both"):
        set_annotate(project, continuity="overlap", direction=direction)
        project.run("plan")
        last = project.jobs("results/annotate/pond-b/window-0001.parquet")
        jobs[direction] = project.jobs("annotate"), last
    return project, jobs


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_independent_windows_all_run_anew(independent, direction):
    jobs, last = independent[1][direction]
    assert jobs["annotate_window"] == sum(WINDOWS.values())
    assert jobs["annotate_window_backward"] == (sum(WINDOWS.values()) if direction == "both" else 0)
    assert last["annotate_window"] == 1, "no window waits for another"


def test_independent_windows_need_an_overlap(fresh):
    text = fresh.run("all", "--config", "annotate={continuity: overlap}", "window_overlap=0", fails=True)
    assert "window_overlap is 0" in text
    assert "Traceback" not in text
    assert not fresh.out.exists()


def test_an_overlap_without_a_processed_frame_stops_at_the_plan(project):
    set_annotate(project, continuity="overlap")
    text = project.run("annotate", "--config", "window_overlap=0.05", "frame_interval=7", fails=True)
    assert "cannot be joined. Make window_overlap longer" in text
    assert "Annotate pond" not in text


def test_independent_windows_in_both_directions(independent, tmp_path):
    project = independent[0].copy(tmp_path / "checkout")
    with (project.path / "config/prompts.tsv").open("a") as sheet:
        sheet.write("pond-b\tjelly-1\tjelly\t75\t\t200\t100\t300\t200\t\n")
    project.run("results/detections/pond-b.parquet")
    rows = table(project, "pond-b", DETECTIONS)
    assert [(row["frame"], row["object"]) for row in rows] == [(frame, "jelly-1") for frame in range(0, 100, 5)]
    # Both windows cover the frames 50 to 59, and on them the later one counts.
    assert {row["frame"] for row in rows if row["window"] == 1} == set(range(50, 100, 5))
    assert {row["frame"] for row in rows if row["direction"] == "backward"} == set(range(50, 75, 5))
    prompts = table(project, "pond-b.prompts", PROMPTS)
    assert [(row["acts_on_frame"], row["status"]) for row in prompts] == [(0, "ok"), (75, "ok")]
    agreement = table(project, "pond-b.agreement", AGREEMENT)
    seams = [row for row in agreement if row["kind"] == "seam"]
    assert [(row["object"], row["other"], row["joined"]) for row in seams] == [("jelly-1", "jelly-1", True)]
