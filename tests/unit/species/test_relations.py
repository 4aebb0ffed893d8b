"""Importance and motion over videos: words with their level under planted relations and under none."""

import numpy as np
import pytest

from longtake.species.gather import COUNTED, OfSpecies
from longtake.species.measures import MEASURES
from longtake.species.relations import collect_series, relate_species
from longtake.streams import stream

N = 30


def smooth(rng, phi=0.8):
    series = np.zeros(N + 50)
    for k, noise in enumerate(rng.normal(size=N + 50)):
        series[k] = phi * series[k - 1] + noise
    return series[-N:]


def study(kind, videos, key, clips=3):
    """A word over videos whose importance follows the motion, goes against it, does either, or is another series."""
    rng, of, rows = stream(6, key, kind), OfSpecies(), []
    ramp = np.linspace(0, 3, N)
    for video in range(videos):
        r = []
        for clip in range(clips):
            motion = smooth(rng)
            sign = {"with": 1, "against": -1, "both": rng.choice([-1, 1]), "none": 0, "trends": 0}[kind]
            importance = 1.5 * sign * motion + smooth(rng)
            if kind == "trends":
                motion, importance = motion + ramp, importance + ramp
            r.append(np.corrcoef(importance, motion)[0, 1])
            rows += [
                {"video": f"v{video}", "species": "carp", "source": "crop", "clip": f"{clip}"}
                | {"importance": x, "motion": y}
                for x, y in zip(importance, motion, strict=True)
            ]
        named = {m.name: None for m in MEASURES} | dict.fromkeys(COUNTED, 0) | {"video": f"v{video}", "uses": None}
        of.add(
            named | {"pearson_crop": np.tanh(np.arctanh(r).mean()), "size_crop": np.abs(r).mean(), "clips_crop": clips}
        )
    (row,) = relate_species({"carp": of}, collect_series(rows), seed=1, level=0.95, draws=400)
    return row


@pytest.mark.parametrize(
    ("kind", "word"), [("with", "with motion"), ("against", "against motion"), ("both", "both ways")]
)
def test_planted_relations(kind, word):
    row = study(kind, 8, "planted", clips=4)
    assert (row["word"], row["motion"], row["n_videos"], row["n_clips"]) == (word, "crop", 8, 32)
    assert row["size"] > row["chance_size"] + 0.2


def test_no_relation_is_claimed_where_there_is_none():
    """Smooth series correlate by chance, and more where both rise: neither is a relation."""
    words = [study(kind, 6, f"{k}")["word"] for k in range(40) for kind in ("none", "trends")]
    assert np.mean([word in ("with motion", "against motion", "both ways") for word in words]) <= 0.06
    many = study("trends", 30, "many")
    assert many["word"] == "no more than chance"
    assert min(many["r"], many["chance_r"]) > 0.2


def test_few_videos_decide_nothing():
    row = study("with", 4, "few")
    assert (row["word"], row["p_least"]) == ("undecided", 2 / 16)
    alone = study("with", 2, "few")
    assert alone["word"] == "undecided"
    assert alone["reason"] == "no video can be held against the motion of 2 others"
