"""Tests between groups: by hand, against scipy, and false alarms in seeded studies without any difference."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from longtake.statistics import inference
from longtake.statistics.inference import effects
from longtake.statistics.inference.permutation import design_of, least_p
from longtake.streams import stream


def named(values, prefix="v"):
    return {f"{prefix}{k}": float(value) for k, value in enumerate(values)}


def rng(purpose):
    return stream(4, "comparison", purpose)


def test_all_splits_of_separate_groups():
    found = inference.compare(named([10, 11, 12, 13], "a"), named([1, 2, 3, 4], "b"), rng("x"))
    # 70 ways to split eight; only the found one and its mirror are as extreme.
    assert found.p == found.p_least == pytest.approx(2 / 70)
    assert found.method == "studentised exact permutation, 70 rearrangements"
    assert (found.difference, found.cliffs_delta, found.status) == (9.0, 1.0, "ok")
    assert found.hedges_g == pytest.approx(9 / math.sqrt(5 / 3) * (1 - 3 / 23))


def test_subjects_of_both_groups_are_pairs():
    a, b = named([10, 21, 33, 41, 52, 61]), named([9, 20, 31, 40, 50, 60])
    found = inference.compare(a, b, rng("x"))
    assert (found.n_paired, found.p) == (6, 2 / 64)
    # Less than the spread between subjects allows, since it is that of the pairs' differences.
    low, high = found.difference_span
    judge = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval(0.95)
    assert (low, high) == pytest.approx((judge.low, judge.high))


def test_welch_where_none_is_a_pair():
    x, y = rng("x").normal(0, 1, 7), rng("y").normal(0, 4, 12)
    found = inference.compare(named(x, "a"), named(y, "b"), rng("z"))
    judge = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    assert found.difference_span == pytest.approx((judge.low, judge.high))


@pytest.mark.parametrize("paired", [True, False])
def test_p_against_scipy(paired):
    x, y = rng("x").normal(0.8, 1, 6), rng("y").normal(0, 1, 6)
    found = inference.compare(named(x, "a"), named(y, "a" if paired else "b"), rng("z"))

    def statistic(x, y, axis):
        return stats.ttest_rel(x, y, axis=axis)[0] if paired else stats.ttest_ind(x, y, axis=axis, equal_var=False)[0]

    kind = "samples" if paired else "independent"
    judge = stats.permutation_test((x, y), statistic, permutation_type=kind, n_resamples=np.inf, vectorized=True)
    assert found.p == pytest.approx(judge.pvalue)


def test_drawn_rearrangements_agree_with_all(monkeypatch):
    a, b = named(rng("x").normal(1, 1, 9)), named(rng("y").normal(0, 1, 9), "w") | {"v0": 0.2, "v1": 0.4}
    every = inference.compare(a, b, rng("z"), draws=10**6)
    drawn = inference.compare(a, b, rng("z"), draws=20_000)
    assert "exact" in every.method
    assert "draws" in drawn.method
    assert drawn.p == pytest.approx(every.p, rel=0.2)


def test_what_is_settled_takes_no_more_draws():
    """Of a test that finds nothing two hundred draws as large settle p; what is found takes them all."""
    nothing = inference.compare(named(rng("x").normal(0, 1, 15)), named(rng("y").normal(0, 1, 15), "w"), rng("z"))
    runs = int(nothing.method.split()[-2])
    assert runs < 10_000
    assert nothing.p == 200 / runs
    apart = inference.compare(named(np.arange(15.0)), named(np.arange(15.0) + 50, "w"), rng("z"))
    assert "10000 draws" in apart.method
    assert apart.p == pytest.approx(1 / 10_001)


def test_too_few_and_too_few_ways():
    few = inference.compare(named([1, 2, 3]), named([5, 6, 7, 8], "b"), rng("x"))
    assert (few.status, few.p, few.mean_a) == ("undecided", None, 2.0)
    assert few.reason == "3 videos, at least 4 are needed"
    pairs = inference.compare(named([1, 2, 3, 4]), named([2, 4, 6, 8]), rng("x"))
    assert (pairs.status, pairs.p, pairs.p_least) == ("undecided", 2 / 16, 2 / 16)
    equal = inference.compare(named([1] * 6), named([1] * 6, "b"), rng("x"))
    assert (equal.status, equal.p, equal.reason) == ("undecided", 1.0, "all values are equal")
    strange = inference.compare(named([1, 2, 3, math.nan]), named([1, 2, 3, 4], "b"), rng("x"))
    assert strange.status == "failed"


def test_ties_count_despite_rounding():
    # Thirds and sevenths: sums in another order differ in the last bits.
    a, b = named([1 / 3, 2 / 3, 1 / 7, 1 / 3]), named([1 / 7, 1 / 3, 2 / 3, 1 / 3], "b")
    assert inference.compare(a, b, rng("x")).p == 1.0


def test_constants_that_differ_are_told_apart():
    found = inference.compare(named([2, 2, 2, 2]), named([1, 1, 1, 1], "b"), rng("x"))
    assert (found.p, found.hedges_g) == (2 / 70, None)
    assert found.difference_span == (None, None)


def test_the_least_p_by_hand():
    sides = [named(np.arange(float(n)), prefix) for n, prefix in ((4, "a"), (6, "b"))]
    design = design_of(*({k: np.array([v]) for k, v in side.items()} for side in sides))
    assert least_p(design, 100) == pytest.approx(1 / math.comb(10, 4))


def test_effect_sizes_know_pairs():
    base = rng("x").normal(0, 5, 20)
    pairs = effects.Groups(base + 1 + rng("y").normal(0, 0.5, 20), base, 20)
    apart = effects.Groups(pairs.a, pairs.b, 0)
    for of in (effects.hedges_interval, effects.cliffs_interval):
        (low, high), (wide_low, wide_high) = of(pairs, 0.95), of(apart, 0.95)
        assert wide_low < low < high < wide_high


def test_many_measures_at_once():
    """What one group has alone is found among thirty that show nothing, where Holm finds nothing (12 pairs)."""
    names = [f"m{k}" for k in range(30)]
    values = rng("x").normal(size=(2, 12, 30))
    values[0, :, 7] += 4
    a, b = ({f"v{k}": row for k, row in enumerate(each)} for each in values)
    found = inference.compare_many(names, a, b, rng("y"))
    assert found["m7"].p_family < 0.05
    assert found["m7"].p <= found["m7"].p_family
    assert inference.holm([each.p for each in found.values()])[7] > found["m7"].p_family
    assert all(each.p_family > 0.05 for name, each in found.items() if name != "m7")
    # A measure alone has its own p: the family is of one.
    alone = inference.compare_many(["m7"], *({k: row[[7]] for k, row in each.items()} for each in (a, b)), rng("z"))
    assert alone["m7"].p == alone["m7"].p_family == found["m7"].p


def test_a_subject_without_a_measure_counts_in_the_others():
    values = rng("x").normal(size=(2, 6, 2))
    values[0, 2, 1] = np.nan
    a, b = ({f"v{k}": row for k, row in enumerate(each)} for each in values)
    found = inference.compare_many(["one", "two"], a, b, rng("y"))
    assert (found["one"].n_a, found["one"].n_paired) == (6, 6)
    assert (found["two"].n_a, found["two"].n_b, found["two"].n_paired) == (5, 6, 5)
    assert 0 < found["two"].p <= 1


def test_one_group_against_zero_flips_signs():
    found = inference.against_zero(named([1, 2, 3, 4, 5, 6.5]), rng("x"))
    assert (found.p, found.n_a, found.hedges_g) == (2 / 64, 6, None)
    assert found.difference_span[0] > 0


def alarms(draw, times, **options):
    found = [inference.compare(*draw(), rng(f"test {k}"), draws=199, **options) for k in range(times)]
    return np.mean([each.p <= 0.05 for each in found])


def test_the_level_holds_where_spreads_and_sizes_differ():
    data = rng("level")

    def unequal(n, sd):
        return lambda: (named(data.normal(0, sd, n), "a"), named(data.normal(0, 1, 10), "b"))

    # Raw differences give .28 at three against ten with spreads of 3 : 1; three are no longer tested.
    assert alarms(unequal(6, 3), 250) < 0.11
    assert alarms(unequal(8, 1), 250) < 0.09

    def mixed():
        base = data.normal(0, 2, 6)
        pairs = named(base + data.normal(0, 1, 6)), named(base + data.normal(0, 1, 6))
        return pairs[0] | named(data.normal(0, 2, 4), "a"), pairs[1] | named(data.normal(0, 2, 5), "b")

    assert alarms(mixed, 250) < 0.09


def test_false_findings_of_a_family_hold_their_level():
    data, names, wrong = rng("families"), [f"m{k}" for k in range(40)], 0
    for study in range(80):
        values = data.normal(size=(2, 12, 40)) + data.normal(size=(2, 12, 1))
        a, b = ({f"v{k}": row for k, row in enumerate(each)} for each in values)
        found = inference.compare_many(names, a, b, rng(f"family {study}"), draws=199)
        wrong += any(each.p_family <= 0.05 for each in found.values())
    assert wrong / 80 < 0.12


def test_an_omnibus_holds_its_level_and_finds_what_is_there():
    data = rng("omnibus")

    def study(shift):
        groups = {f"s{k}": named(data.normal(shift * k, 1 + k / 2, 8), f"s{k}") for k in range(3)}
        groups["s0"] |= {"s1-both": data.normal()}
        groups["s1"] |= {"s1-both": data.normal(shift)}
        return inference.omnibus(groups, data, draws=199)

    null = [study(0.0).p <= 0.05 for _ in range(200)]
    assert np.mean(null) < 0.11
    assert np.mean([study(5.0).p <= 0.05 for _ in range(40)]) > 0.8


def test_an_omnibus_of_too_few():
    found = inference.omnibus({"a": named([1, 2, 3]), "b": named([1, 2, 3, 4], "b")}, rng("x"))
    assert (found.status, found.p) == ("undecided", None)
    equal = inference.omnibus({name: named([1] * 5, name) for name in "abc"}, rng("x"))
    assert equal.reason == "all values are equal"


def test_families():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04, and never below the one before.
    assert inference.holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert inference.holm([0.9, 0.8]) == [1.0, 1.0]
    assert inference.benjamini_hochberg([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.04, 0.04])
    # .03 can never be among two at .05; alone it can.
    assert inference.deciding([0.03, 0.001, 0.2, None], 0.05) == [False, True, False, False]
    assert inference.deciding([0.03, 0.2], 0.05) == [True, False]
    assert inference.draws_for(812, 0.05, 2000) * 0.05 / 812 >= 10
    assert inference.draws_for(1, 0.05, 2000) == 2000


def test_families_against_statsmodels():
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    p = rng("p").uniform(0, 0.2, 20)
    assert inference.holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert inference.benjamini_hochberg(p.tolist()) == pytest.approx(multipletests(p, method="fdr_bh")[1].tolist())


@pytest.mark.parametrize(("phi", "most"), [(0.0, 0.07), (0.5, 0.08), (0.9, 0.09), (0.95, 0.09)])
def test_series_that_have_nothing_to_do_with_each_other(phi, most):
    data, times, n = rng(f"series {phi}"), 1000, 30
    noise = data.normal(size=(times, 2, n + 100))
    series = np.zeros_like(noise)
    for k in range(1, n + 100):
        series[..., k] = phi * series[..., k - 1] + noise[..., k]
    found = [inference.relate_series(x[-n:], y[-n:]) for x, y in series]
    assert np.mean([each.p <= 0.05 for each in found]) < most
    assert np.mean([each.low <= 0 <= each.high for each in found]) > 0.92


def test_two_trends_are_no_relation_and_a_relation_is_found():
    data, time = rng("trends"), np.arange(30.0)
    pairs = [(time * 0.2 + data.normal(size=30), -time * 0.2 + data.normal(size=30)) for _ in range(400)]
    assert np.mean([inference.relate_series(x, y).p <= 0.05 for x, y in pairs]) < 0.08
    x = data.normal(size=30)
    found = inference.relate_series(x, x + 0.5 * data.normal(size=30))
    assert found.p < 0.001
    assert found.low > 0.5
    assert inference.relate_series(x, np.full(30, 0.1) * 3 + 1e-17 * np.arange(30)) is None
    assert inference.relate_series(x, 5.0 - time) is None
    assert 4 <= inference.relate_series(np.sin(time / 5), np.cos(time / 5)).effective_n < 12


def test_no_pair_of_measures_shares_a_generator_state():
    values = {f"v{k}": float(x) for k, x in enumerate(rng("x").normal(size=20))}
    zeros = dict.fromkeys(itertools.islice(values, 20), 0.0)
    first, second = (inference.compare(values, zeros, rng("same"), draws=500) for _ in range(2))
    assert first == second
