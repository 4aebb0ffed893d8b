"""What became of each unit, and the command that redoes just that."""

from __future__ import annotations

from typing import Any

import pytest

from longtake.annotate.report import prompts_of
from longtake.annotate.states import Plan, window_states
from longtake.report.records import read_run
from longtake.report.survey import survey
from longtake.store.schemas import CLIPS
from longtake.store.tables import write_table
from longtake.unit import Trouble


def troubles(run: Any, command: str = "snakemake") -> list[Trouble]:
    return survey(read_run(run.results, command, run.studies())).troubles


def windows(run: Any, video: str) -> list[Any]:
    return window_states(run.results, Plan(run.results / "plan" / "windows.tsv"), video)


def states(run: Any, video: str) -> list[tuple[str, str]]:
    return [(state.status, state.reason) for state in windows(run, video)]


def test_states_of_windows(run: Any) -> None:
    assert states(run, "good") == [("ok", ""), ("ok", "")]
    assert states(run, "late")[1] == ("approximate", "3 frames lie behind a decoding error")
    failed, missing = states(run, "bad one")
    assert failed[0] == "failed"
    assert failed[1].startswith("OutOfMemoryError")
    assert missing[0] == "missing"
    assert states(run, "broken") == []


def test_an_output_without_a_record_counts_as_done(run: Any) -> None:
    (run.results / "logs/annotate_window/good.0001.json").unlink()
    assert states(run, "good")[1] == ("ok", "")


def test_a_record_of_an_earlier_failure_yields_to_the_output(run: Any) -> None:
    run.window("good", 0)
    run.job("annotate_window", {"video": "good", "window": "0000"}, status="failed", reason="killed once")
    assert states(run, "good")[0][0] != "failed"


def test_emitted_parts_touch(run: Any) -> None:
    first, second = windows(run, "good")
    assert (first.emit_start_s, first.emit_stop_s, first.stop_s) == (0.0, 5.0, 5.9)
    assert (second.emit_start_s, second.emit_stop_s) == (5.0, 10.9)


def test_troubles_worst_first_with_commands(run: Any) -> None:
    found = troubles(run, "snakemake --configfile my.yaml")
    assert [trouble.status for trouble in found] == ["unreadable", "failed", "missing", "approximate"]
    base = "snakemake --configfile my.yaml --profile profiles/laptop"
    assert [trouble.command for trouble in found] == [
        f"{base} --force -- results/probe/broken.json",
        f"{base} -- 'results/annotate/bad one/window-0000.parquet'",
        f"{base} -- 'results/annotate/bad one/window-0001.parquet'",
        f"{base} --force -- results/annotate/late/window-0001.parquet",
    ]
    assert found[0].reason == "no video stream"


def test_other_jobs_that_failed(run: Any) -> None:
    run.job("merge_detections", {"video": "good"}, status="failed", reason="SchemaError: twice")
    run.job("unheard_of", {}, status="failed", reason="x")
    found = {trouble.what: trouble for trouble in troubles(run)}
    assert (
        found["merge_detections, video good"].command
        == "snakemake --profile profiles/laptop -- results/detections/good.parquet"
    )
    assert found["unheard_of, the study"].command == "snakemake --profile profiles/laptop"


def test_units_and_their_parts_are_counted_and_told_with_the_reasons(run: Any) -> None:
    run.gradients = True
    unit = {"video": "good", "window": "0000"}
    rows = [
        {"video": "good", "window": 0, "object": "a", "label": "carp", "clip": k, "status": status, "reason": reason}
        for k, (status, reason) in enumerate([("ok", ""), ("failed", "leaves"), ("failed", "leaves")])
    ]
    write_table(run.results / "gradients/good/window-0000.clips.parquet", rows, CLIPS)
    run.job("gradients_window", unit, facts={"ok": 1, "failed": 2, "approximate": 0})
    found = survey(read_run(run.results, facts=run.studies()))
    assert found.units["gradients"] == {"approximate": 1, "missing": 5}
    assert found.units["annotate"] == {"ok": 3, "failed": 1, "missing": 1, "approximate": 1}
    assert found.parts["clips"] == {"ok": 1, "failed": 2, "approximate": 0}
    (told,) = (t for t in found.troubles if t.what == "gradients, good.0000")
    assert told.reason == "2 failed of 3 clips: leaves (2)"
    assert (
        told.command
        == "snakemake --profile profiles/laptop --force -- results/gradients/good/window-0000.clips.parquet"
    )
    assert found.ranks["bad one"] < found.ranks["late"]


def test_prompts_that_could_not_act(run: Any) -> None:
    run.prompts("good", [{"row": 2, "object": "b", "iou": 0.9}, {"row": 3, "object": "a", "status": "failed"}])
    assert [p["object"] for p in prompts_of(run.results, "good")] == ["b", "a"]
    assert prompts_of(run.results, "late") == []
    (found,) = (t for t in troubles(run) if "prompt" in t.what)
    assert (found.what, found.status) == ("good, prompt of a at frame 7", "failed")


@pytest.mark.parametrize("torn", ["", "{", "[1]", '{"status": "ok"}'])
def test_torn_records_are_passed_over(run: Any, torn: str) -> None:
    n = len(list(read_run(run.results).records))
    (run.results / "logs/annotate_window/torn.json").write_text(torn)
    assert len(list(read_run(run.results).records)) == n


def test_what_ran_on_a_cluster_is_redone_on_the_cluster(run: Any) -> None:
    run.job("merge_detections", {"video": "good"}, status="failed", reason="disk full", slurm_job="4711")
    (found,) = (t for t in troubles(run) if "merge_detections" in t.what)
    assert found.command == "snakemake --profile profiles/slurm -- results/detections/good.parquet"
