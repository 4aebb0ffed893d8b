"""Statistics over videos: the video is the unit, and too few videos decide nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from longtake.species import tables
from longtake.species.comparisons import compare_species
from longtake.species.gather import COUNTED, OfSpecies
from longtake.species.measures import MEASURES
from longtake.species.study import species_statistics


def video_folder(root: Path, video: str, rows: list[dict[str, Any]], curve: list[float] | None = None) -> Path:
    zero = {f"{prefix}_{status}": 0 for prefix in ("n", "clips") for status in ("ok", "approximate", "failed")}
    full = [{"video": video, "n_frames": 10, **zero, **row} for row in rows]
    folder = root / video
    tables.write_rows(folder / "species.parquet", full, tables.VIDEO_SPECIES)
    tables.write_rows(folder / "objects.parquet", [], tables.OBJECTS)
    curves = [
        {"video": video, "species": rows[0]["species"], "offset": i, "importance": v, "n_clips": 1}
        for i, v in enumerate(curve or [])
    ]
    tables.write_rows(folder / "curves.parquet", curves, tables.VIDEO_CURVES)
    tables.write_rows(folder / "series.parquet", [], tables.SERIES)
    return folder


def analyse(root: Path, folders: list[Path], name: str = "out", seed: int = 1) -> dict[str, Any]:
    out = root / name
    species_statistics(videos=folders, out=out, results=out / "r.json", seed=seed, draws=2000)
    found: dict[str, Any] = {
        table: pl.read_parquet(out / f"{table}.parquet").to_dicts()
        for table in ("videos", "species", "comparisons", "curves")
    }
    return found | {"json": json.loads((out / "r.json").read_text())}


def of(found: dict[str, Any], species: str, measure: str) -> dict[str, Any]:
    return next(r for r in found["species"] if (r["species"], r["measure"]) == (species, measure))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = []
    for i, speed in enumerate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]):
        carp = {
            "species": "carp", "speed_px_s": 2 * speed, "uses": "motion" if i else "mixed",
            "n_ok": 2, "clips_ok": 3, "clips_failed": i,
        }  # fmt: skip
        rows: list[dict[str, Any]] = [carp, {"species": "perch", "speed_px_s": speed, "n_ok": 2}]
        if i == 0:
            rows.append({"species": "tench", "speed_px_s": 9.0, "n_approximate": 1})
        made.append(video_folder(tmp_path, f"v{i}", rows, [1.0, 1.0 + i, 1.0]))
    return made


def test_means_intervals_and_units(tmp_path: Path, folders: list[Path]) -> None:
    found = analyse(tmp_path, folders)
    carp = of(found, "carp", "speed_px_s")
    assert (carp["mean"], carp["n_videos"], carp["unit"], carp["status"]) == (7.0, 6, "px/s", "ok")
    # Of the logarithms of 2, 4, ..., 12: twice the geometric mean of 1 to 6.
    assert carp["centre"] == pytest.approx(2 * 720 ** (1 / 6))
    assert carp["low"] * carp["high"] == pytest.approx(carp["centre"] ** 2)
    assert (carp["n_ok"], carp["n_failed"]) == (12, 0)
    assert of(found, "carp", "pearson_crop")["n_failed"] == 15
    share = of(found, "carp", "uses: motion")
    assert (share["mean"], share["method"], share["n_videos"]) == (pytest.approx(5 / 6), "Wilson score interval", 6)


def test_one_video_decides_nothing(tmp_path: Path, folders: list[Path]) -> None:
    found = analyse(tmp_path, folders)
    tench = of(found, "tench", "speed_px_s")
    assert (tench["mean"], tench["low"], tench["high"], tench["status"]) == (9.0, None, None, "undecided")
    assert tench["reason"] == "1 video, at least 5 are needed"
    assert tench["method"] == "none"
    tests = [r for r in found["comparisons"] if "tench" in (r["species_a"], r["species_b"])]
    assert tests
    assert all(r["p"] is None and r["p_adjusted"] is None and r["reason"] for r in tests)


def test_species_in_the_same_videos_are_compared_as_pairs(tmp_path: Path, folders: list[Path]) -> None:
    found = analyse(tmp_path, folders)
    (row,) = (r for r in found["comparisons"] if r["measure"] == "speed_px_s" and r["p"] is not None)
    assert (row["species_a"], row["species_b"], row["n_paired"], row["difference"]) == ("carp", "perch", 6, 3.5)
    assert row["p"] == row["p_least"] == pytest.approx(2 / 64)
    assert row["p_adjusted"] == pytest.approx(2 / 64)  # the only test that the data decide
    assert row["difference_low"] < 3.5 < row["difference_high"]
    assert row["hedges_low"] < row["hedges_g"] < row["hedges_high"]


def test_what_cannot_become_significant_is_undecided_and_costs_nothing(tmp_path: Path, folders: list[Path]) -> None:
    found = analyse(tmp_path, folders[:5])  # five pairs: 2 / 32 at the least
    (row,) = (r for r in found["comparisons"] if r["measure"] == "speed_px_s" and r["p"] is not None)
    assert (row["p"], row["p_least"], row["status"]) == (2 / 32, 2 / 32, "undecided")
    assert row["p_adjusted"] is None
    assert row["reason"] == "p cannot be below 0.062 with so few videos"


def test_curves_have_a_band_over_videos(tmp_path: Path, folders: list[Path]) -> None:
    rows = [r for r in analyse(tmp_path, folders)["curves"] if r["measure"] == "importance"]
    assert [r["mean"] for r in rows] == [1.0, 3.5, 1.0]
    assert (rows[0]["low"], rows[0]["high"]) == (1.0, 1.0)
    assert rows[1]["low"] < 3.5 < rows[1]["high"]
    two = [r for r in analyse(tmp_path, folders[:2], "two")["curves"] if r["measure"] == "importance"]
    assert all(r["low"] is None and r["n_videos"] == 2 for r in two)


def test_seven_species_apart_are_found() -> None:
    """21 pairs, of which Holm would need p < .0024, and 12 videos each: the draws follow the family."""
    found: dict[str, OfSpecies] = {}
    for k in range(7):
        values = found.setdefault(f"s{k}", OfSpecies())
        for video in range(12):
            row: dict[str, Any] = dict.fromkeys(m.name for m in MEASURES)
            row |= {"video": f"s{k}-{video}", "max_per_10s": 10.0 * k + video % 3} | dict.fromkeys(COUNTED, 0)
            values.add(row | {"uses": None})
    rows = [row for row in compare_species(found, seed=1, level=0.95, draws=500) if row["measure"] == "max_per_10s"]
    assert len(rows) == 21
    assert all(row["p_adjusted"] < 0.05 for row in rows)


def test_order_of_videos_does_not_matter(tmp_path: Path, folders: list[Path]) -> None:
    first = analyse(tmp_path, folders)
    assert analyse(tmp_path, folders[::-1], "reversed") == first
    assert (tmp_path / "out/species.csv").read_bytes() == (tmp_path / "reversed/species.csv").read_bytes()
    other = analyse(tmp_path, folders, "other", seed=2)
    assert other["species"] == first["species"]  # intervals need no draws


def test_another_species_does_not_move_an_interval(tmp_path: Path, folders: list[Path]) -> None:
    before = of(analyse(tmp_path, folders), "carp", "speed_px_s")
    extra = video_folder(tmp_path, "v9", [{"species": "asp", "speed_px_s": 100.0}])
    assert of(analyse(tmp_path, [*folders, extra], "more"), "carp", "speed_px_s") == before


def test_json_says_the_same(tmp_path: Path, folders: list[Path]) -> None:
    found = analyse(tmp_path, folders)
    carp = found["json"]["species"]["carp"]
    assert carp["measures"]["speed_px_s"]["low"] == of(found, "carp", "speed_px_s")["low"]
    assert carp["uses"]["mixed"]["mean"] == pytest.approx(1 / 6)
    assert carp["clips"] == {"ok": 18, "approximate": 0, "failed": 15}
    assert carp["curves"]["importance"]["mean"] == [1.0, 3.5, 1.0]
    assert found["json"]["videos"]["v0"]["tench"]["speed_px_s"] == 9.0


def test_no_video_at_all(tmp_path: Path) -> None:
    found = analyse(tmp_path, [])
    assert found["species"] == []
    assert found["json"]["species"] == {}
