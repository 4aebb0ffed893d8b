"""Whether the statistics keep their level: coverage, false alarms and words, before and after, by seeded simulation.

    .venv/bin/python benchmarks/level.py [--quick]

Before is what `level_before` keeps of the statistics that these replaced. Writes benchmarks/results/level.json; ``make
readme`` makes the tables of docs/statistics.md of it.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "benchmarks")]

import level_before as before  # noqa: E402
import planted  # noqa: E402

from longtake.gradients.attribution import attribute_clip  # noqa: E402
from longtake.gradients.perturbations import answer_left, disturb, magnitudes, median_ratio  # noqa: E402
from longtake.species.comparisons import compare_species  # noqa: E402
from longtake.species.gather import COUNTED, OfSpecies  # noqa: E402
from longtake.species.judgement import judge  # noqa: E402
from longtake.species.measures import MEASURES  # noqa: E402
from longtake.species.relations import collect_series, relate_species  # noqa: E402
from longtake.species.study import summarise  # noqa: E402
from longtake.statistics import inference  # noqa: E402
from longtake.streams import stream  # noqa: E402

OUT = ROOT / "benchmarks/results/level.json"
VIDEOS = (4, 6, 10, 20)
Row = dict[str, Any]
DISTRIBUTIONS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float, float, inference.Scale]] = {
    # The mean that the bootstrap is of, and the centre that t is of on its scale.
    "normal": (lambda rng, n: rng.normal(3, 2, n), 3.0, 3.0, "identity"),
    "log-normal": (lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5), 1.0, "log"),
    "share": (lambda rng, n: 1 / (1 + np.exp(-rng.normal(1.2, 1, n))), 0.7312, 1 / (1 + math.exp(-1.2)), "logit"),
    "correlation": (lambda rng, n: np.tanh(rng.normal(0.6, 0.5, n)), 0.4625, math.tanh(0.6), "fisher"),
}


def intervals(times: int) -> list[Row]:
    """Coverage of 95 % intervals by subjects and distribution."""
    rows = []
    for name, (draw, mean, centre, scale) in DISTRIBUTIONS.items():
        for n in (3, 5, 10, 20):
            rng = stream(1, f"{name} {n}", "coverage")
            old = new = 0
            for _ in range(times):
                values = draw(rng, n)
                low, high = before.bootstrap_mean(values, rng, 500)
                old += low <= mean <= high
                found = inference.interval(values, scale=scale)
                new += found.low is not None and found.low <= centre <= found.high
            after = None if n < inference.MINIMUM else new / times
            rows.append({"distribution": name, "n": n, "before": old / times, "after": after})
    return rows


def bands(times: int) -> list[Row]:
    """How often a 95 % band holds a whole curve of 20 points."""
    rows = []
    for n in (5, 12, 20):
        rng, old, new = stream(2, str(n), "bands"), 0, 0
        for _ in range(times):
            curves = rng.normal(0, 1, (n, 20))
            low, high = before.bootstrap_band(curves, rng)
            old += bool(((low <= 0) & (high >= 0)).all())
            _, low, high = inference.simultaneous_band(curves, rng, draws=400)
            new += bool(((low <= 0) & (high >= 0)).all())
        rows.append({"n": n, "before": old / times, "after": new / times})
    return rows


def named(values: np.ndarray, prefix: str) -> dict[str, float]:
    return {f"{prefix}{k}": float(value) for k, value in enumerate(values)}


def alarms(times: int) -> list[Row]:
    """False alarms of a test of two groups at 5 %, by their sizes and spreads."""
    rows = []
    for n_a, n_b, sd in ((3, 10, 3), (4, 10, 3), (6, 10, 3), (10, 10, 3), (5, 5, 1), (10, 10, 1), (10, 5, 3)):
        rng, old, new, tested = stream(3, f"{n_a} {n_b} {sd}", "alarms"), 0, 0, False
        for _ in range(times):
            a, b = rng.normal(0, sd, n_a), rng.normal(0, 1, n_b)
            old += before.permutation_p(a, b, rng) <= 0.05
            found = inference.compare(named(a, "a"), named(b, "b"), rng, draws=399)
            tested |= found.status == "ok"
            new += found.status == "ok" and found.p <= 0.05
        after = new / times if tested else None
        rows.append({"n_a": n_a, "n_b": n_b, "sd": f"{sd} : 1", "before": old / times, "after": after})
    return rows


def autocorrelated(rng: np.random.Generator, phi: float, n: int = 30) -> np.ndarray:
    series = np.zeros(n + 100)
    for k, noise in enumerate(rng.normal(size=n + 100)):
        series[k] = phi * series[k - 1] + noise
    return series[-n:]


def series(times: int) -> list[Row]:
    """False alarms of two unrelated series of 30 frames by their autocorrelation, and coverage of r = 0."""
    rows = []
    for name in ("0", "0.5", "0.9", "0.95", "trends"):
        rng, old, new, held = stream(4, name, "series"), 0, 0, 0
        for _ in range(times):
            x, y = (autocorrelated(rng, 0.0 if name == "trends" else float(name)) for _ in range(2))
            if name == "trends":
                x, y = x + 0.1 * np.arange(30), y + 0.1 * np.arange(30)
            old += before.block_p(x, y, rng) <= 0.05
            found = inference.relate_series(x, y)
            new += found.p <= 0.05
            held += found.low <= 0 <= found.high
        rows.append({"autocorrelation": name, "before": old / times, "after": new / times, "interval": held / times})
    return rows


def of_species(values: dict[str, np.ndarray], species: str, videos: int) -> OfSpecies:
    of = OfSpecies()
    for k in range(videos):
        row = dict.fromkeys(m.name for m in MEASURES) | dict.fromkeys(COUNTED, 0) | {"uses": None}
        of.add(row | {"video": f"{species}-{k}"} | {name: float(each[k]) for name, each in values.items()})
    return of


def families(times: int) -> list[Row]:
    """By number of species: studies with a false finding, and pairs found at complete separation (10 videos each).

    Before was Holm over 29 measures times all pairs, with 10,000 draws: the least p that it could adjust to.
    """
    rows, measured = [], ("max_per_10s", "presence", "speed_bl_s")
    for k in (2, 4, 7, 10):
        rng, wrong, found = stream(5, str(k), "families"), 0, 0.0
        for study in range(times + 1):
            apart = study == times
            groups = {
                f"s{j}": of_species({m: rng.uniform(0.1, 0.2, 10) + apart * 0.08 * j for m in measured}, f"s{j}", 10)
                for j in range(k)
            }
            tests = compare_species(groups, seed=study, level=0.95, draws=300)
            significant = [row["p_adjusted"] is not None and row["p_adjusted"] <= 0.05 for row in tests]
            wrong += any(significant) and not apart
            found = float(np.mean(significant)) if apart else found
        least = min(1.0, 29 * k * (k - 1) / 2 / 10_001)
        rows.append({"species": k, "before_least_p": least, "after_false": wrong / times, "after_found": found})
    return rows


def pool(videos: int, clips: int) -> dict[str, list[Row]]:
    """What each of `videos` says of each planted model by 1 and by `clips` clips, before and after."""
    found: dict[str, list[Row]] = {}
    for name in planted.MODELS:
        for video in range(videos):
            told, disturbed = planted.rows_of(name, f"v{video}", clips)
            some = {
                n: [[r for r in rows if int(r["object"][1:]) < n] for rows in (told, disturbed)] for n in (1, clips)
            }
            row: Row = {"after": {n: planted.averaged(*rows) for n, rows in some.items()}}
            old = [old_kept(name, f"v{video} {k}") for k in range(clips)]
            row["before"] = {n: [mean(side) for side in zip(*old[:n], strict=True)] for n in (1, clips)}
            found.setdefault(name, []).append(row)
    return found


def mean(values: tuple[float | None, ...]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def old_kept(name: str, key: str) -> tuple[float | None, float | None]:
    """What a clip kept before: frozen at its first frame, each place against the frame that was there; and shuffled."""
    model, pixels = planted.Model(planted.MODELS[name]), planted.clip(key)
    nowhere = [None] * planted.T
    found = attribute_clip(model, pixels, nowhere, target=0)
    frozen = attribute_clip(model, np.repeat(pixels[:1], planted.T, axis=0), nowhere, target=0)
    ratio = median_ratio(magnitudes(frozen), magnitudes(found))
    shuffled = []
    for clip in disturb(planted.T, ("shuffle",), 2, lambda purpose: stream(12, key, purpose)):
        again = attribute_clip(model, pixels[clip.shown], nowhere, target=0)
        ratio_shuffled = median_ratio(magnitudes(again), magnitudes(found)[clip.shown])
        shuffled.append(before.kept(ratio_shuffled, answer_left(found.scores, again.scores)))
    return before.kept(ratio, answer_left(found.scores, frozen.scores)), mean(tuple(shuffled))


def words(times: int, videos: int, clips: int) -> list[Row]:
    """Words on planted models over studies drawn from one pool of videos, by videos and clips a video."""
    rows = []
    for name, known in pool(videos, clips).items():
        for n in VIDEOS:
            for k in (1, clips):
                rng, old, new = stream(6, f"{name} {n} {k}", "words"), Counter(), Counter()
                for _ in range(times if n < videos else 1):
                    chosen = [known[i] for i in rng.choice(videos, n, replace=False)]
                    sides = np.array([row["before"][k] for row in chosen])
                    old[before.verdict(*sides[~np.isnan(sides).any(axis=1)].T, rng)] += 1
                    of = OfSpecies()
                    for number, row in enumerate(chosen):
                        blank = dict.fromkeys(m.name for m in MEASURES) | dict.fromkeys(COUNTED, 0)
                        of.add(blank | row["after"][k] | {"video": f"v{number}"})
                    new[judge(summarise({"carp": of}, level=0.95), [])[0]["uses"]] += 1
                right = planted.RIGHT[name] | {"undecided"}
                rows.append(
                    {"model": name, "videos": n, "clips": k}
                    | {"before": dict(old), "before_wrong": share(old, right)}
                    | {"after": dict(new), "after_wrong": share(new, right)}
                    | {"after_decided": 1 - new["undecided"] / new.total()}
                )
    return rows


def share(told: Counter[str], right: set[str]) -> float:
    return sum(times for word, times in told.items() if word not in right) / told.total()


def relations(times: int) -> list[Row]:
    """Words on importance and motion by planted relation, videos and clips a video."""
    rows, strengths = [], {"none": 0.0, "trends": 0.0, "with": 0.6, "both ways": 1.5}
    for kind, strength in strengths.items():
        for n in VIDEOS:
            for clips in (1, 4):
                rng, old, new = stream(7, f"{kind} {n} {clips}", "relations"), Counter(), Counter()
                for study in range(times):
                    r, found = related(rng, kind, strength, n, clips)
                    old[before.dependency(r, rng)] += 1
                    new[relate_species(*found, seed=study, level=0.95, draws=300)[0]["word"]] += 1
                rows.append({"relation": kind, "videos": n, "clips": clips, "before": dict(old), "after": dict(new)})
    return rows


def related(
    rng: np.random.Generator, kind: str, strength: float, videos: int, clips: int
) -> tuple[np.ndarray, tuple[dict[str, OfSpecies], Any]]:
    """Mean r of each video, and what `relate_species` takes, of series that go together by `strength`."""
    of, told, means = OfSpecies(), [], []
    for video in range(videos):
        found = []
        for clip in range(clips):
            motion = autocorrelated(rng, 0.8)
            sign = float(rng.choice([-1, 1])) if kind == "both ways" else 1.0
            importance = strength * sign * motion + autocorrelated(rng, 0.8)
            if kind == "trends":
                motion, importance = motion + 0.1 * np.arange(30), importance + 0.1 * np.arange(30)
            found.append(float(np.corrcoef(importance, motion)[0, 1]))
            key = {"video": f"v{video}", "species": "carp", "source": "crop", "clip": str(clip)}
            told += [key | {"importance": x, "motion": y} for x, y in zip(importance, motion, strict=True)]
        means.append(np.mean(found))
        row = dict.fromkeys(m.name for m in MEASURES) | dict.fromkeys(COUNTED, 0) | {"video": f"v{video}", "uses": None}
        r, size = float(np.tanh(np.arctanh(found).mean())), float(np.abs(found).mean())
        of.add(row | {"pearson_crop": r, "size_crop": size, "clips_crop": clips})
    return np.array(means), ({"carp": of}, collect_series(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the studies, to see that it runs")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    less = 20 if asked.quick else 1
    began = time.process_time()
    found = {
        "intervals": intervals(2000 // less),
        "bands": bands(400 // less),
        "alarms": alarms(1000 // less),
        "series": series(1000 // less),
        "families": families(max(1, 30 // less)),
        "relations": relations(80 // less),
        "words": words(50 // less, 20, 1 if asked.quick else 3),
    }
    about = {"date": datetime.now(UTC).date().isoformat(), "machine": platform.machine()}
    about["cpu_s"] = round(time.process_time() - began)
    asked.out.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
