"""A job that does not fit steps down, whoever it is that refuses the memory; any other error goes straight through."""

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from longtake.errors import OutOfMemory, SheetError
from longtake.memory.ladder import Rung, climb_down

MIB = 2**20
ROOT = Path(__file__).parents[3]
RUNGS = (Rung("large", {"size": 400}), Rung("middle", {"size": 200}), Rung("small", {"size": 20}))


def fill(size):
    """Touch `size` MiB and hold them until it is asked for the answer."""
    block = bytearray(size * MIB)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.4)
    return {"answer": 42, "size": size}


def under_limit(size):
    grown = psutil.Process().memory_info().vms + 100 * MIB
    resource.setrlimit(resource.RLIMIT_AS, (grown, resource.RLIM_INFINITY))
    return fill(size)


def killed(size):
    if size > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return size


def refused_by_torch(size):
    import torch

    torch.empty(2**46 if size > 20 else size)
    return size


def onednn(size):
    if size > 20:
        raise RuntimeError("could not create a primitive")
    return size


@pytest.mark.parametrize(
    ("work", "who"),
    [
        (under_limit, "the system's allocator"),
        (killed, "killed, as the kernel does when memory runs out"),
        (refused_by_torch, "PyTorch's CPU allocator"),
        (onednn, "oneDNN"),
    ],
)
def test_the_first_rung_that_fits_counts_whoever_refuses_the_others(work, who):
    attempts = []
    assert climb_down(work, {}, RUNGS, attempts=attempts).rung.name == "small"
    assert [(attempt.rung, attempt.status, attempt.reason) for attempt in attempts] == [
        ("large", "out of memory", who),
        ("middle", "out of memory", who),
        ("small", "ok", ""),
    ]


def test_the_watch_ends_an_attempt_before_somebody_kills_the_job():
    attempts = []
    climb_down(fill, {"size": 1}, attempts=attempts)  # a child starts with what it shares with this process
    budget = int((attempts.pop().rss_mb + 250) * MIB)
    outcome = climb_down(fill, {}, RUNGS, attempts=attempts, budget=budget)
    assert outcome.rung.name == "middle"
    assert outcome.result == {"answer": 42, "size": 200}
    assert attempts[0].reason.startswith("the watch, close to the limit of")
    assert attempts[0].rss_mb > attempts[1].rss_mb - 60


def test_the_first_rung_is_the_job_as_asked():
    attempts = []
    assert climb_down(fill, {"size": 64}, attempts=attempts).result["size"] == 64
    assert (attempts[0].rung, attempts[0].status) == ("as asked", "ok")
    assert attempts[0].rss_mb > 64


def test_what_an_attempt_held_is_gone_before_the_next():
    before = psutil.Process().memory_info().rss
    climb_down(under_limit, {}, RUNGS, attempts=[])
    assert psutil.Process().memory_info().rss - before < 20 * MIB
    assert psutil.Process().children() == []


def test_when_nothing_fits_every_attempt_is_told():
    with pytest.raises(OutOfMemory, match=r"large: .*; middle: .*mem_mb"):
        climb_down(killed, {}, RUNGS[:2], attempts=[])


def bad_row(size):
    logging.getLogger("longtake.work").warning("row %d looks odd", 7)
    if size:
        raise SheetError("row 7 is bad")


def test_an_error_that_is_not_about_memory_keeps_its_type_and_ends_the_job(caplog):
    attempts = []
    with pytest.raises(SheetError, match="row 7 is bad"), caplog.at_level(logging.DEBUG, "longtake"):
        climb_down(bad_row, {}, RUNGS, attempts=attempts)
    assert [attempt.status for attempt in attempts] == ["failed"]
    assert caplog.text.count("row 7 looks odd") == 1
    assert "Traceback" in caplog.text


def out_of_words(size):
    class Odd(Exception):
        pass

    raise Odd("an error that no other process can read")


def test_an_error_that_does_not_pickle_is_told_in_words():
    with pytest.raises(RuntimeError, match="Odd: an error that no other process can read"):
        climb_down(out_of_words, {}, RUNGS, attempts=[])


def silent(size):
    os._exit(3)


def test_a_child_that_ends_without_a_word_is_an_error():
    with pytest.raises(ChildProcessError, match="exit code 3"):
        climb_down(silent, {}, RUNGS, attempts=[])


def steps(progress):
    for done in range(1, 4):
        progress(done, 3)


def test_progress_reaches_the_parent():
    seen = []
    climb_down(steps, {}, attempts=[], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_child_dies_with_its_parent(tmp_path):
    note = tmp_path / "child"
    code = (
        "import os, time\nfrom pathlib import Path\nfrom longtake.memory.ladder import climb_down\n"
        f"def work():\n    Path({str(note)!r}).write_text(str(os.getpid()))\n    time.sleep(60)\n"
        "climb_down(work, {}, attempts=[])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    while not (note.exists() and note.read_text()):
        time.sleep(0.05)
    child = psutil.Process(int(note.read_text()))
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
