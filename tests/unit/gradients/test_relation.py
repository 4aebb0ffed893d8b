import numpy as np
import pytest

from longtake.gradients.relation import (
    Relation,
    best_lag,
    chance,
    mutual_information,
    peak_alignment,
    pearson,
    phase_coherence,
    relate,
    shifts,
)
from longtake.streams import stream

WAVE = np.sin(2 * np.pi * np.arange(30) / 10)


def rng(purpose="test"):
    return stream(1, "clip", purpose)


def test_pearson_by_hand():
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
    assert pearson(np.array([1.0, 2, 3]), np.array([0.0, 2, 1])) == pytest.approx(0.5)
    assert pearson(np.array([1.0, 2]), np.array([3.0, 3])) is None


def test_spearman_sees_order_only():
    x = np.arange(10.0)
    found = relate(x, np.exp(x))
    assert found.spearman == pytest.approx(1)
    assert found.pearson < 0.8


def test_mutual_information_by_hand():
    assert mutual_information(np.array([0.0, 0, 1, 1]), np.array([0.0, 0, 1, 1])) == pytest.approx(1)
    assert mutual_information(np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 0, 1])) == pytest.approx(0)
    # Joint (1/2, 0; 1/4, 1/4): 1/2 log2(4/3) + 1/4 log2(2/3) + 1/4 log2(2).
    expected = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25
    assert mutual_information(np.array([0.0, 0, 1, 1]), np.array([0.0, 0, 0, 1])) == pytest.approx(expected)
    assert mutual_information(np.ones(4), np.arange(4.0)) is None


@pytest.mark.parametrize("lag", [-5, -2, 0, 3])
def test_lag_is_positive_where_importance_follows_motion(lag):
    noise = rng().normal(size=60)
    importance, motion = noise[10:40], noise[10 + lag : 40 + lag]
    found, r = best_lag(importance, motion)
    assert found == lag
    assert r == pytest.approx(1)
    assert best_lag(np.ones(30), motion) == (None, None)


def test_peaks_align_within_two_frames():
    x, y = np.zeros(20), np.zeros(20)
    x[[4, 10, 16]] = 1
    y[[6, 13]] = 1
    assert peak_alignment(x, y) == pytest.approx(1 / 3)
    assert peak_alignment(y, x) == pytest.approx(1 / 2)
    assert peak_alignment(np.zeros(20), y) is None
    # A motion that never changes has no peaks to be near to; one that only rises has none either, but could have.
    assert peak_alignment(x, np.zeros(20)) is None
    assert peak_alignment(x, np.arange(20.0)) == 0


def test_phase_coherence():
    noise = rng().normal(size=30)
    assert phase_coherence(noise, 3 * noise + 2) == pytest.approx(1)
    assert phase_coherence(noise, -noise) == pytest.approx(1)
    # An impulse delayed by 1 of 4 frames: phases pi/2 at k = 1 and pi at k = 2: |i - 1| / 2.
    assert phase_coherence(np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 0])) == pytest.approx(2**0.5 / 2)
    assert phase_coherence(np.ones(8), noise[:8]) is None


def test_a_close_relation_is_found_and_bracketed():
    found = relate(WAVE + 0.1 * rng().normal(size=30), WAVE)
    assert found.pearson > 0.95
    assert found.detrended_low < found.detrended < found.detrended_high
    noise = rng().normal(size=30)
    close = relate(noise + 0.3 * rng("more").normal(size=30), noise)
    assert close.detrended_p < 0.001
    assert close.effective_n > 20
    # What has no zero is above its chance level where there is something, and the best lag is sure.
    assert close.mutual_information > close.mutual_information_chance + 0.3
    assert close.phase_coherence > close.phase_coherence_chance + 0.3
    assert (close.best_lag, close.best_lag_p) == (0, pytest.approx(1 / 20))


def test_chance_is_the_level_of_unrelated_series():
    found = [relate(*rng(str(k)).normal(size=(2, 30))) for k in range(40)]
    for name in ("mutual_information", "phase_coherence", "peak_alignment"):
        above = [
            getattr(each, name) - getattr(each, f"{name}_chance") for each in found if getattr(each, name) is not None
        ]
        assert abs(np.mean(above)) < 2.5 * np.std(above) / np.sqrt(len(above))
    assert np.mean([each.mutual_information for each in found]) > 0.25
    assert np.mean([each.best_lag_p <= 0.05 for each in found]) < 0.2


def test_chance_by_hand():
    # Of twelve frames one shift is more than five frames either way: by six.
    x, y = np.arange(12.0), np.arange(12.0) ** 2
    assert len(shifts(y)) == 1
    assert chance(pearson, x, y) == pytest.approx(pearson(x, np.roll(y, 6)))


def test_constant_and_short_series_have_no_relation():
    assert relate(np.ones(30), np.ones(30)) == Relation()
    assert relate(WAVE[:7], WAVE[:7]) == Relation()
    assert relate(np.full(30, np.nan), WAVE) == Relation()
    # Constant up to rounding: thirds of a sum that is taken in another order.
    rounded = 0.1 + 1e-17 * np.arange(30) + np.where(np.arange(30) % 2, 1.4e-17, 0)
    assert relate(rounded, WAVE) == Relation()
