"""What differs between groups: tests on all measures at once, the trend over an order, intervals, bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.latents.values import CROSSED, Values, few_groups
from longtake.statistics import inference
from longtake.streams import stream

Array = NDArray[np.float64]
Row = dict[str, Any]


def contrasts(values: Values, *, baseline: str, which: str, seed: int, draws: int, level: float = 0.95) -> list[Row]:
    """Rows of ``TESTS``: each group against the baseline, or each pair, on every measure.

    `p_maxt` holds for all measures and all contrasts: max-T within a contrast (Westfall and Young 1993), times their
    number. `p_holm` is Holm's over the same tests, `least_possible_p_holm` what it could be at the least.
    """
    groups = values.groups
    if len(groups) < 2:
        return [_undecided(name, summary, groups, few_groups(groups)) for name, summary in values.measures]
    pairs = list(combinations(groups, 2)) if which == "all" else [(g, baseline) for g in groups if g != baseline]
    rows: list[Row] = []
    for group, other in pairs:
        generator = stream(seed, f"{group} / {other}", "latents tests")
        kept = [n for n, (name, _) in enumerate(values.measures) if _testable(name, (group, other), baseline)]
        found = inference.compare_many(
            [str(n) for n in kept], _of(values, group, kept), _of(values, other, kept), generator,
            draws=draws, level=level,
        )  # fmt: skip
        rows += [_row(values.measures[n], group, other, found[str(n)], len(pairs)) for n in kept]
    decided = [row for row in rows if row["p"] is not None]
    for row, adjusted in zip(rows, inference.holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        if row["least_possible_p"] is not None:
            row["least_possible_p_holm"] = min(1.0, row["least_possible_p"] * max(1, len(decided)))
    return rows


def _testable(name: str, groups: tuple[str, str], baseline: str) -> bool:
    # The baseline's distance from itself is no measurement.
    return name != CROSSED[0] or baseline not in groups


def _of(values: Values, group: str, kept: Sequence[int]) -> dict[str, Array]:
    return {values.subjects[n]: values.numbers[n, list(kept)] for n in values.members(group)}


def _row(measure: tuple[str, str], group: str, other: str, found: inference.Comparison, contrasts_: int) -> Row:
    adjusted = None if found.p_family is None else min(1.0, found.p_family * contrasts_)
    return {
        "test": "contrast", "group": group, "baseline": other, "metric": measure[0], "summary": measure[1],
        "mean_group": found.mean_a, "mean_baseline": found.mean_b, "difference": found.difference,
        "low": found.difference_span[0], "high": found.difference_span[1], "hedges_g": found.hedges_g,
        "cliffs_delta": found.cliffs_delta, "p": found.p, "p_maxt": adjusted, "p_holm": None,
        "least_possible_p": found.p_least, "least_possible_p_holm": None, "n_group": found.n_a,
        "n_baseline": found.n_b, "n_paired": found.n_paired,
        "n_single": found.n_a + found.n_b - 2 * found.n_paired, "method": found.method, "status": str(found.status),
        "reason": found.reason,
    }  # fmt: skip


def _undecided(name: str, summary: str, groups: Sequence[str], why: str, test: str = "contrast") -> Row:
    group = groups[0] if len(groups) == 1 else None
    return {"test": test, "group": group, "metric": name, "summary": summary, "status": "undecided", "reason": why}


def trends(values: Values, order: Sequence[str]) -> list[Row]:
    """Rows of ``TESTS``: Page's L over the groups in `order`, within seeds that all of them have; two-sided."""
    from scipy.stats import page_trend_test

    if not order:
        return []
    members = [{values.subjects[n]: n for n in values.members(group)} for group in order]
    seeds = sorted(set.intersection(*(set(group) for group in members)))
    if len(order) < 3 or len(seeds) < inference.FEWEST:
        why = f"{len(order)} groups with {len(seeds)} seeds in common; 3 and {inference.FEWEST} are needed"
        return [_undecided(name, summary, (), why, "trend") for name, summary in values.measures]
    rows: list[Row] = []
    for column, (name, summary) in enumerate(values.measures):
        data = np.array([[values.numbers[group[seed], column] for group in members] for seed in seeds])
        data = data[~np.isnan(data).any(1)]
        if len(data) < inference.FEWEST or np.all(data == data[:, :1]):
            rows.append(_undecided(name, summary, (), f"{len(data)} seeds have a value, or all are equal", "trend"))
            continue
        up, down = (page_trend_test(side, method="asymptotic") for side in (data, data[:, ::-1]))
        rises = up.pvalue <= down.pvalue
        rows.append(
            {"test": "trend", "group": order[-1], "baseline": order[0], "metric": name, "summary": summary,
             "mean_group": float(data[:, -1].mean()), "mean_baseline": float(data[:, 0].mean()),
             "difference": float((data[:, -1] - data[:, 0]).mean()),
             "p": float(min(1.0, 2.0 * min(up.pvalue, down.pvalue))), "n_group": len(data), "n_baseline": len(data),
             "n_paired": len(data), "n_single": 0, "method": f"Page's L, {'rising' if rises else 'falling'}",
             "status": "ok", "reason": ""}
        )  # fmt: skip
    for row, adjusted in zip(rows, inference.holm([row.get("p") for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def intervals(values: Values, level: float = 0.95) -> list[Row]:
    """Rows of ``GROUPS``: mean and interval of every measure over the videos of a group."""
    rows: list[Row] = []
    for group in values.groups:
        for (name, summary), column in zip(values.measures, values.numbers[values.members(group)].T, strict=True):
            found = inference.interval(column[~np.isnan(column)].tolist(), level=level)
            rows.append(
                {"group": group, "metric": name, "summary": summary, "mean": found.mean, "low": found.low,
                 "high": found.high, "sd": found.sd, "n": found.n, "status": str(found.status),
                 "reason": found.reason}
            )  # fmt: skip
    return rows


def bands(values: Values, crossed: Sequence[Row], *, seed: int, draws: int, level: float = 0.95) -> list[Row]:
    """Rows of ``GROUP_STEPS``: the mean of every metric by step, and a band that holds over all steps at once.

    A band rests on the videos that have the metric at every step; where they are too few, there is none.
    """
    of_groups = {(row["group"], row["step"]): row for row in crossed}
    shared = ("corridor_width", "divergence", "dimension_twonn", "dimension_levina_bickel", "n_dimension")
    rows: list[Row] = []
    for group in values.groups:
        of_group = values.curves[values.members(group)]
        for k, name in enumerate(values.metrics):
            curves = of_group[:, :, k]
            whole = curves[~np.isnan(curves).any(1)]
            low = high = np.full(len(values.steps), np.nan)
            if len(whole) >= inference.MINIMUM and np.ptp(whole, axis=0).max(initial=0.0) > 0:
                generator = stream(seed, f"{group} / {name}", "latents bands")
                _, low, high = inference.simultaneous_band(whole, generator, level=level, draws=draws)
            for at, step in enumerate(values.steps):
                known = curves[:, at][~np.isnan(curves[:, at])]
                about = of_groups.get((group, step), {})
                mean = float(known.mean()) if len(known) else None
                ends = {"band_low": _known(low[at]), "band_high": _known(high[at])}
                row = {"group": group, "step": step, "metric": name, "mean": mean, **ends, "n": len(known)}
                rows.append(row | {key: about.get(key) for key in shared})
    return rows


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
