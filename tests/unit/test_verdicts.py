import math

import pytest

from longtake.verdicts import (
    Borders,
    Span,
    Tested,
    band,
    folded,
    kept,
    log_ratio,
    relation,
    relation_class,
    verdict,
)


@pytest.mark.parametrize(
    ("pearson", "spearman", "expected"),
    [
        (0.71, -0.8, "strong"),
        (0.9, 0.7, "moderate"),
        (0.31, 0.0, "moderate"),
        (0.1, -0.31, "moderate"),
        (0.3, -0.3, "weak"),
        (None, None, None),
        # One undefined: only what would hold whatever the other were.
        (None, 0.9, None),
        (None, -0.7, "moderate"),
        (0.5, None, "moderate"),
        (0.2, None, None),
    ],
)
def test_relation_class(pearson, spearman, expected):
    assert relation_class(pearson, spearman) == expected


@pytest.mark.parametrize("unknown_is", [0.0, 0.3, 0.31, 0.7, 0.71, 1.0])
@pytest.mark.parametrize("known", [0.0, 0.3, 0.31, 0.5, 0.7, 0.71, 1.0])
def test_an_undefined_correlation_never_contradicts_a_defined_one(known, unknown_is):
    told = relation_class(known, None)
    assert told is None or told == relation_class(known, unknown_is)


def test_what_is_kept():
    assert kept(0.8) == 0.8
    assert kept(2.0) == 0.5
    assert kept(1.0, 0.25) == 0.25
    # An answer four times as strong has changed as much as one of a quarter.
    assert kept(1.0, 4.0) == 0.25
    assert kept(0.4, 0.9) == 0.4
    assert kept(1.0, -1.0) == 0.0
    assert kept(0.0) == folded(-3.0) == 0.0
    assert kept(None, 0.9) is None


def test_a_gradient_that_vanished_has_a_logarithm():
    assert log_ratio(0.0) == pytest.approx(math.log(0.01))
    assert log_ratio(1e9) == pytest.approx(math.log(100))
    assert log_ratio(2.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.95, "appearance"),
        (0.9, "mostly appearance"),
        (0.7, "mixed"),
        (0.5, "mixed"),
        (0.49, "mostly motion"),
        (0.3, "mostly motion"),
        (0.29, "motion"),
        (None, None),
    ],
)
def test_bands(share, expected):
    assert band(share) == expected


HIGH, LOW, MIDDLE, NOTHING = Span(0.8, 1.0), Span(0.0, 0.4), Span(0.55, 0.65), Span(None, None)


@pytest.mark.parametrize(
    ("frozen", "shuffled", "expected"),
    [
        (HIGH, HIGH, "appearance"),
        (LOW, LOW, "motion"),
        (LOW, MIDDLE, "motion"),
        # Order may be lost: nothing need move.
        (LOW, HIGH, "several frames"),
        (LOW, NOTHING, "undecided"),
        (HIGH, LOW, "order"),
        (HIGH, MIDDLE, "mixed"),
        (MIDDLE, HIGH, "mixed"),
        (Span(0.6, 0.9), HIGH, "undecided"),
        (HIGH, Span(0.4, 0.9), "undecided"),
        (NOTHING, HIGH, "undecided"),
        (HIGH, NOTHING, "undecided"),
    ],
)
def test_verdicts(frozen, shuffled, expected):
    assert verdict(frozen, shuffled) == expected


def test_what_motionless_clips_do_not_keep_of_each_other_is_no_motion():
    assert verdict(LOW, LOW, Span(0.5, 0.9)) == "motion"
    assert verdict(LOW, LOW, Span(0.3, 0.9)) == "mixed"
    assert verdict(LOW, LOW, NOTHING) == "motion"


def test_borders_are_settings():
    assert verdict(MIDDLE, MIDDLE, borders=Borders(appearance=0.5, motion=0.3)) == "appearance"


def of(mean, low, high, p):
    return Tested(mean, low, high, p)


@pytest.mark.parametrize(
    ("signed", "size", "expected"),
    [
        (of(0.4, 0.2, 0.6, 0.01), of(0.2, 0.1, 0.3, 0.01), "with motion"),
        (of(-0.4, -0.6, -0.2, 0.01), of(0.2, 0.1, 0.3, 0.01), "against motion"),
        (of(0.0, -0.4, 0.4, 0.9), of(0.3, 0.2, 0.4, 0.01), "both ways"),
        (of(0.0, -0.1, 0.1, 0.9), of(0.0, -0.05, 0.05, 0.9), "no more than chance"),
        (of(0.0, -0.1, 0.1, 0.9), of(0.0, -0.2, 0.2, 0.9), "undecided"),
        (of(None, None, None, None), of(None, None, None, None), "undecided"),
    ],
)
def test_relations(signed, size, expected):
    assert relation(signed, size, 0.05) == expected
