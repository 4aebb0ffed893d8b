"""What a model uses for a species: right where the videos decide it, undecided where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from longtake.species import measures, tables
from longtake.species.judgement import judge
from longtake.species.perturbed import perturbation_means
from longtake.species.study import species_statistics
from longtake.species.video import video_statistics
from longtake.store.schemas import CLIPS, PERTURBATIONS
from longtake.store.tables import write_table
from longtake.streams import stream
from longtake.verdicts import DECIDED


def row(label: str, perturbation: str, *, clip: int = 0, repeat: int = 0, **numbers: Any) -> dict[str, Any]:
    key = {"video": "v", "window": 0, "object": "o", "label": label, "clip": clip}
    return key | {"perturbation": perturbation, "repeat": repeat, "status": "ok", "n_frames": 31} | numbers


def test_a_video_by_hand(tmp_path: Path) -> None:
    strong = {"answer": 0.5, "answer_power": 3.0}
    rows = [
        row("carp", "shuffle", ratio=2.0, agrees=1.0, logit_cosine=0.5, **strong),
        row("carp", "shuffle", repeat=1, ratio=0.5, agrees=0.0, logit_cosine=0.7, **strong),
        # A frame that hardly counted: no more than a hundredfold is believed. An answer of no power has no say.
        row("carp", "shuffle", clip=1, ratio=1e6, agrees=0.0, logit_cosine=0.6, answer=-9.0, answer_power=0.0),
        row("carp", "static", ratio=0.1, total=0.2, agrees=0.0, logit_cosine=None, **strong),
        row("carp", "static", repeat=1, ratio=None, total=0.4, agrees=0.0, logit_cosine=None, **strong),
        row("carp", "still", ratio=0.8, answer=0.9, agrees=None),
        row("carp", "short", importance_r=0.25, agrees=0.5, logit_cosine=0.5),
        row("perch", "short", status="failed", reason="takes 31 frames") | {"agrees": None},
    ]
    write_table(tmp_path / "p.parquet", rows, PERTURBATIONS)
    write_table(tmp_path / "c.parquet", [], CLIPS)
    found = perturbation_means(tmp_path / "p.parquet", tmp_path / "c.parquet")
    assert set(found) == {"carp"}
    carp = found["carp"]
    # Twice and half are 1 together, which no fold makes less; with a hundredfold clip beside it 10.
    assert carp["ratio_shuffle"] == pytest.approx(10.0)
    assert carp["kept_shuffle"] == pytest.approx(0.1)
    assert carp["scatter_shuffle"] == pytest.approx(np.std(np.log([2, 0.5, 100]), ddof=1))
    assert carp["cosine_shuffle"] == pytest.approx(0.6)
    # Motionless clips by their totals, averaged over the frames that were shown.
    assert (carp["ratio_static"], carp["kept_static"], carp["cosine_static"]) == (
        pytest.approx(0.3),
        pytest.approx(0.3),
        None,
    )
    assert (carp["kept_still"], carp["uses"]) == (pytest.approx(0.8), "motion")
    assert (carp["importance_r_short"], carp["agrees_short"]) == (0.25, 0.5)
    assert "ratio_short" not in carp
    assert set(carp) - {"uses"} <= {measure.name for measure in measures.MEASURES}


def test_scatter_is_no_loss(tmp_path: Path) -> None:
    """Ratios that scatter about 1 with a log-sd of .5: folded one by one they look like .70 kept, and are 1."""
    ratios = np.exp(stream(1, "scatter", "ratios").normal(0, 0.5, 400))
    rows = [row("carp", "shuffle", clip=k, ratio=value, answer=1.0, answer_power=1.0) for k, value in enumerate(ratios)]
    write_table(tmp_path / "p.parquet", rows, PERTURBATIONS)
    write_table(tmp_path / "c.parquet", [], CLIPS)
    carp = perturbation_means(tmp_path / "p.parquet", tmp_path / "c.parquet")["carp"]
    assert np.minimum(ratios, 1 / ratios).mean() == pytest.approx(0.7, abs=0.02)
    assert carp["kept_shuffle"] > 0.95
    assert carp["scatter_shuffle"] == pytest.approx(0.5, abs=0.03)


def summary(agreed: float = 0.51, **spans: tuple[float, float] | None) -> list[dict[str, Any]]:
    """Rows of SPECIES; each word holds for a share of `agreed` of the videos at least."""
    words = [f"uses: {word}" for word in DECIDED]
    spans = dict.fromkeys(words, (agreed, 1.0)) | spans
    return [
        {"species": "carp", "measure": name, "n_videos": 4 if span else 2, "low": span and span[0],
         "high": span and span[1], "reason": "" if span else "2 videos, at least 5 are needed"}
        for name, span in spans.items()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ({"kept_static": (0.8, 0.9), "kept_shuffle": (0.9, 1.0)}, "appearance"),
        ({"kept_static": (0.0, 0.2), "kept_shuffle": (0.9, 1.0)}, "several frames"),
        ({"kept_static": (0.0, 0.2), "kept_shuffle": (0.2, 0.4)}, "motion"),
        ({"kept_static": (0.0, 0.2), "kept_shuffle": (0.2, 0.4), "kept_still": (0.1, 0.4)}, "mixed"),
        ({"kept_static": (0.4, 0.9), "kept_shuffle": (0.9, 1.0)}, "undecided"),
        ({"kept_static": None, "kept_shuffle": None}, "undecided"),
        ({}, "undecided"),
    ],
)
def test_what_is_used(spans: dict[str, Any], expected: str) -> None:
    (found,) = judge(summary(**spans, presence=(0.0, 1.0)), [])
    assert found["uses"] == expected
    assert found["uses_reason"]


def test_the_relation_is_that_of_the_motion_most_videos_have() -> None:
    crop = {"species": "carp", "motion": "crop", "n_videos": 6, "word": "with motion", "reason": "r"}
    animal = crop | {"motion": "animal", "n_videos": 5, "word": "undecided"}
    (found,) = judge(summary(), [animal, crop])
    assert (found["relation"], found["motion"]) == ("with motion", "crop")
    (found,) = judge(summary(), [animal | {"n_videos": 6}, crop])
    assert found["motion"] == "animal"


def test_most_videos_must_agree() -> None:
    spans = {"kept_static": (0.0, 0.1), "kept_shuffle": (0.0, 0.1)}
    assert judge(summary(0.51, **spans), [])[0]["uses"] == "motion"
    (found,) = judge(summary(0.44, **spans), [])
    assert found["uses"] == "undecided"
    assert found["uses_reason"].endswith("motion is sure of 0.44 of the videos, which need not be most")


def test_reasons() -> None:
    (few,) = judge(summary(kept_static=None, kept_shuffle=None), [])
    assert few["uses_reason"] == "2 videos, at least 5 are needed"
    assert few["relation_reason"] == "not measured"
    (wide,) = judge(summary(kept_static=(0.4, 0.9), kept_shuffle=(0.9, 1.0)), [])
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
        rows = [row("carp", "static", total=0.1 + number / 50), row("carp", "shuffle", ratio=0.4)]
        write_table(tmp_path / "p.parquet", rows, PERTURBATIONS)
        given = pond | {"out": tmp_path / video, "perturbations": tmp_path / "p.parquet"} | clips
        video_statistics(video="pond", frame_interval=10, **given)
        folders.append(tmp_path / video)
        # All made from one pond: give each its own name.
        schemas = {"species": tables.VIDEO_SPECIES, "objects": tables.OBJECTS}
        for name, schema in (schemas | {"curves": tables.VIDEO_CURVES, "series": tables.SERIES}).items():
            renamed = pl.read_parquet(tmp_path / video / f"{name}.parquet").with_columns(video=pl.lit(video))
            tables.write_rows(tmp_path / video / f"{name}.parquet", renamed.to_dicts(), schema)
    species_statistics(videos=folders, out=tmp_path / "out", results=tmp_path / "r.json", seed=1, draws=200)
    (carp,) = (r for r in pl.read_parquet(tmp_path / "out/verdicts.parquet").to_dicts() if r["species"] == "carp")
    assert carp["uses"] == expected
    assert (carp["relation"], carp["motion"]) == ("undecided", "crop")  # one frame of motion has no series
    told = json.loads((tmp_path / "r.json").read_text())["species"]["carp"]
    assert told["verdict"]["uses"] == expected
    assert told["uses"]["motion"]["mean"] == 1.0
