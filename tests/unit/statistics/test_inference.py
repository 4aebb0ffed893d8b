"""Intervals and tests whose numbers can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from longtake.statistics import inference


def generator(key: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def test_bootstrap_of_equal_values_has_no_width() -> None:
    interval = inference.bootstrap_mean([2.0, 2.0, 2.0], generator())
    assert (interval.mean, interval.low, interval.high, interval.sd) == (2.0, 2.0, 2.0, 0.0)
    assert interval.status == "ok"


def test_bootstrap_percentiles_of_three_videos() -> None:
    # 27 equally likely resamples of 0, 3, 6: the mean is 0 or 6 in one of 27 each (3.7 %), so 2.5 % lies on
    # the ends.
    interval = inference.bootstrap_mean([0.0, 3.0, 6.0], generator())
    assert interval.mean == 3.0
    assert (interval.low, interval.high) == (0.0, 6.0)
    # One video of 0 and two of 3 give 3 of 27; cumulated 1/27 + 3/27 = 14.8 %: the 10 % point is 1.
    narrow = inference.bootstrap_mean([0.0, 3.0, 6.0], generator(), level=0.8)
    assert (narrow.low, narrow.high) == (1.0, 5.0)


def test_bootstrap_is_the_stream_and_nothing_else() -> None:
    values = list(np.linspace(0, 1, 9) ** 2)
    first = inference.bootstrap_mean(values, generator(5))
    assert first == inference.bootstrap_mean(values, generator(5))
    assert first.low != inference.bootstrap_mean(values, generator(6)).low


@pytest.mark.parametrize("values", [[], [4.0], [4.0, 8.0]])
def test_too_few_videos_give_no_interval(values: list[float]) -> None:
    interval = inference.bootstrap_mean(values, generator())
    assert interval.status == "undecided"
    assert interval.reason
    assert interval.low is None
    assert interval.high is None
    assert interval.mean == (None if not values else sum(values) / len(values))


def test_band_resamples_whole_videos() -> None:
    curves = np.array([[0.0, 1.0], [3.0, 1.0], [6.0, 1.0]])
    mean, low, high = inference.bootstrap_band(curves, generator())
    assert mean.tolist() == [3.0, 1.0]
    assert low.tolist() == [0.0, 1.0]
    assert high.tolist() == [6.0, 1.0]
    _, low, _ = inference.bootstrap_band(curves[:2], generator())
    assert np.isnan(low).all()


def test_wilson_against_the_closed_form() -> None:
    z = 1.959963984540054
    interval = inference.wilson(8, 10)
    centre = (0.8 + z * z / 20) / (1 + z * z / 10)
    half = z / (1 + z * z / 10) * math.sqrt(0.8 * 0.2 / 10 + z * z / 400)
    assert interval.mean == 0.8
    assert interval.low == pytest.approx(centre - half)
    assert interval.high == pytest.approx(centre + half)
    none = inference.wilson(0, 4)
    assert none.low == 0.0
    assert none.high == pytest.approx(z * z / (4 + z * z))
    assert inference.wilson(1, 2).status == "undecided"


def test_exact_permutation_of_separate_videos() -> None:
    a = {f"a{i}": v for i, v in enumerate([10.0, 11.0, 12.0])}
    b = {f"b{i}": v for i, v in enumerate([1.0, 2.0, 3.0])}
    result = inference.compare(a, b, generator())
    # 20 ways to split six videos; only the observed one and its mirror are as extreme.
    assert result.p == pytest.approx(2 / 20)
    assert result.method == "exact permutation, 20 rearrangements"
    assert result.difference == 9.0
    assert result.cliffs_delta == 1.0
    # Both variances are 1, so g = 9 (1 - 3 / 15).
    assert result.hedges_g == pytest.approx(9 * 0.8)


def test_videos_with_both_species_are_pairs() -> None:
    a = {f"v{i}": v for i, v in enumerate([10.0, 21.0, 33.0, 41.0])}
    b = {f"v{i}": v for i, v in enumerate([9.0, 20.0, 31.0, 40.0])}
    result = inference.compare(a, b, generator())
    # Signs of the differences 1, 1, 2, 1: all + or all - of 16; split freely it would be far from extreme.
    assert result.p == pytest.approx(2 / 16)
    assert result.n_paired == 4


def test_sampled_permutation_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = generator(3).normal(size=10)
    a = {f"a{i}": v for i, v in enumerate(values[:5] + 0.8)}
    b = {f"b{i}": v for i, v in enumerate(values[5:])}
    exact = inference.compare(a, b, generator())
    monkeypatch.setattr(inference, "EXACT_LIMIT", 0)
    monkeypatch.setattr(inference, "RESAMPLES", 2000)
    sampled = inference.compare(a, b, generator())
    assert exact.p is not None
    assert sampled.p is not None
    assert sampled.p == pytest.approx(exact.p, abs=0.05)


def test_two_videos_are_not_tested() -> None:
    result = inference.compare({"x": 1.0, "y": 2.0}, {"x": 5.0, "y": 6.0, "z": 7.0}, generator())
    assert result.status == "undecided"
    assert "2 videos" in result.reason
    assert result.p is None
    assert result.hedges_g is None
    assert result.mean_a == 1.5


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04, and never below the one before.
    assert inference.holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert inference.holm([0.9, 0.8]) == [1.0, 1.0]
