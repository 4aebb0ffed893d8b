"""What is left of a limit, by whoever counts: the process alone, or its control group."""

import psutil
import pytest

from longtake.memory.budget import MIB, Limit
from longtake.supervise.watch import CLOSE, held_by, left, too_close


@pytest.fixture
def group(tmp_path):
    """A control group of version 2: 300 MiB in use, of which the kernel can take 90 back."""
    (tmp_path / "memory.current").write_text(f"{300 * MIB}\n")
    parts = {"anon": 200, "active_file": 50, "inactive_file": 30, "slab_reclaimable": 10}
    (tmp_path / "memory.stat").write_text("".join(f"{name} {size * MIB}\n" for name, size in parts.items()))
    return tmp_path


def test_what_is_left_is_up_to_the_tightest_limit(group):
    mine = psutil.Process()
    large = Limit(2**45, "the machine's memory")
    assert held_by(group) == 210 * MIB
    assert left([large, Limit(400 * MIB, "a group", group=group)], mine) == int(CLOSE * 400 * MIB) - 210 * MIB
    assert left([large], mine) == pytest.approx(CLOSE * 2**45 - mine.memory_info().rss, rel=1e-3)
    assert left([Limit(100 * MIB, "a group", group=group)], mine) == 0


def test_a_limit_is_named_once_it_is_close(group):
    mine = psutil.Process()
    assert too_close([Limit(220 * MIB, "a group", group=group)], mine) == ""
    assert too_close([Limit(215 * MIB, "a group", group=group)], mine) == "close to the limit of 215 MiB (a group)"


def test_a_group_that_is_gone_holds_nothing(tmp_path):
    assert held_by(tmp_path / "gone") == 0
