"""What a model uses for a species: right where the videos decide it, undecided where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from longtake.species import measures, tables
from longtake.species.judgement import judge
from longtake.species.study import species_statistics
from longtake.species.temporal import perturbation_means
from longtake.species.video import video_statistics
from longtake.store.schemas import PERTURBATIONS
from longtake.store.tables import write_table
from longtake.verdicts import CLASSES, DECIDED


def row(label: str, perturbation: str, *, clip: int = 0, repeat: int = 0, **numbers: Any) -> dict[str, Any]:
    key = {"video": "v", "window": 0, "object": "o", "label": label, "clip": clip}
    return key | {"perturbation": perturbation, "repeat": repeat, "status": "ok", "n_frames": 31} | numbers


def test_a_video_by_hand(tmp_path: Path) -> None:
    rows = [
        row("carp", "shuffle", ratio=1.0, kept=1.0, agrees=1.0, logit_cosine=0.5),
        row("carp", "shuffle", repeat=1, ratio=0.5, kept=0.5, agrees=0.0, logit_cosine=0.7),
        # A frame that hardly counted: the median does not mind.
        row("carp", "shuffle", clip=1, ratio=1e6, kept=0.0, agrees=0.0, logit_cosine=0.6),
        row("carp", "static", ratio=0.1, kept=0.1, agrees=0.0, logit_cosine=None),
        row("carp", "short", importance_r=0.25, agrees=0.5, logit_cosine=0.5),
        row("perch", "short", status="failed", reason="takes 31 frames") | {"agrees": None},
    ]
    write_table(tmp_path / "p.parquet", rows, PERTURBATIONS)
    found = perturbation_means(tmp_path / "p.parquet")
    assert set(found) == {"carp"}
    carp = found["carp"]
    assert (carp["ratio_shuffle"], carp["kept_shuffle"], carp["agrees_shuffle"]) == pytest.approx((1.0, 0.5, 1 / 3))
    assert carp["cosine_shuffle"] == pytest.approx(0.6)
    assert (carp["kept_static"], carp["cosine_static"], carp["uses"]) == (0.1, None, "motion")
    assert (carp["importance_r_short"], carp["agrees_short"]) == (0.25, 0.5)
    assert "ratio_short" not in carp
    assert set(carp) - {"uses"} <= {measure.name for measure in measures.MEASURES}


def summary(agreed: float = 0.51, **spans: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Rows of SPECIES; each word holds for a share of `agreed` of the videos at least."""
    words = [f"dependency: {word}" for word in CLASSES] + [f"uses: {word}" for word in DECIDED]
    spans = dict.fromkeys(words, (agreed, 1.0)) | spans
    return [
        {"species": "carp", "measure": name, "n_videos": 4 if span else 2, "low": span and span[0],
         "high": span and span[1], "reason": "" if span else "2 videos, at least 3 are needed"}
        for name, span in spans.items()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ({"kept_static": (0.8, 0.9), "kept_shuffle": (0.9, 1.0)}, "appearance"),
        ({"kept_static": (0.0, 0.2), "kept_shuffle": (0.9, 1.0)}, "motion"),
        ({"kept_static": (0.4, 0.9), "kept_shuffle": (0.9, 1.0)}, "undecided"),
        ({"kept_static": None, "kept_shuffle": None}, "undecided"),
        ({}, "undecided"),
    ],
)
def test_what_is_used(spans: dict[str, Any], expected: str) -> None:
    (found,) = judge(summary(**spans, presence=(0.0, 1.0)))
    assert found["uses"] == expected
    assert found["uses_reason"]


@pytest.mark.parametrize(
    ("pearson", "spearman", "expected"),
    [
        ((0.75, 0.9), (-0.9, -0.72), "motion-dependent"),
        ((0.65, 0.9), (0.8, 0.9), "undecided"),
        ((0.4, 0.6), (-0.2, 0.3), "moderate"),
        ((-0.2, 0.25), (-0.1, 0.1), "static"),
        # An interval around 0 holds small correlations too.
        ((-0.4, 0.4), (-0.1, 0.1), "undecided"),
    ],
)
def test_how_far_importance_goes_with_motion(pearson: Any, spearman: Any, expected: str) -> None:
    assert judge(summary(pearson=pearson, spearman=spearman))[0]["dependency"] == expected


def test_most_videos_must_agree() -> None:
    spans = {"kept_static": (0.0, 0.1), "kept_shuffle": (0.0, 0.1)}
    assert judge(summary(0.51, **spans))[0]["uses"] == "motion"
    (found,) = judge(summary(0.44, **spans))
    assert found["uses"] == "undecided"
    assert found["uses_reason"].endswith("motion is sure of 0.44 of the videos, which need not be most")


def test_reasons() -> None:
    (few,) = judge(summary(kept_static=None, kept_shuffle=None))
    assert few["uses_reason"] == "2 videos, at least 3 are needed"
    assert few["dependency_reason"] == "not measured"
    (wide,) = judge(summary(kept_static=(0.4, 0.9), kept_shuffle=(0.9, 1.0)))
    assert wide["uses_reason"].startswith("what is kept of frozen clips: 0.40 to 0.90; ")
    assert wide["uses_reason"].endswith("the interval reaches over a border")


@pytest.mark.parametrize(("n_videos", "expected"), [(4, "undecided"), (5, "motion")])
def test_from_clips_to_the_verdict(
    n_videos: int, expected: str, pond: dict[str, Any], write_clips: Any, tmp_path: Path
) -> None:
    folders = []
    for number in range(n_videos):
        video = f"v{number}"
        clips = write_clips(video, [("carp", "ok", 0.8, 0.9, [1.0, 2.0])])
        rows = [row("carp", "static", kept=0.1 + number / 50), row("carp", "shuffle", kept=0.4)]
        write_table(tmp_path / "p.parquet", rows, PERTURBATIONS)
        given = pond | {"out": tmp_path / video, "perturbations": tmp_path / "p.parquet"} | clips
        video_statistics(video="pond", frame_interval=10, **given)
        folders.append(tmp_path / video)
        # All made from one pond: give each its own name.
        for name in ("species", "objects", "curves"):
            schema = {"species": tables.VIDEO_SPECIES, "objects": tables.OBJECTS, "curves": tables.VIDEO_CURVES}[name]
            renamed = pl.read_parquet(tmp_path / video / f"{name}.parquet").with_columns(video=pl.lit(video))
            tables.write_rows(tmp_path / video / f"{name}.parquet", renamed.to_dicts(), schema)
    species_statistics(videos=folders, out=tmp_path / "out", results=tmp_path / "r.json", seed=1, draws=200)
    (carp,) = (r for r in pl.read_parquet(tmp_path / "out/verdicts.parquet").to_dicts() if r["species"] == "carp")
    assert carp["uses"] == expected
    assert carp["dependency"] == ("undecided" if n_videos < 5 else "motion-dependent")
    told = json.loads((tmp_path / "r.json").read_text())["species"]["carp"]
    assert told["verdict"]["uses"] == expected
    assert told["uses"]["motion"]["mean"] == 1.0
