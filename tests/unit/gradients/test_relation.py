import numpy as np
import pytest

from longtake.gradients.relation import (
    Relation,
    best_lag,
    block_draws,
    block_length,
    block_permutations,
    mutual_information,
    peak_alignment,
    pearson,
    phase_coherence,
    relate,
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
    found = relate(x, np.exp(x), rng(), 100)
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
    assert peak_alignment(x, np.zeros(20)) == 0


def test_phase_coherence():
    noise = rng().normal(size=30)
    assert phase_coherence(noise, 3 * noise + 2) == pytest.approx(1)
    assert phase_coherence(noise, -noise) == pytest.approx(1)
    # An impulse delayed by 1 of 4 frames: phases pi/2 at k = 1 and pi at k = 2: |i - 1| / 2.
    assert phase_coherence(np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 0])) == pytest.approx(2**0.5 / 2)
    assert phase_coherence(np.ones(8), noise[:8]) is None


def test_permutations_keep_every_frame_once_and_most_neighbours():
    rows = block_permutations(30, 200, rng())
    assert block_length(30) == 6
    assert (np.sort(rows, axis=1) == np.arange(30)).all()
    # Five blocks: at most four joints where the next frame is not the following one.
    assert ((np.diff(rows, axis=1) % 30 != 1).sum(axis=1) <= 4).all()
    assert len({tuple(row) for row in rows.tolist()}) > 150


def test_draws_are_blocks_with_replacement():
    rows = block_draws(30, 200, rng())
    assert rows.shape == (200, 30)
    assert (np.diff(rows.reshape(200, 5, 6), axis=2) % 30 == 1).all()
    assert any(len(set(row)) < 30 for row in rows.tolist())


def test_a_close_relation_is_found_and_bracketed():
    found = relate(WAVE + 0.1 * rng().normal(size=30), WAVE, rng(), 500)
    assert found.pearson > 0.95
    assert found.pearson_low < found.pearson < found.pearson_high
    noise = rng().normal(size=30)
    assert relate(noise + 0.3 * rng("more").normal(size=30), noise, rng(), 500).pearson_p < 0.01


def test_p_is_honest_for_autocorrelated_noise():
    """Independent random walks: naive permutation calls 60 % of them related, blocks far fewer."""
    draw = rng()
    walks = [np.cumsum(draw.normal(size=(2, 30)), axis=1) for _ in range(80)]
    with_blocks = np.mean([relate(x, y, draw, 100).pearson_p < 0.05 for x, y in walks])
    naive = np.mean(
        [
            np.mean([abs(pearson(x, draw.permutation(y))) >= abs(pearson(x, y)) for _ in range(100)]) < 0.05
            for x, y in walks
        ]
    )
    assert with_blocks < 0.6 * naive
    white = [draw.normal(size=(2, 30)) for _ in range(100)]
    assert np.mean([relate(x, y, draw, 100).pearson_p < 0.05 for x, y in white]) < 0.12


def test_the_same_stream_gives_the_same_numbers():
    y = rng("y").normal(size=30)
    assert relate(WAVE, y, rng(), 200) == relate(WAVE, y, rng(), 200)


def test_constant_and_short_series_have_no_relation():
    assert relate(np.ones(30), np.ones(30), rng(), 100) == Relation()
    assert relate(WAVE[:7], WAVE[:7], rng(), 100) == Relation()
