"""Metrics, intervals that keep their level, and probabilities that mean what they say."""

import numpy as np
import pytest
import sklearn.metrics as judge

from longtake.statistics.inference import against_zero
from longtake.training import calibrate, metrics
from longtake.training.metrics import Scored


def scored(groups=20, each=5, *, likeness=0.6, skill=0.7, seed=0, classes=2):
    """Predictions whose errors are alike within a group, as an intraclass correlation of `likeness`."""
    random = np.random.default_rng(seed)
    n = groups * each
    labels = np.repeat(np.arange(groups) % classes, each)
    shared, own = np.repeat(random.standard_normal(groups), each), random.standard_normal(n)
    latent = np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own
    from scipy.stats import norm

    right = latent < norm.ppf(skill)
    called = np.where(right, labels, (labels + 1) % classes)
    probabilities = np.full((n, classes), 0.2 / max(classes - 1, 1))
    probabilities[np.arange(n), called] = 0.8
    return Scored(
        labels, called, probabilities, np.repeat(np.arange(groups), each), np.repeat(np.arange(groups) % 5, each)
    )


def test_they_are_those_of_scikit_learn():
    one = scored(classes=3, seed=4)
    found = metrics.overall(one, 3)
    assert found["accuracy"] == pytest.approx(judge.accuracy_score(one.labels, one.called))
    assert found["balanced_accuracy"] == pytest.approx(judge.balanced_accuracy_score(one.labels, one.called))
    macro = {"average": "macro", "zero_division": 0}
    assert found["macro_f1"] == pytest.approx(judge.f1_score(one.labels, one.called, **macro))
    assert found["macro_precision"] == pytest.approx(judge.precision_score(one.labels, one.called, **macro))
    assert found["log_loss"] == pytest.approx(judge.log_loss(one.labels, one.probabilities))
    assert np.array_equal(metrics.confusion(one, 3), judge.confusion_matrix(one.labels, one.called))
    single = metrics.per_class(one, 1)
    assert single["recall"] == pytest.approx(judge.recall_score(one.labels, one.called, labels=[1], average="macro"))


def test_auc_is_taken_within_folds():
    """Two folds whose scores have scales of their own: pooled they are worse than each is."""
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    high = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    one = Scored(labels, labels, np.stack([1 - high, high], 1), labels, np.repeat([0, 1], 4))
    assert metrics.pair_weighted_auc(one, 1) == 1.0
    assert judge.roc_auc_score(labels, high) < 1


def test_an_absent_class_has_no_number():
    one = scored()
    without = one.part(one.labels == 0)
    assert metrics.per_class(without, 1)["recall"] is None
    assert metrics.per_class(without, 1)["roc_auc"] is None
    assert metrics.overall(without, 2)["roc_auc"] is None


def test_few_groups_have_no_interval():
    few = scored(groups=4)
    found = metrics.intervals(few, lambda part: {"accuracy": 1.0}, seed=1, unit="x")
    assert (found["accuracy"].low, found["accuracy"].status) == (None, "undecided")
    assert metrics.cluster_t(few) is None


@pytest.mark.parametrize(("groups", "each", "likeness"), [(60, 5, 0.6), (20, 10, 0.6)])
def test_intervals_over_groups_keep_their_level(groups, each, likeness):
    """A 95 % interval covers the truth in 200 simulated studies; one over videos would in 55 to 66 % of them."""
    held = {"bootstrap": 0, "t": 0, "wilson": 0}
    runs = 200
    for seed in range(runs):
        one = scored(groups, each, likeness=likeness, skill=0.7, seed=seed)
        right = (one.called == one.labels).astype(float)
        span = metrics.intervals(
            one, lambda part: {"accuracy": float((part.called == part.labels).mean())}, seed=seed, unit="x", draws=400
        )["accuracy"]
        held["bootstrap"] += span.low <= 0.7 <= span.high
        low, high = metrics.cluster_t(one)
        held["t"] += low <= 0.7 <= high
        spread = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(right))
        held["wilson"] += abs(right.mean() - 0.7) <= spread
    assert held["bootstrap"] / runs >= 0.89
    assert held["t"] / runs >= 0.90
    assert held["wilson"] / runs < 0.8


def test_signs_of_groups_keep_their_level_where_videos_do_not():
    alarms = {"groups": 0, "videos": 0}
    runs = 200
    from scipy.stats import binomtest

    for seed in range(runs):
        one, other = scored(24, 8, likeness=0.8, seed=seed), scored(24, 8, likeness=0.8, seed=10_000 + seed)
        sums = metrics.group_sums(one, other)
        alarms["groups"] += (against_zero(sums, np.random.default_rng(seed), draws=999).p or 1) <= 0.05
        a, b = one.called == one.labels, other.called == other.labels
        apart = int((a & ~b).sum()), int((~a & b).sum())
        alarms["videos"] += binomtest(apart[0], sum(apart)).pvalue <= 0.05 if sum(apart) else 0
    assert alarms["groups"] / runs <= 0.10
    assert alarms["videos"] / runs > 0.2


def test_a_temperature_is_found():
    random = np.random.default_rng(1)
    logits = random.standard_normal((4000, 3)) * 2
    labels = np.array([random.choice(3, p=row) for row in calibrate.softmax(logits)])
    assert calibrate.temperature(logits * 3, labels) == pytest.approx(3, rel=0.1)
    assert calibrate.calibration_error(calibrate.softmax(logits), labels) < 0.03
    assert calibrate.calibration_error(calibrate.softmax(logits * 3), labels) > 0.1


def test_a_threshold_is_the_best_and_nearest_the_middle():
    assert calibrate.threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1])) == pytest.approx(0.25)
    assert calibrate.threshold(np.array([0.2, 0.8]), np.array([1, 1])) == 0.5
