import random

import pytest

from longtake.planning.caching import reserved
from longtake.planning.heap import live_peak

MIB = 2**20


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1], 2),
        ([MIB], 2),
        ([MIB, MIB], 2),
        ([MIB, MIB, 1], 4),
        ([MIB + 1], 20),
        ([5 * MIB] * 4, 20),
        ([5 * MIB] * 5, 40),
        ([9 * MIB, 9 * MIB, 9 * MIB], 40),
        ([10 * MIB], 10),
        ([11 * MIB], 12),
        ([1, 5 * MIB, 11 * MIB], 22),
        ([1, 5 * MIB, 16 * MIB], 38),
    ],
)
def test_segments_by_hand(sizes, expected):
    assert reserved(list(enumerate(sizes))) == expected * MIB


def test_what_was_freed_serves_again():
    # Three blocks of one segment; the first two are freed and become one, which a larger tensor gets.
    events = [(0, 5 * MIB), (1, 5 * MIB), (2, 9 * MIB), (0, -1), (1, -1), (3, 10 * MIB - 512)]
    assert reserved(events) == 20 * MIB
    # They do not where what is between them lives.
    events = [(0, 5 * MIB), (1, 5 * MIB), (2, 5 * MIB), (3, 4 * MIB), (0, -1), (2, -1), (4, 8 * MIB)]
    assert reserved(events) == 40 * MIB
    # Nor does a small tensor come out of a large block.
    assert reserved([(0, 5 * MIB), (0, -1), (1, 1)]) == 22 * MIB


def test_never_less_than_what_lives_and_no_more_for_the_same_again():
    rng = random.Random(4)
    sizes = [int(10 ** rng.uniform(1, 7.5)) for _ in range(200)]
    order = rng.sample(range(200), 200)
    mixed = [*list(enumerate(sizes))[:120], *((number, -1) for number in order if number < 120)]
    assert live_peak(mixed) <= reserved(mixed) < 1.2 * live_peak(mixed)
    alike = [*enumerate([7 * MIB] * 30), *((number, -1) for number in rng.sample(range(30), 30))]
    assert reserved(alike * 3) == reserved(alike) == 300 * MIB
