"""A job that does not fit steps down, whoever it is that refuses the memory; any other error goes straight through."""

import errno
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from longtake.errors import OutOfMemory, SheetError
from longtake.memory.budget import Budget, Limit
from longtake.supervise.child import GPU_ALLOCATOR, out_of_memory
from longtake.supervise.ladder import Rung, climb_down, from_rung

MIB = 2**20
ROOT = Path(__file__).parents[3]
RUNGS = (Rung("large", {"size": 400}), Rung("middle", {"size": 200}), Rung("small", {"size": 20}))


def limit_of(mib, **of):
    return Budget("host", (Limit(int(mib * MIB), "a test", **of),))


def fill(size):
    """Touch `size` MiB and hold them for a while; what is to be ended for it, until it is."""
    block = bytearray(size * MIB)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(0.4 if size < 400 else 60)
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


@pytest.mark.own_process
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


@pytest.mark.own_process
def test_the_watch_ends_an_attempt_before_somebody_kills_the_job():
    attempts = []
    climb_down(fill, {"size": 1}, attempts=attempts)  # a child starts with what it shares with this process
    shared, own = attempts.pop().rss_mb, psutil.Process().memory_info().rss / MIB
    more = max(0, int(own - shared))  # pages of files are this process's alone, and it must fit as well
    rungs = [Rung(rung.name, {"size": rung.changes["size"] + more}) for rung in RUNGS]
    outcome = climb_down(fill, {}, rungs, attempts=attempts, budget=limit_of(shared + more + 250))
    assert outcome.rung.name == "middle"
    assert outcome.result == {"answer": 42, "size": 200 + more}
    assert attempts[0].reason.startswith("the watch, close to the limit of")
    assert attempts[0].rss_mb > attempts[1].rss_mb - 60


@pytest.mark.own_process
def test_the_first_rung_is_the_job_as_asked():
    attempts = []
    assert climb_down(fill, {"size": 64}, attempts=attempts).result["size"] == 64
    assert (attempts[0].rung, attempts[0].status) == ("as asked", "ok")
    assert attempts[0].rss_mb > 64


@pytest.mark.own_process
def test_what_an_attempt_held_is_gone_before_the_next():
    here = psutil.Process()
    before = here.memory_info().rss
    climb_down(under_limit, {}, RUNGS, attempts=[])
    assert here.memory_info().rss - before < 20 * MIB
    assert not here.children()


def test_when_nothing_fits_every_attempt_is_told():
    with pytest.raises(OutOfMemory, match=r"large: .*; middle: .*mem_mb"):
        climb_down(killed, {}, RUNGS[:2], attempts=[])


def killed_while_it_speaks(size):
    if size > 20:
        words = "x" * 2**22  # more than a pipe holds, so that most of the time it is in the middle of them
        log = logging.getLogger("longtake.work")
        threading.Thread(target=lambda: [log.debug(words) for _ in range(1000)], daemon=True).start()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return size


def test_a_child_killed_in_the_middle_of_a_word_steps_down_too():
    attempts = []
    assert climb_down(killed_while_it_speaks, {}, RUNGS, attempts=attempts).result == 20
    assert [attempt.reason for attempt in attempts] == ["killed, as the kernel does when memory runs out"] * 2 + [""]


@pytest.mark.parametrize(
    ("error", "who"),
    [
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."), GPU_ALLOCATOR),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), GPU_ALLOCATOR),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), GPU_ALLOCATOR),
        (Exception("OpenCV(4.13.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 64"), "OpenCV"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "the system's allocator"),
        (OSError(errno.ENOSPC, "No space left on device"), ""),
        (RuntimeError("CUDA error: device-side assert triggered"), ""),
    ],
)
def test_libraries_have_their_own_words_for_memory_that_ran_out(error, who):
    assert out_of_memory(error) == who


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
        "import os, time\nfrom pathlib import Path\nfrom longtake.supervise.ladder import climb_down\n"
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
    until = time.monotonic() + 60
    while not gone(child):
        assert time.monotonic() < until
        time.sleep(0.05)


def gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_request_alone_ends_nothing():
    assert climb_down(fill, {"size": 1}, attempts=[], budget=limit_of(4000)).result["size"] == 1
    assert climb_down(fill, {"size": 1}, attempts=[], budget=limit_of(1, hard=False)).result["size"] == 1


def test_a_job_that_has_no_memory_to_begin_with_says_so():
    attempts = []
    with pytest.raises(OutOfMemory, match=r"Before it has begun, this job is close to the limit of 1 MiB \(a test\)"):
        climb_down(fill, {"size": 1}, attempts=attempts, budget=limit_of(1))
    assert attempts == []


def test_the_pages_of_files_do_not_count_in_a_control_group(tmp_path):
    stat = "total_rss 5\ntotal_inactive_file {0}\ntotal_active_file {0}\ninactive_file {0}\nactive_file {0}\n"
    for usage in ("memory.usage_in_bytes", "memory.current"):
        group = tmp_path / usage.replace(".", "-")
        group.mkdir()
        (group / usage).write_text(str(100 * MIB))
        (group / "memory.stat").write_text(stat.format(20 * MIB))
        assert climb_down(fill, {"size": 1}, attempts=[], budget=limit_of(63, group=group)).result["size"] == 1
        with pytest.raises(OutOfMemory, match="close to the limit of 61 MiB"):
            climb_down(fill, {"size": 1}, attempts=[], budget=limit_of(61, group=group))


