"""Independent windows and backward passes, as the workflow runs them."""

import pytest

from longtake.store.schemas import AGREEMENT, DETECTIONS, PROMPTS
from longtake.store.tables import read_table

WINDOWS = {"pond-a": 3, "pond-b": 2}


def set_annotate(project, **options):
    config = project.path / "config/config.yaml"
    config.write_text(config.read_text() + f"annotate: {options}\n".replace("'", ""))


def table(project, name, schema):
    return read_table(project.out / f"detections/{name}.parquet", schema).to_pylist()


def test_a_backward_pass_comes_on_top(project):
    set_annotate(project, direction="both")
    jobs = project.jobs("annotate")
    assert jobs["annotate_window"] == 0
    assert jobs["annotate_window_backward"] == sum(WINDOWS.values())
    assert jobs["merge_detections"] == 2


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_independent_windows_all_run_anew(project, direction):
    set_annotate(project, continuity="overlap", direction=direction)
    project.run("plan")
    jobs = project.jobs("annotate")
    assert jobs["annotate_window"] == sum(WINDOWS.values())
    assert jobs["annotate_window_backward"] == (sum(WINDOWS.values()) if direction == "both" else 0)


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


def test_independent_windows_in_both_directions(project):
    set_annotate(project, continuity="overlap", direction="both")
    target = "results/detections/pond-b.parquet"
    project.run(target)
    rows = table(project, "pond-b", DETECTIONS)
    places = [(row["frame"], row["object"]) for row in rows]
    assert len(places) == len(set(places))
    assert {row["window"] for row in rows} == {0, 1}
    prompts = table(project, "pond-b.prompts", PROMPTS)
    assert {row["object"] for row in rows} == {row["object"] for row in prompts}, "what no prompt names is dropped"
    assert {row["kind"] for row in table(project, "pond-b.agreement", AGREEMENT)} >= {"seam"}
    assert not list(project.out.glob("annotate/pond-b/window-0001*.state.safetensors"))

    for path in project.out.glob("annotate/pond-b/window-0000.parquet"):
        path.unlink()
    jobs = project.jobs(target)
    assert (jobs["annotate_window"], jobs["annotate_window_backward"]) == (1, 0), "no window waits for another"
