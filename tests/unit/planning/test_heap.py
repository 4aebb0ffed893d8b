"""What a heap takes for a course of allocations: the C library's own answer, against what is alive."""

import subprocess
import sys

import pytest

from longtake.planning.heap import footprint, live_peak

MIB = 2**20


def test_the_bytes_alive_are_counted_by_hand():
    events = [(1, 10), (2, 20), (1, -1), (3, 5), (2, -1), (4, 16), (3, -1), (4, -1)]
    assert live_peak(events) == 30
    assert live_peak([]) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
class TestFootprint:
    def test_blocks_that_follow_each_other_share_their_place(self):
        events = [event for number in range(50) for event in ((number, 3 * MIB), (number, -1))]
        assert 3 * MIB <= footprint(events) <= 4 * MIB

    def test_what_started_the_process_has_no_part_in_it(self, monkeypatch):
        """Its environment and its modules lie on the same heap, and are not the job's."""
        events = [event for size in range(1, 200) for event in ((size, 4999 * size), (size + 1000, 40), (size, -1))]
        found = set()
        for length in range(0, 3000, 211):
            monkeypatch.setenv("LONG", "x" * length)
            monkeypatch.setenv("PYTHONHASHSEED", str(length))
            found.add(footprint(events))
        assert max(found) - min(found) <= 4096

    def test_gaps_between_living_blocks_are_held_too(self):
        """Every second of 20 blocks is freed; blocks of twice their size fit into none of the gaps."""
        small = [(number, MIB) for number in range(20)]
        freed = [(number, -1) for number in range(0, 20, 2)]
        large = [(100 + number, 2 * MIB) for number in range(5)]
        events = [*small, *freed, *large]
        assert live_peak(events) == 20 * MIB
        assert footprint(events) >= 29 * MIB

    def test_nothing_is_written_so_more_than_the_machine_has_can_be_asked_for(self):
        events = [(number, 2**30) for number in range(64)]
        assert footprint(events) >= 64 * 2**30

    def test_a_block_that_no_system_gives_is_counted_and_not_had(self):
        assert footprint([(0, 2**60)]) == 2**60

    def test_a_replay_that_breaks_is_no_answer(self):
        with pytest.raises(subprocess.CalledProcessError):
            footprint([("not a number", 5)])
