"""Statistics of one video against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.species.conftest import detection, plan_file

from longtake import masks
from longtake.errors import SchemaError
from longtake.media.windows import read_windows
from longtake.species import tracks
from longtake.species.moments import area_and_centroid
from longtake.species.temporal import clip_means
from longtake.species.video import video_statistics
from longtake.store.schemas import CLIPS, DETECTIONS
from longtake.store.spill import ArraySpill
from longtake.store.tables import read_table, scan_batches, write_table
from longtake.streams import stream


def analyse(pond: dict[str, Path], **other: Any) -> dict[str, list[dict[str, Any]]]:
    video_statistics(video="pond", **({"frame_interval": 10} | pond | other))  # type: ignore[arg-type]
    return {
        name: pl.read_parquet(pond["out"] / f"{name}.parquet").to_dicts()
        for name in ("objects", "visits", "prompts", "species", "curves")
    }


@pytest.mark.parametrize("seed", range(6))
def test_moments_from_runs_equal_those_of_pixels(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = int(generator.integers(1, 90)), int(generator.integers(1, 90))
    mask = generator.random((height, width)) < generator.choice([0.05, 0.5, 0.98])
    mask[0, 0] = True
    y, x = np.nonzero(mask)
    expected = (mask.sum(), x.mean() + 0.5, y.mean() + 0.5)
    assert area_and_centroid(masks.encode(mask), height) == pytest.approx(expected)


def test_moments_of_full_and_empty_masks() -> None:
    assert area_and_centroid(masks.encode(np.ones((2000, 3000), dtype=bool)), 2000) == (6e6, 1500.0, 1000.0)
    assert area_and_centroid(masks.encode(np.zeros((7, 9), dtype=bool)), 7)[0] == 0.0


def test_objects(pond: dict[str, Path]) -> None:
    a, b, p = analyse(pond)["objects"]
    assert (a["object"], b["object"], p["object"]) == ("a", "b", "p")
    assert (a["n_frames"], a["n_visible"], a["presence"]) == (10, 8, 0.8)
    # Three frames of 1 s each, then five, the last of which stands for one step as well.
    assert (a["dwell_s"], a["n_visits"], a["visit_s"], a["visit_max_s"]) == pytest.approx((8.0, 2, 4.0, 5.0))
    # Visible when prompted: no entry seen. Hides after 20, is back at 50, still there at the end.
    assert (a["entries"], a["exits"]) == (1, 1)
    assert (a["area_px"], a["box_diagonal_px"]) == (48.0, 10.0)
    # 3 px right and 4 px down each second; the two hidden steps are no step.
    assert (a["n_steps"], a["speed_px_s"], a["speed_bl_s"]) == pytest.approx((6, 5.0, 0.5))
    # Prompted at 20, so it was looked for on eight frames: before that it was not absent, but unknown.
    assert (b["n_looked"], b["looked_s"]) == (8, pytest.approx(8.0))
    assert (b["presence"], b["dwell_s"], b["entries"], b["exits"]) == pytest.approx((3 / 8, 3.0, 0, 1))
    assert (b["area_px"], b["box_diagonal_px"], b["speed_px_s"]) == (300.0, 25.0, 0.0)
    assert (p["n_visible"], p["n_steps"], p["speed_px_s"]) == (1, 0, None)


def test_species_of_the_video(pond: dict[str, Path]) -> None:
    carp, perch = analyse(pond)["species"]
    # Visible carps per processed frame: 1 1 2 1 1 1 1 1 1 1.
    assert (carp["n_objects"], carp["max_count"], carp["mean_count"], carp["presence"]) == (2, 2, 1.1, 1.0)
    assert carp["dwell_s"] == pytest.approx(11.0)
    assert carp["speed_px_s"] == pytest.approx(2.5)
    assert (carp["entries"], carp["exits"], carp["area_px"]) == (1, 2, 174.0)
    assert (carp["n_ok"], carp["n_approximate"], carp["n_failed"]) == (2, 0, 0)
    # Looked for from 40 on, for six frames of a second.
    assert (perch["max_count"], perch["presence"], perch["speed_px_s"]) == (1, pytest.approx(1 / 6), None)
    assert (carp["dwell_share"], carp["exits_per_min"]) == pytest.approx((1.1, 2 * 6))
    assert (perch["dwell_share"], perch["surveyed"]) == (pytest.approx(1 / 6), False)


def test_visits_and_prompts(pond: dict[str, Path]) -> None:
    found = analyse(pond)
    first, second = (row for row in found["visits"] if row["object"] == "a")
    assert (first["first_frame"], first["last_frame"], first["start_s"], first["stop_s"]) == (0, 20, 0.0, 3.0)
    assert (first["entry_seen"], first["exit_seen"]) == (False, True)
    assert (second["first_frame"], second["last_frame"], second["n_frames"]) == (50, 90, 5)
    assert (second["entry_seen"], second["exit_seen"]) == (True, False)
    assert [(row["object"], row["frame"]) for row in found["prompts"]] == [("a", 0), ("b", 20)]


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_batches_change_nothing(pond: dict[str, Path], monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    whole = analyse(pond)
    monkeypatch.setattr("longtake.species.video.scan_batches", lambda p, s, *_: scan_batches(p, s, rows))
    assert analyse(pond) == whole


def test_a_failed_window_is_not_an_absence(pond: dict[str, Path], tmp_path: Path) -> None:
    table = read_table(pond["detections"], DETECTIONS)
    kept = [row for row in table.to_pylist() if row["window"] == 0]
    pond["detections"] = tmp_path / "half.parquet"
    write_table(pond["detections"], kept, DETECTIONS)
    found = analyse(pond, window_status={1: "failed"})
    a = found["objects"][0]
    assert (a["n_frames"], a["presence"]) == (5, 0.6)
    b = found["objects"][1]
    # Visible up to the last processed frame: that it left was not seen.
    assert (b["exits"], b["dwell_s"]) == (0, pytest.approx(3.0))
    assert found["species"][0]["n_failed"] == 1


def test_a_gap_ends_a_visit_without_an_exit(pond: dict[str, Path], tmp_path: Path) -> None:
    table = read_table(pond["detections"], DETECTIONS)
    kept = [row for row in table.to_pylist() if row["frame"] not in (60, 70)]
    pond["detections"] = tmp_path / "gap.parquet"
    write_table(pond["detections"], kept, DETECTIONS)
    a = analyse(pond)["objects"][0]
    assert (a["n_visits"], a["entries"], a["exits"], a["n_visible"]) == (3, 1, 1, 6)
    assert a["dwell_s"] == pytest.approx(6.0)
    # Over the gap of three steps no speed is measured: 0-10-20 and 80-90 remain.
    assert (a["n_steps"], a["speed_px_s"]) == pytest.approx((3, 5.0))


@pytest.mark.parametrize(("duration_s", "end_s"), [(None, 9.7), (9.45, 9.45)])
def test_nothing_outlasts_the_video(pond: dict[str, Path], duration_s: float | None, end_s: float) -> None:
    # 97 frames, of which the last processed one, frame 90, stands for a step that the end cuts off.
    last = pond["windows"][-1]
    pond["windows"] = [*pond["windows"][:-1], replace(last, stop=97, emit_stop=97, stop_s=9.6)]
    found = analyse(pond, duration_s=duration_s)
    a, visit = found["objects"][0], [row for row in found["visits"] if row["object"] == "a"][-1]
    assert (a["last_s"], visit["stop_s"]) == pytest.approx((end_s, end_s))
    assert (visit["duration_s"], a["dwell_s"]) == pytest.approx((end_s - 5, 3 + end_s - 5))
    assert found["species"][0]["dwell_s"] == pytest.approx(3 + end_s - 5 + 3)


def test_before_a_gap_a_frame_stands_for_no_more_than_the_gap(pond: dict[str, Path], tmp_path: Path) -> None:
    # Of a recording at two rates: three steps of the grid, but half a mean step of time.
    rows = read_table(pond["detections"], DETECTIONS).to_pylist()
    rows = [row for row in rows if row["object"] == "a" and row["frame"] in (50, 80)]
    rows[1]["time_s"] = rows[0]["time_s"] + 0.5
    pond["detections"] = tmp_path / "rates.parquet"
    write_table(pond["detections"], rows, DETECTIONS)
    first, second = analyse(pond)["visits"]
    assert (first["duration_s"], first["stop_s"], second["start_s"]) == pytest.approx((0.5, 5.5, 5.5))


def test_rows_of_status_failed_are_not_processed(pond: dict[str, Path], tmp_path: Path) -> None:
    rows = read_table(pond["detections"], DETECTIONS).to_pylist()
    for row in rows:
        if row["frame"] == 60:
            row["status"] = "failed"
    pond["detections"] = tmp_path / "failed.parquet"
    write_table(pond["detections"], rows, DETECTIONS)
    found = analyse(pond)
    assert found["objects"][0]["n_visible"] == 7
    assert found["species"][0]["n_failed"] == 1
    assert found["species"][0]["n_ok"] == 1


def test_rows_behind_a_decoding_error_make_a_window_approximate(pond: dict[str, Path], tmp_path: Path) -> None:
    rows = read_table(pond["detections"], DETECTIONS).to_pylist()
    for row in rows:
        if row["frame"] == 60:
            row["status"] = "tainted"
    pond["detections"] = tmp_path / "tainted.parquet"
    write_table(pond["detections"], rows, DETECTIONS)
    found = analyse(pond)
    assert found["objects"][0]["n_visible"] == 8
    assert [found["species"][0][f"n_{status}"] for status in ("ok", "approximate", "failed")] == [1, 1, 0]


def test_a_frame_written_twice_is_refused(pond: dict[str, Path], tmp_path: Path) -> None:
    rows = read_table(pond["detections"], DETECTIONS).to_pylist()
    pond["detections"] = tmp_path / "twice.parquet"
    write_table(pond["detections"], [*rows, rows[-1]], DETECTIONS)
    with pytest.raises(SchemaError, match="frame 90 twice"):
        analyse(pond)


def test_rows_of_another_video_are_refused(pond: dict[str, Path], tmp_path: Path) -> None:
    rows = read_table(pond["detections"], DETECTIONS).to_pylist()
    rows[3]["video"] = "lake"
    pond["detections"] = tmp_path / "mixed.parquet"
    write_table(pond["detections"], rows, DETECTIONS)
    with pytest.raises(SchemaError, match="lake"):
        analyse(pond)


def test_a_video_without_detections_gives_empty_tables(pond: dict[str, Path], tmp_path: Path) -> None:
    pond["detections"] = tmp_path / "none.parquet"
    write_table(pond["detections"], [], DETECTIONS)
    assert all(not rows for rows in analyse(pond).values())
    assert (pond["out"] / "species.csv").read_text().startswith('"video","species"')


def test_csv_and_parquet_hold_the_same_rows(pond: dict[str, Path]) -> None:
    found = analyse(pond)
    csv = pl.read_csv(pond["out"] / "objects.csv").to_dicts()
    assert [row["speed_px_s"] for row in csv] == [row["speed_px_s"] for row in found["objects"]]


def test_clips_are_averaged_within_the_video(pond: dict[str, Path], write_clips: Any) -> None:
    clips = [
        ("carp", "ok", 0.9, 0.8, [1.0, 2.0, 3.0]),
        ("carp", "approximate", 0.7, 0.8, [30.0, 20.0, 10.0]),
        ("carp", "failed", None, None, [9.0, 0.0, 0.0]),
        ("carp", "ok", float("nan"), 0.5, [5.0, 5.0, 5.0]),
        ("bream", "ok", 0.1, -0.4, [0.0, 0.0, 0.0]),
    ]
    found = analyse(pond, **write_clips("pond", clips))
    bream, carp, perch = found["species"]
    assert carp["pearson_crop"] == pytest.approx(math.tanh((math.atanh(0.9) + math.atanh(0.7)) / 2))
    assert carp["size_crop"] == pytest.approx(0.8)
    assert (carp["pearson_animal"], carp["clips_crop"], carp["clips_animal"], carp["clips_wrong"]) == (None, 3, 0, 0)
    assert (carp["clips_ok"], carp["clips_approximate"], carp["clips_failed"]) == (2, 1, 1)
    assert (bream["species"], bream["n_objects"]) == ("bream", None)
    assert (perch["pearson_crop"], perch["clips_ok"]) == (None, 0)
    curve = [row for row in found["curves"] if row["species"] == "carp"]
    # Each clip by its own mean: (0.5, 1, 1.5), (1.5, 1, 0.5) and (1, 1, 1); the failed one does not count.
    assert [row["importance"] for row in curve] == pytest.approx([1.0, 1.0, 1.0])
    assert [row["motion_crop"] for row in curve] == [None, 2.0, 4.0]
    assert [row["n_clips"] for row in curve] == [3, 3, 3]
    flat = [row for row in found["curves"] if row["species"] == "bream"]
    assert [row["importance"] for row in flat] == [None, None, None]


def test_the_plan_must_reach_the_detections(pond: dict[str, Path]) -> None:
    plan = tracks.Processed("pond", (), 10, {})
    spools = ArraySpill(np.float32), ArraySpill(tracks.VISIT)
    with pytest.raises(SchemaError, match="different runs"):
        tracks.read_tracks(scan_batches(pond["detections"], DETECTIONS), plan, *spools)


def test_wrong_answers_and_busy_objects_do_not_weigh_more(tmp_path: Path) -> None:
    """Object a has three clips and b one; a clip that was predicted wrong says what misled the model: counted apart."""
    base = {"video": "v", "window": 0, "label": "carp", "status": "ok", "motion": "object", "target": 1}
    rows = [
        base | {"object": name, "clip": clip, "predicted": 1, "correct": right, "mean": value, "pearson": 0.5,
                "best_lag": 2.0, "best_lag_p": p, "detrended_p": p, "mutual_information": 0.6,
                "mutual_information_chance": 0.4}
        for name, clip, right, value, p in (
            ("a", 0, True, 1.0, 0.01), ("a", 1, True, 1.0, 0.5), ("a", 2, True, 1.0, 0.5), ("b", 0, True, 3.0, 0.5),
            ("b", 1, False, 100.0, 0.01),
        )
    ]  # fmt: skip
    write_table(tmp_path / "clips.parquet", rows, CLIPS)
    carp = clip_means(tmp_path / "clips.parquet")["carp"]
    assert carp["importance_mean"] == 2.0
    assert (carp["clips_ok"], carp["clips_wrong"], carp["clips_animal"]) == (5, 1, 5)
    assert carp["correct"] == (1 + 0.5) / 2
    assert carp["related_animal"] == pytest.approx((1 / 3 + 0) / 2)
    assert carp["best_lag_animal"] == 2.0
    assert carp["mutual_information_animal"] == pytest.approx(0.2)
    assert clip_means(tmp_path / "clips.parquet", wrong_too=True)["carp"]["importance_mean"] == (1 + 51.5) / 2


def track(folder: Path, places: Sequence[float | None], fps: float, **options: Any) -> dict[str, Any]:
    """The row of an object that is seen at these x on consecutive frames, None where it is missed."""
    rows = [
        detection(n, "a", "carp", None, fps=fps)
        if x is None
        else detection(n, "a", "carp", (20, 20, 40, 35), fps=fps) | {"x_min": 20 + x, "x_max": 40 + x, "mask": None}
        for n, x in enumerate(places)
    ]
    write_table(folder / "d.parquet", rows, DETECTIONS)
    plan = plan_file(folder / "w.tsv", [("pond", 0, 0, len(places), 0, len(places))], fps)
    windows = read_windows(plan)["pond"]
    given = {"detections": folder / "d.parquet", "windows": windows, "out": folder / "o", "frame_interval": 1}
    found = analyse(given | options)
    return found["objects"][0] | {"of_species": found["species"][0]}


def test_one_missed_frame_splits_no_visit(tmp_path: Path) -> None:
    places: list[float | None] = [0.0] * 30
    places[10] = places[20] = places[21] = None
    row = track(tmp_path, places, 10.0)
    # The miss at 10 is bridged and lasted; two frames are a departure.
    assert (row["n_visits"], row["exits"], row["entries"], row["n_visible"]) == (2, 1, 1, 27)
    assert row["dwell_s"] == pytest.approx(2.8)
    assert track(tmp_path, places, 10.0, visit_gap=0)["n_visits"] == 3
    assert track(tmp_path, places, 10.0, visit_gap=2)["n_visits"] == 1


def test_speed_is_over_the_same_seconds_and_says_its_noise(tmp_path: Path) -> None:
    """A still animal whose place is known to a third of a pixel: over each frame it would swim some 17 px/s."""
    draw = stream(1, "still", "places")
    still = draw.normal(0, 1 / 3, 900).tolist()
    row = track(tmp_path, still, 30.0)
    assert row["speed_step_s"] == pytest.approx(1.0)
    # One axis moves: the noise of two would be a factor of sqrt(2) more than what it is here.
    assert row["speed_px_s"] < 0.5
    assert row["speed_px_s"] < row["speed_noise_px_s"] * 1.3
    hasty = track(tmp_path, still, 30.0, speed_step_s=1 / 30)
    assert hasty["speed_px_s"] > 10
    assert hasty["speed_px_s"] < hasty["speed_noise_px_s"] * 1.3
    swims = track(tmp_path, (2.0 * np.arange(900) / 30).tolist(), 30.0)
    assert (swims["speed_px_s"], swims["n_steps"]) == (pytest.approx(2.0, abs=1e-3), 870)
    assert swims["speed_noise_px_s"] < 0.01


def test_equal_presence_is_equal_per_effort(tmp_path: Path) -> None:
    """The same animals in videos of 120 and 40 s: totals follow the length, what is per effort does not."""
    cycle: list[float | None] = [0.0] * 6 + [None] * 4
    long, short = (track(tmp_path, cycle * n, 1.0)["of_species"] for n in (12, 4))
    assert long["dwell_s"] == 3 * short["dwell_s"]
    for name in ("dwell_share", "max_per_10s", "presence"):
        assert long[name] == pytest.approx(short[name]), name
    assert long["exits_per_min"] == pytest.approx(short["exits_per_min"]) == 6


def test_what_was_looked_for_and_not_seen_is_zero(pond: dict[str, Path]) -> None:
    carp, perch, tench = analyse(pond, surveyed=["tench", "carp"])["species"]
    assert (carp["surveyed"], perch["surveyed"], tench["surveyed"]) == (True, False, True)
    assert (tench["species"], tench["presence"], tench["max_per_10s"], tench["exits_per_min"]) == ("tench", 0, 0, 0)
    assert (tench["speed_px_s"], tench["kept_static"]) == (None, None)