def rounded(size, approximate=None):
    if size > 20:
        raise MemoryError
    return size, approximate


def too_large(size):
    raise MemoryError


def off_by(size):
    return f"at {size} off by 0.1 %"


ROUNDED = Rung("rounded", {"size": 10}, errors=(too_large, off_by))
BOTH = (*RUNGS[:2], ROUNDED, Rung("the CPU", {"size": 30}))


def test_what_is_not_exact_is_not_tried_unasked():
    rungs = from_rung(BOTH, 0)
    assert [rung.name for rung in rungs] == ["large", "middle", "the CPU"]
    with pytest.raises(OutOfMemory, match=r"large: .*; middle: .*; the CPU: .*memory\.allow_approximate: true"):
        climb_down(rounded, {}, rungs, attempts=[])


def test_a_later_try_does_not_begin_on_another_device():
    rungs = (*RUNGS[:2], Rung("the CPU", {"device": "cpu"}))
    names = [[rung.name for rung in from_rung(rungs, skipped)] for skipped in (0, 1, 2, 9)]
    assert names == [["large", "middle", "the CPU"], *[["middle", "the CPU"]] * 3]
    assert [rung.name for rung in from_rung(rungs[2:], 1)] == ["the CPU"]


def test_what_is_not_exact_comes_last_and_says_how_far_off_it_is():
    attempts = []
    outcome = climb_down(rounded, {}, from_rung(BOTH, 0, approximate=True), attempts=attempts)
    assert outcome.result == (10, "rounded, as no exact way fits into memory; at 10 off by 0.1 %")
    assert not outcome.rung.exact
    assert [(attempt.rung, attempt.status) for attempt in attempts] == [
        ("large", "out of memory"),
        ("middle", "out of memory"),
        ("the CPU", "out of memory"),
        ("error of: rounded", "out of memory"),
        ("error of: rounded", "ok"),
        ("rounded", "ok"),
    ]


def test_a_way_whose_error_nobody_can_measure_is_not_taken():
    unknown = Rung("rounded", {"size": 10}, errors=(too_large,))
    with pytest.raises(OutOfMemory, match="error of: rounded"):
        climb_down(rounded, {}, from_rung((*RUNGS[:1], unknown), 0, approximate=True), attempts=[])


def test_a_job_that_was_killed_whole_begins_further_down_but_not_beyond_what_is_exact():
    names = [[rung.name for rung in from_rung(BOTH, skipped, approximate=True)] for skipped in (0, 1, 2, 9)]
    assert names[0] == ["large", "middle", "the CPU", "rounded"]
    assert names[1] == ["middle", "the CPU", "rounded"]
    assert names[2] == names[3] == ["the CPU", "rounded"]


def write_slowly(note, target, stubborn):
    """Leave a file half-written and another in the place for temporary ones, and take long."""
    import tempfile

    from longtake.store.atomic import atomic_path

    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with atomic_path(target) as temporary, tempfile.TemporaryDirectory() as scratch:
            temporary.write_text("half")
            (Path(scratch) / "spilled").write_text("much")
            Path(note).write_text(f"{os.getpid()}\n{scratch}")
            time.sleep(60)
    finally:
        Path(note).with_suffix(".tidied").touch()


def begin(tmp_path, stubborn=False):
    """Start a process that supervises `write_slowly`; give it, its child, and the child's place for temporary files."""
    note, target = tmp_path / "note", tmp_path / "out" / "table.tsv"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from longtake.supervise import child\nchild._GRACE_S = {1 if stubborn else 60}\n"
        "from longtake.supervise.ladder import climb_down\nfrom test_ladder import write_slowly\n"
        f"given = dict(note={str(note)!r}, target={str(target)!r}, stubborn={stubborn})\n"
        "climb_down(write_slowly, given, attempts=[])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    while not (note.exists() and "\n" in note.read_text()):
        assert parent.poll() is None, parent.stderr.read()
        time.sleep(0.02)
    number, scratch = note.read_text().splitlines()
    return parent, psutil.Process(int(number)), Path(scratch)


@pytest.mark.parametrize(
    ("stubborn", "number"), [(False, signal.SIGTERM), (True, signal.SIGTERM), (False, signal.SIGUSR1)]
)
def test_a_cancelled_job_takes_its_child_along_and_leaves_nothing_half_written(tmp_path, stubborn, number):
    parent, child, scratch = begin(tmp_path, stubborn)
    assert [path.name[:7] for path in (tmp_path / "out").iterdir()] == [".table."]
    assert scratch.exists()
    parent.send_signal(number)
    assert parent.communicate()[1] == f"ended by {number.name}: cancelled, or at the scheduler's time limit\n"
    assert parent.returncode == 1
    assert (tmp_path / "note.tidied").exists() != stubborn
    assert not child.is_running()
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("longtake-")] == []


def test_what_a_killed_child_had_not_finished_is_removed(tmp_path):
    parent, child, _ = begin(tmp_path)
    child.kill()
    assert "OutOfMemory: No way of running this job" in parent.communicate()[1]
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("longtake-")] == []


def test_the_kernel_kills_the_child_and_not_its_parent():
    score = Path("/proc/self/oom_score_adj")
    assert climb_down(read, {"path": score}, attempts=[]).result == 1000 > int(score.read_text())


def read(path):
    return int(path.read_text())
