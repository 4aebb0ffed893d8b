"""One attempt at a job, in a process of its own that is watched and cleaned up after.

A forked child starts at once with the libraries that the parent has loaded. It is killed with its parent, so that no
job lives on unseen; and where memory runs out, the kernel is asked to kill it before all others, the parent above all.
What it wrote and did not finish is removed by the parent, since a killed process tidies nothing.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from longtake.kinds import Progress
from longtake.memory.budget import MIB, Limit
from longtake.memory.ledger import Ledger, MemoryPolicy
from longtake.memory.meter import gpu_peaks_mb, peak_rss_mb
from longtake.store.atomic import announce
from longtake.store.leftovers import SCRATCH, mark, sweep_once
from longtake.supervise.watch import too_close

# Memory is looked at this often; an allocation that fails tells by itself.
_WATCH_S = 0.05
# What a child that is told to end has for its tidying, such as the last step of a training and its state; SLURM kills
# half a minute after it has asked.
_GRACE_S = 20.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
GPU_ALLOCATOR = "the GPU's allocator"
_WORDS = "ended by {}: cancelled, or at the scheduler's time limit"
# Allocations that fail outside PyTorch's GPU allocator have no type of their own; these are the libraries' words.
_FACES = {
    "DefaultCPUAllocator": "PyTorch's CPU allocator",
    "could not create a primitive": "oneDNN",
    "std::bad_alloc": "the C++ allocator",
    "(-4:Insufficient memory)": "OpenCV",
    "CUDA error: out of memory": GPU_ALLOCATOR,
    "CUBLAS_STATUS_ALLOC_FAILED": GPU_ALLOCATOR,
    "CUDNN_STATUS_ALLOC_FAILED": GPU_ALLOCATOR,
}


@dataclass
class End:
    """How an attempt ended: `full` names who ran out of memory, or is empty.

    `peaks`: MiB of resident memory and of the GPU's allocated and reserved, and seconds. `ledger`: who held the memory
    (`longtake.memory.ledger.Ledger.facts`); of a killed attempt as it last said.
    """

    result: Any = None
    error: BaseException | None = None
    full: str = ""
    peaks: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    ledger: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Setting:
    """Where the child works, who watches it, and how its ledger is kept."""

    scratch: Path
    parent: int
    policy: MemoryPolicy


def out_of_memory(error: BaseException) -> str:
    """Return which allocator ran out of memory, or an empty text for any other error."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return GPU_ALLOCATOR
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "the system's allocator"
    return next((face for words, face in _FACES.items() if words in str(error)), "")


