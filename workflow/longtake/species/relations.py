"""Whether importance and motion go together over the videos of a species, held against other videos' motion.

Any two smooth series of 30 frames correlate somewhat, so a correlation alone says nothing. Each video's clips are held
against the motion of other videos of the species, where nothing can be related; what is left above that is tested over
videos, by flipping signs. Words are of relation, not of cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.species.gather import OfSpecies
from longtake.species.measures import SOURCES
from longtake.statistics import inference
from longtake.streams import pick, stream
from longtake.verdicts import USUAL, Borders, Tested, relation

OTHERS = 12
"""Other videos whose motion each video's importance is held against, at most."""
LEAST_OTHERS = 2
Values = NDArray[np.float64]
Row = dict[str, Any]


@dataclass
class Series:
    """The kept series of one species and source of motion: video -> list of (importance, motion), each (n,)."""

    clips: dict[str, list[tuple[Values, Values]]] = field(default_factory=dict)

    def chance(self, video: str, seed: int, unit: str) -> tuple[float, float] | None:
        """Mean Fisher z and mean |r| of the video's importance beside other videos' motion; None for too few."""
        others = [name for name in self.clips if name != video]
        if len(others) < LEAST_OTHERS or video not in self.clips:
            return None
        chosen = pick(seed, unit, "videos whose motion is borrowed", others, OTHERS)
        found = [
            r
            for importance, _ in self.clips[video]
            for name in chosen
            for _, motion in self.clips[name]
            if len(motion) == len(importance) and (r := _pearson(importance, motion)) is not None
        ]
        if not found:
            return None
        bounded = np.clip(found, -0.999999, 0.999999)
        return float(np.arctanh(bounded).mean()), float(np.abs(bounded).mean())


def collect_series(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Series]:
    """Fold rows of ``SERIES``, those of a clip together and in order, by species and source of motion."""
    found: dict[tuple[str, str], Series] = {}
    for (species, source, video, _), group in groupby(rows, itemgetter("species", "source", "video", "clip")):
        pairs = np.array([(row["importance"], row["motion"]) for row in group], dtype=np.float64)
        found.setdefault((species, source), Series()).clips.setdefault(video, []).append((pairs[:, 0], pairs[:, 1]))
    return found


def relate_species(
    found: Mapping[str, OfSpecies],
    series: Mapping[tuple[str, str], Series],
    *,
    seed: int,
    level: float,
    draws: int,
    borders: Borders = USUAL,
) -> list[Row]:
    """Rows of ``RELATIONS``: one per species and source of motion that has clips."""
    rows = []
    for species, mine in found.items():
        for whose in SOURCES:
            r, size = mine.of(f"pearson_{whose}"), mine.of(f"size_{whose}")
            if r:
                chance = {
                    video: level_
                    for video in r
                    if (level_ := series.get((species, whose), Series()).chance(video, seed, f"{species} {video}"))
                }
                generator = stream(seed, species, f"relation to {whose}")
                row = _related(r, size, chance, generator, level=level, draws=draws, borders=borders)
                rows.append({"species": species, "motion": whose, "n_clips": mine.counted[f"clips_{whose}"]} | row)
    return rows


def _related(
    r: Mapping[str, float],
    size: Mapping[str, float],
    chance: Mapping[str, tuple[float, float]],
    generator: np.random.Generator,
    *,
    level: float,
    draws: int,
    borders: Borders,
) -> Row:
    alpha = 1.0 - level
    options: dict[str, Any] = {"alpha": alpha, "draws": draws, "level": level}
    mean = inference.interval(list(r.values()), scale="fisher", level=level)
    signed = {video: math.atanh(max(-0.999999, min(0.999999, r[video]))) - z for video, (z, _) in chance.items()}
    excess = {video: size[video] - usual for video, (_, usual) in chance.items() if video in size}
    tests = [inference.against_zero(values, generator, **options) for values in (signed, excess)]
    p = inference.holm([test.p if test.status == "ok" else None for test in tests])
    row: Row = {
        "n_videos": len(r), "r": mean.centre, "r_low": mean.low, "r_high": mean.high,
        "size": float(np.mean(list(size.values()))) if size else None,
        "chance_r": math.tanh(np.mean([z for z, _ in chance.values()])) if chance else None,
        "chance_size": float(np.mean([usual for _, usual in chance.values()])) if chance else None,
        "p_least": tests[0].p_least,
    }  # fmt: skip
    for name, test, adjusted in zip(("signed", "excess"), tests, p, strict=True):
        low, high = test.difference_span
        row |= {name: test.difference, f"{name}_low": low, f"{name}_high": high, f"p_{name}": adjusted}
    signed_is, size_is = (
        Tested(*(row[k] for k in (n, f"{n}_low", f"{n}_high", f"p_{n}"))) for n in ("signed", "excess")
    )
    word = relation(signed_is, size_is, alpha, borders)
    return row | {"word": word, "reason": _reason(row, tests[0], len(chance))}


def _tested(row: Row, name: str) -> Tested:
    return Tested(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"p_{name}"])


def _reason(row: Row, test: inference.Comparison, n: int) -> str:
    if not n:
        return f"no video can be held against the motion of {LEAST_OTHERS} others"
    if test.status != "ok":
        return test.reason
    return (
        f"mean r {row['r']:.2f} (other videos' motion {row['chance_r']:.2f}, p {row['p_signed']:.2g}), "
        f"mean |r| {row['size']:.2f} ({row['chance_size']:.2f}, p {row['p_excess']:.2g})"
    )


def _pearson(x: Values, y: Values) -> float | None:
    if inference.is_constant(x) or inference.is_constant(y):
        return None
    a, b = x - x.mean(), y - y.mean()
    return float((a @ b) / math.sqrt((a @ a) * (b @ b)))
