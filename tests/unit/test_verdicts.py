import pytest

from longtake.verdicts import Span, band, dependency_class, kept, verdict


@pytest.mark.parametrize(
    ("pearson", "spearman", "expected"),
    [
        (0.71, -0.8, "motion-dependent"),
        (0.9, 0.7, "moderate"),
        (0.31, 0.0, "moderate"),
        (0.1, -0.31, "moderate"),
        (0.3, -0.3, "static"),
        (None, None, None),
        # One undefined: only what would hold whatever the other were.
        (None, 0.9, None),
        (None, -0.7, "moderate"),
        (0.5, None, "moderate"),
        (0.2, None, None),
    ],
)
def test_dependency_class(pearson, spearman, expected):
    assert dependency_class(pearson, spearman) == expected


@pytest.mark.parametrize("unknown_is", [0.0, 0.3, 0.31, 0.7, 0.71, 1.0])
@pytest.mark.parametrize("known", [0.0, 0.3, 0.31, 0.5, 0.7, 0.71, 1.0])
def test_an_undefined_correlation_never_contradicts_a_defined_one(known, unknown_is):
    told = dependency_class(known, None)
    assert told is None or told == dependency_class(known, unknown_is)


def test_what_is_kept():
    assert kept(0.8) == 0.8
    assert kept(2.0) == 0.5
    assert kept(1.0, 0.25) == 0.25
    assert kept(0.4, 0.9) == 0.4
    assert kept(1.0, -1.0) == 0.0
    assert kept(0.0) == 0.0
    assert kept(None, 0.9) is None


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


HIGH, LOW, MIDDLE = Span(0.8, 1.0), Span(0.0, 0.4), Span(0.55, 0.65)


@pytest.mark.parametrize(
    ("frozen", "shuffled", "expected"),
    [
        (HIGH, HIGH, "appearance"),
        (LOW, HIGH, "motion"),
        (LOW, Span(None, None), "motion"),
        (HIGH, LOW, "order"),
        (HIGH, MIDDLE, "mixed"),
        (MIDDLE, HIGH, "mixed"),
        (Span(0.6, 0.9), HIGH, "undecided"),
        (HIGH, Span(0.4, 0.9), "undecided"),
        (Span(None, None), HIGH, "undecided"),
        (HIGH, Span(None, None), "undecided"),
    ],
)
def test_verdicts(frozen, shuffled, expected):
    assert verdict(frozen, shuffled) == expected
