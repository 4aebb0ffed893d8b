"""Who holds the memory, in which stage; what is let go when there is too little, and that it frees bytes."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtake.memory import cleaning
from longtake.memory import ledger as ledger_module
from longtake.memory.ledger import Ledger, MemoryPolicy, counted_step, droppable, holds, is_counted, look, stage, step

MIB = 2**20
ROOT = Path(__file__).parents[3]


class Counted:
    """A counter of tensors that says what it was told to."""

    def __init__(self, peak):
        self.peak = peak

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def filled(size):
    block = bytearray(size * MIB)
    block[::4096] = b"x" * len(block[::4096])
    return block


def test_each_owner_has_its_own_peak_in_each_stage():
    state = [5 * MIB]
    with Ledger() as kept, stage("load"), holds("parameters", 7 * MIB):
        with stage("track"), holds("state", lambda: state[0]):
            look()
            state[0] = 9 * MIB
            look()
            state[0] = 2 * MIB
        with stage("write"):
            pass
    stages = kept.facts()["stages"]
    assert stages["track"]["host"]["state"] == 9.0
    assert stages["track"]["host"]["parameters"] == stages["write"]["host"]["parameters"] == 7.0
    assert "state" not in stages["write"]["host"]
    assert "state" not in stages["load"]["host"]
    assert stages["track"]["host"]["base"] > 1
    with pytest.raises(ValueError, match="no owner of memory: base"), Ledger(), holds("nobody", 1):
        pass


@pytest.mark.own_process
def test_a_stage_has_the_peak_of_its_own_time_and_what_nobody_said_is_unattributed():
    with Ledger() as kept:
        with stage("large"):
            block = filled(60)
        del block
        with stage("small"):
            pass
    stages = kept.facts()["stages"]
    assert stages["large"]["rss_mb"] - stages["small"]["rss_mb"] == pytest.approx(60, abs=6)
    assert stages["large"]["host"]["unattributed"] == pytest.approx(60, abs=6)
    assert stages["small"]["host"]["unattributed"] < 6


@pytest.mark.own_process
def test_libraries_that_come_with_a_model_belong_to_the_base():
    with Ledger() as kept:
        with stage("load"):
            libraries, weights = filled(30), filled(50)
        with holds("state", 0), holds("parameters", len(weights)), stage("track"):
            del weights
            filled(50)
    del libraries
    stages = kept.facts()["stages"]
    assert stages["track"]["host"]["base"] - stages["load"]["host"]["base"] == pytest.approx(30, abs=6)
    assert stages["track"]["host"]["unattributed"] < 6


def test_steps_are_counted_by_a_sample_that_thins_out():
    made = []

    def counter():
        made.append(Counted(len(made) * MIB))
        return made[-1]

    with Ledger() as kept, stage("track"):
        for _ in range(300):
            with step(counter):
                pass
    facts = kept.facts()
    assert (facts["steps"], facts["counted_steps"]) == (300, len(made))
    assert [n for n in range(300) if is_counted(n)] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 192, 256]
    assert facts["stages"]["track"]["host"]["activations"] == len(made) - 1


def test_a_gpu_counts_for_itself_so_no_step_is_counted():
    with Ledger() as kept:
        with step(lambda: pytest.fail("counted"), gpu=True):
            pass
        counted_step(3, gpu=True)
        assert (kept.steps, kept.counted) == (2, 0)
        counted_step(3 * MIB)
    assert (kept.steps, kept.counted) == (3, 1)
    assert kept.facts()["stages"]["start"]["host"]["activations"] == 3.0


def test_nothing_is_counted_where_nobody_keeps_a_ledger():
    with stage("track"), holds("state", pytest.fail), droppable("frames", pytest.fail), step(pytest.fail):
        look()
        counted_step(3)


def test_lines_come_while_it_runs_and_say_who_holds_most(caplog):
    told = []
    kept = Ledger(MemoryPolicy(interval=0.02), told.append)
    caplog.set_level(logging.INFO)
    with kept, stage("track"), holds("parameters", 3000 * MIB), holds("cache", 1):
        until = time.monotonic() + 60
        while "; track: parameters 3000" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
    assert told[-1]["stages"]["track"]["host"]["parameters"] == 3000
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("memory before: RSS")
    assert lines[-1].startswith("memory after: RSS")
    assert any("VMS" in line and "; track: parameters 3000" in line for line in lines if line.startswith("memory: RSS"))


def test_a_stage_on_a_gpu_is_the_peak_of_its_tensors_less_what_their_owners_hold(monkeypatch):
    monkeypatch.setattr(ledger_module, "recent_peaks", lambda: (100.0, 900.0, 1000.0))
    state = {"allocated": 500.0, "reserved": 1000.0, "split": 250.0, "split_share": 0.25, "free": 7000.0,
             "context": 400.0, "ooms": 0, "retries": 2}  # fmt: skip
    monkeypatch.setattr(ledger_module, "gpu_state", lambda: state)
    with Ledger() as kept, holds("parameters", 300 * MIB, gpu=True), stage("track"):
        state["free"] = 6000.0
    facts = kept.facts()
    assert facts["stages"]["track"]["gpu"] == {"context": 400.0, "parameters": 300.0, "activations": 600.0}
    assert facts["stages"]["track"]["gpu_reserved_mb"] == 1000.0
    assert (facts["gpu"]["split_share"], facts["gpu"]["free"], facts["gpu"]["retries"]) == (0.25, 6000.0, 2)


def test_offers_are_taken_up_after_a_peak_above_the_threshold_and_again_only_when_more_has_come(monkeypatch):
    asked, peak, held = [], [0.0], [1000 * MIB]
    monkeypatch.setattr(cleaning, "recent_peaks", lambda: (peak[0], 0.0, 0.0))
    monkeypatch.setattr(cleaning, "_rss", lambda: held[0])

    def drop():
        asked.append(1)
        held[0] -= 30 * MIB
        return 3 * MIB if len(asked) == 1 else 0

    kept = cleaning.CleanUp(2000 * MIB, 0.85)
    with kept.offered("frames", drop):
        peak[0] = 1690.0
        kept.check()
        assert not asked
        assert kept.facts() == {}
        peak[0] = 1710.0
        kept.check()
        kept.check()
        assert len(asked) == 1
        held[0] += 50 * MIB
        kept.check()
        assert len(asked) == 2
    assert kept.facts() == {"times": 2, "freed_mb": 60.0, "let_go_mb": {"frames": 3.0}}
    held[0] += 50 * MIB
    kept.check()
    assert len(asked) == 2
    cleaning.CleanUp(None, 0.85).check()


HEAP = """
import ctypes, sys
import psutil
from longtake.memory.cleaning import give_back_freed

MIB = 2**20
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def rss():
    return psutil.Process().memory_info().rss / MIB

def blocks():
    # Large blocks, each with a small one behind it that stays: the heap cannot shrink.
    large = []
    for _ in range(40):
        large.append(library.malloc(4 * MIB))
        ctypes.memset(large[-1], 1, 4 * MIB)
        library.malloc(100_000)
    return large

def free(large):
    for block in large:
        library.free(block)

if sys.argv[1] == "from the start":
    give_back_freed()
library.free(library.malloc(16 * MIB))  # from here on glibc keeps blocks of up to 16 MiB in its heap
begun = rss()
free(blocks())
kept = rss()
give_back_freed()
print(kept - begun, rss() - begun)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("since", ["too late", "from the start"])
def test_freed_memory_goes_back_to_the_system(since):
    ran = subprocess.run(
        [sys.executable, "-c", HEAP, since], cwd=ROOT / "workflow", capture_output=True, text=True, check=True
    )
    kept, left = map(float, ran.stdout.split())
    assert (kept < 16) == (since == "from the start"), kept
    assert left < 16
