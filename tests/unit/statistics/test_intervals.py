"""Intervals whose numbers can be worked out on paper, and their coverage in seeded studies."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma
from statsmodels.stats.weightstats import DescrStatsW

from longtake.statistics import inference
from longtake.streams import stream


def test_t_on_each_scale_against_statsmodels():
    values = stream(1, "intervals", "shares").uniform(0.1, 0.9, 9)
    for scale, there, back in (
        ("identity", lambda x: x, lambda x: x),
        ("log", np.log, np.exp),
        ("logit", lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x))),
        ("fisher", np.arctanh, np.tanh),
    ):
        found = inference.interval(values, scale=scale, level=0.9)
        low, high = DescrStatsW(there(values)).tconfint_mean(0.1)
        assert (found.low, found.high) == pytest.approx((back(low), back(high)))
        assert (found.mean, found.n, found.status) == (pytest.approx(values.mean()), 9, "ok")
        assert found.centre == pytest.approx(back(there(values).mean()))


@pytest.mark.parametrize("values", [[], [4.0], [4.0, 8.0], [1.0, 2.0, 3.0, 4.0]])
def test_too_few_give_a_point_and_no_interval(values):
    found = inference.interval(values)
    assert (found.status, found.low, found.high, found.method) == ("undecided", None, None, "none")
    assert found.reason
    assert found.mean == (sum(values) / len(values) if values else None)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -0.5, 1.5])
def test_a_value_that_is_no_share_fails_the_interval(strange):
    found = inference.interval([0.5, 0.4, 0.3, 0.6, strange, 0.5], scale="logit")
    assert (found.status, found.mean) == ("failed", None)
    assert found.reason.startswith("1 of 6")


def test_equal_values_have_no_width_and_equal_shares_of_one_have_a_bound():
    found = inference.interval([2.0] * 6)
    assert (found.low, found.high) == (2.0, 2.0)
    ones = inference.interval([1.0] * 5, scale="logit")
    # A mean share of .478 makes five ones in 2.5 % of studies.
    assert (ones.low, ones.high) == (pytest.approx(0.025**0.2), 1.0)
    none = inference.interval([0.0] * 5, scale="logit")
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025**0.2))


def test_a_share_on_the_border_is_cut_to_the_range():
    found = inference.interval([1.0, 1.0, 1.0, 1.0, 0.6], scale="logit")
    assert found.method == "t over videos"
    assert 0.6 < found.low < found.mean < found.high == 1.0


def test_wilson_against_scipy():
    found = inference.wilson(8, 10)
    judge = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (found.mean, found.low, found.high) == (0.8, pytest.approx(judge.low), pytest.approx(judge.high))
    assert inference.wilson(0, 5).low == 0.0
    assert inference.wilson(5, 5).high == 1.0
    assert inference.wilson(1, 2).status == "undecided"


def test_accuracy_in_groups_by_hand():
    # Residuals of 4, 8, 6, 6, 6 of ten against .6: -2, 2, 0, 0, 0; error sqrt(5 / 4 * 8) / 50.
    found = inference.ratio_interval([4, 8, 6, 6, 6], [10] * 5)
    half = stats.t.ppf(0.975, 4) * math.sqrt(10) / 50 / 0.24
    assert found.mean == 0.6
    assert math.log(found.high / (1 - found.high)) == pytest.approx(math.log(1.5) + half)
    assert inference.ratio_interval([10] * 5, [10] * 5).low == pytest.approx(0.025**0.2)
    assert inference.ratio_interval([5, 5], [10, 10]).status == "undecided"


def covered(draw, n, truth, scale="identity", times=1500):
    found = [inference.interval(draw(n), scale=scale) for _ in range(times)]
    return np.mean([each.low <= truth <= each.high for each in found])


@pytest.mark.parametrize("n", [5, 10])
def test_intervals_cover_what_they_say(n):
    rng = stream(2, "intervals", f"coverage {n}")
    assert covered(lambda n: rng.normal(3, 2, n), n, 3.0) == pytest.approx(0.95, abs=0.02)
    assert covered(lambda n: rng.lognormal(0, 1, n), n, 1.0, "log") == pytest.approx(0.95, abs=0.02)
    # The interval is of the mean logit: of a beta distribution the difference of two digammas.
    logit = float(digamma(8) - digamma(2))
    assert covered(lambda n: rng.beta(8, 2, n), n, 1 / (1 + math.exp(-logit)), "logit") > 0.93
    assert covered(lambda n: np.tanh(rng.normal(0.5, 0.6, n)), n, math.tanh(0.5), "fisher") == pytest.approx(
        0.95, abs=0.02
    )


@pytest.mark.parametrize("n", [5, 12])
def test_a_band_holds_the_whole_curve(n):
    rng = stream(3, "bands", f"coverage {n}")
    held = 0
    for _ in range(300):
        curves = rng.normal(0, 1, (n, 20)).cumsum(axis=1)
        _, low, high = inference.simultaneous_band(curves, rng, draws=400)
        held += bool(((low <= 0) & (high >= 0)).all())
    assert held / 300 > 0.92


def test_a_band_of_few_or_equal_curves():
    mean, low, high = inference.simultaneous_band(np.array([[1.0, 2.0]] * 4), stream(1, "a", "b"))
    assert mean.tolist() == [1.0, 2.0]
    assert np.isnan(low).all()
    curves = np.array([[1.0, k] for k in range(6)])
    mean, low, high = inference.simultaneous_band(curves, stream(1, "a", "b"))
    assert (low[0], high[0]) == (1.0, 1.0)
    assert low[1] < 2.5 < high[1]
    # One point: all 64 signs, and the widest that Student would call 95 %.
    half = stats.t.ppf(0.975, 5) * curves[:, 1].std(ddof=1) / math.sqrt(6)
    assert high[1] - 2.5 == pytest.approx(half, rel=0.5)
