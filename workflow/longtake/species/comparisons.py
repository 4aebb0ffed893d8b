"""Every pair of species on every measure that is tested, in families that their videos can decide."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from longtake.kinds import Row
from longtake.species import measures
from longtake.species.gather import OfSpecies
from longtake.species.tracks import UNLABELLED
from longtake.statistics import inference
from longtake.status import Status
from longtake.streams import stream

MULTIPLICITY = (
    "primary measures: omnibus over species, Holm over the primary measures of the family, then Holm over the pairs of "
    "the measure; others: Benjamini-Hochberg over the pairs and measures of the family; tests that cannot reach "
    "significance count in none (Tarone)"
)


def compare_species(found: Mapping[str, OfSpecies], *, seed: int, level: float, draws: int) -> list[Row]:
    """Test every pair of species on every tested measure: rows of ``COMPARISONS``.

    Each family (annotation, gradients) asks one question with a few primary measures. There a pair is told apart only
    if all species together are (omnibus, Holm over the primary measures), and then by Holm over the pairs of the
    measure. The other measures have a rate of false discoveries. Draws follow the size of the family, so that the least
    p of a test is far below what its adjustment asks.
    """
    alpha = 1.0 - level
    tested = [measure for measure in measures.MEASURES if measure.role != "told"]
    # Objects without a label are no species.
    found = {species: of for species, of in found.items() if species != UNLABELLED}
    pairs = list(itertools.combinations(found, 2))
    rows: list[Row] = []
    for measure in tested:
        values = {species: of.of(measure.name) for species, of in found.items()}
        asked = [(a, b) for a, b in pairs if values[a] or values[b]]
        several = sum(len(of) >= inference.FEWEST for of in values.values()) > 2
        options = {"alpha": alpha, "draws": inference.draws_for(len(asked), alpha, draws), "level": level}
        mine = [_row(measure, (a, b), values, seed, options) for a, b in asked]
        if several:
            generator = stream(seed, "all species", f"permutation of {measure.name}")
            told = inference.omnibus(values, generator, alpha=alpha, draws=draws)
            rows += [row | {"p_omnibus": told.p if told.status == Status.OK else None} for row in mine]
        else:
            # Two species have one pair, which is its own omnibus.
            rows += [row | {"p_omnibus": row["p"] if row["status"] == Status.OK else None} for row in mine]
    for family in sorted({measure.family for measure in tested}):
        of_family = [row for row in rows if row["family"] == family]
        _adjust_primary([row for row in of_family if row["role"] == "primary"], alpha)
        _adjust_others([row for row in of_family if row["role"] == "other"])
    return rows


def _row(
    measure: measures.Measure,
    pair: tuple[str, str],
    values: Mapping[str, Mapping[str, float]],
    seed: int,
    options: Mapping[str, Any],
) -> Row:
    a, b = pair
    generator = stream(seed, f"{a} | {b}", f"permutation of {measure.name}")
    found = inference.compare(values[a], values[b], generator, **options)
    named = ("n_a", "n_b", "n_paired", "mean_a", "mean_b", "difference", "hedges_g", "cliffs_delta", "p", "p_least")
    row: Row = {"measure": measure.name, "family": measure.family, "role": measure.role, "species_a": a, "species_b": b}
    row |= {name: getattr(found, name) for name in (*named, "method", "status", "reason")}
    for name, span in (
        ("difference", found.difference_span), ("hedges", found.hedges_span), ("cliffs", found.cliffs_span)
    ):  # fmt: skip
        row[f"{name}_low"], row[f"{name}_high"] = span
    return row


def _adjust_primary(rows: Sequence[Row], alpha: float) -> None:
    by_measure: dict[str, list[Row]] = {}
    for row in rows:
        by_measure.setdefault(row["measure"], []).append(row)
    omnibus = inference.holm([mine[0]["p_omnibus"] for mine in by_measure.values()])
    for mine, p_omnibus in zip(by_measure.values(), omnibus, strict=True):
        counted = _counted(mine, alpha)
        for row in mine:
            row["p_omnibus"] = p_omnibus
        for row, p in zip(counted, inference.holm([row["p"] for row in counted]), strict=True):
            if p is not None and p_omnibus is not None:
                row["p_adjusted"] = max(p, p_omnibus)
                row["adjusted"] = f"Holm over {len(counted)} pairs, after the omnibus over {len(by_measure)} measures"


def _adjust_others(rows: Sequence[Row]) -> None:
    decided = [row for row in rows if row["status"] == Status.OK]
    for row, p in zip(decided, inference.benjamini_hochberg([row["p"] for row in decided]), strict=True):
        row["p_adjusted"], row["adjusted"] = p, f"Benjamini-Hochberg over {len(decided)} tests"


def _counted(rows: Sequence[Row], alpha: float) -> list[Row]:
    """The tests that a family counts; the others are undecided, and say why."""
    decided = [row for row in rows if row["status"] == Status.OK]
    counts = inference.deciding([row["p_least"] for row in decided], alpha)
    for row, within in zip(decided, counts, strict=True):
        if not within:
            row["status"] = Status.UNDECIDED
            row["reason"] = f"p cannot be below {row['p_least']:.2g}, too much beside the other pairs of species"
    return [row for row, within in zip(decided, counts, strict=True) if within]