def attempt(
    work: Callable[..., Any],
    arguments: Mapping[str, Any],
    limits: Sequence[Limit] = (),
    progress: Progress = None,
    leave: Callable[[], None] = lambda: None,
    *,
    policy: MemoryPolicy | None = None,
) -> End:
    """Call ``work(**arguments)`` in a child process, and with `progress` if that is given; what it returns must pickle.

    Parameters
    ----------
    limits
        The child is ended shortly before it reaches one of them.
    progress
        Called in this process with (done, total).
    leave
        Called often in this process; what it raises ends the child, in order if it can, and comes out here.
    policy
        How the child's memory is accounted for.
    """
    sweep_once(Path(tempfile.gettempdir()))
    scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{mark()}-"))
    try:
        setting = _Setting(scratch, os.getpid(), policy or MemoryPolicy())
        return _Child(work, arguments, setting, progress).supervise(limits, leave)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Leave this block by `SystemExit` when SIGTERM or SIGUSR1 comes, at its end at the latest.

    Schedulers cancel jobs by the first, and announce by the second, where they are asked to, that time is running out.

    Gives a function that raises it as soon as the signal has come. A handler that raised by itself would not do: Python
    drops what is raised while it happens to be in a finaliser. Only a process's main thread hears signals; in another
    one this does nothing.
    """
    told: list[str] = []

    def leave() -> None:
        if told:
            raise SystemExit(told[0])

    if threading.current_thread() is not threading.main_thread():
        yield leave
        return

    def hear(number: int, _frame: FrameType | None) -> None:
        told.append(_WORDS.format(signal.Signals(number).name))

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield leave
        leave()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_now(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: a second one would interrupt the tidying
    raise SystemExit(_WORDS.format(signal.Signals(number).name))


class _Child:
    """The process, seen from its parent."""

    def __init__(
        self, work: Callable[..., Any], arguments: Mapping[str, Any], setting: _Setting, progress: Progress
    ) -> None:
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.progress = progress
        self.unfinished: set[Path] = set()
        self.pipe, theirs = context.Pipe(duplex=False)
        self.began = time.monotonic()
        given = dict(arguments)
        if progress is not None:
            given["progress"] = None
        target = (theirs, work, given, setting)
        self.process: BaseProcess = context.Process(target=_live, args=target, name="attempt", daemon=True)
        self.process.start()
        theirs.close()
        self.watched = psutil.Process(self.process.pid)
        self.rss = 0.0
        self.ledger: dict[str, Any] = {}

    def supervise(self, limits: Sequence[Limit], leave: Callable[[], None]) -> End:
        """Take what the child tells until it ends, and end it when it comes too close to one of `limits`."""
        end: End | None = None
        stopped = ""
        try:
            while end is None and not stopped:
                try:
                    told = self.pipe.recv() if self.pipe.poll(_WATCH_S) else None
                except (EOFError, OSError):  # it has ended, perhaps in the middle of a word
                    break
                if told is not None:
                    end = self._hear(told)
                stopped = self._look(limits)
                leave()
        except BaseException:  # this process is told to end: so is the child
            self._ask_to_end()
            raise
        finally:
            if end is None:
                self.process.kill()
            self.process.join()
            self.pipe.close()
            for path in self.unfinished:
                path.unlink(missing_ok=True)
        end = end or self._ended(stopped)
        end.peaks = (max(self.rss, end.peaks[0]), *end.peaks[1:3], round(time.monotonic() - self.began, 3))
        end.ledger = end.ledger or self.ledger
        return end

    def _ended(self, stopped: str) -> End:
        """What became of a child that could not say it itself."""
        killed = self.process.exitcode == -signal.SIGKILL
        full = f"the watch, {stopped}" if stopped else ""
        full = full or ("killed, as the kernel does when memory runs out" if killed else "")
        error = None if full else ChildProcessError(f"the job's process ended with exit code {self.process.exitcode}")
        return End(full=full, error=error)

    def _ask_to_end(self) -> None:
        self.process.terminate()
        until = time.monotonic() + _GRACE_S
        with suppress(EOFError, OSError):
            while self.process.is_alive() and time.monotonic() < until:
                if self.pipe.poll(_WATCH_S):  # or it would wait to be heard
                    self._hear(self.pipe.recv())

    def _hear(self, told: tuple[str, Any]) -> End | None:
        kind, value = told
        if kind == "log":
            logging.getLogger(value.name).handle(value)
        elif kind == "progress" and self.progress is not None:
            self.progress(*value)
        elif kind == "ledger":
            self.ledger = value
        elif kind == "unfinished":
            self.unfinished.add(value)
        return value if kind == "end" else None

    def _look(self, limits: Sequence[Limit]) -> str:
        with suppress(psutil.NoSuchProcess):
            self.rss = max(self.rss, round(self.watched.memory_info().rss / MIB, 1))
        return too_close(limits, self.watched)


class _Teller:
    """The child's end of the pipe; several threads may tell at once."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.lock = threading.Lock()

    def __call__(self, kind: str, value: Any) -> None:
        with self.lock:
            self.pipe.send((kind, value))


class _Forward(logging.Handler):
    """Hand log records to the parent, which has the log."""

    def __init__(self, tell: _Teller) -> None:
        super().__init__()
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text, record.exc_info = "".join(traceback.format_exception(*record.exc_info)).rstrip(), None
        self.tell("log", record)


def _live(pipe: Connection, work: Callable[..., Any], arguments: dict[str, Any], setting: _Setting) -> None:
    """Do the work: this is the child."""
    # What the collector looks at it writes to, and what is written to is no longer shared with the parent.
    gc.freeze()
    _bind_to(setting.parent)
    tempfile.tempdir = str(setting.scratch)
    signal.signal(signal.SIGTERM, _leave_now)
    tell = _Teller(pipe)
    announce(lambda path: tell("unfinished", path))
    root = logging.getLogger("longtake")
    root.handlers[:] = [_Forward(tell)]
    if "progress" in arguments:
        arguments["progress"] = lambda done, total: tell("progress", (done, total))
    end = End()
    ledger = Ledger(setting.policy, lambda facts: tell("ledger", facts))
    try:
        with ledger:
            end.result = work(**arguments)
    except BaseException as error:  # every way to end must reach the parent
        end.full = out_of_memory(error)
        root.debug("traceback", exc_info=error)
        end.error = None if end.full else _sendable(error)
    allocated, reserved = gpu_peaks_mb()
    end.peaks = (round(peak_rss_mb(), 1), round(allocated, 1), round(reserved, 1), 0.0)
    end.ledger = ledger.facts()
    tell("end", end)


def _bind_to(parent: int) -> None:
    """Die with the parent, and before it where the kernel must choose."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that took effect
        os._exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _sendable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled a moment ago
    except Exception:  # whatever a class of somebody else's does when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
