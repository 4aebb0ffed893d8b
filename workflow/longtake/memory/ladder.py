"""What to do when a job does not fit: try again in a way that needs less memory and gives the same numbers.

Each attempt runs in a child process. Only so does a job outlive the kernel's out-of-memory killer, and only so is every
byte of a failed attempt gone before the next begins: whatever a traceback or an allocator still held, died with the
child. The parent never runs the model; it watches the child's resident memory, ends an attempt that comes too close to
a limit that would kill both, and steps down one rung.

A forked child starts at once with the libraries that the parent has loaded. It is killed with its parent, so that no
job lives on unseen.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import multiprocessing
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from longtake.errors import OutOfMemory
from longtake.memory.meter import gpu_peaks_mb, peak_rss_mb

log = logging.getLogger(__name__)
_MIB = 2**20
# Resident memory is looked at this often; an allocation that fails tells by itself.
_WATCH_S = 0.1
_CLOSE = 0.97
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
# CPU allocations that fail have no exception type of their own in PyTorch; these are its own words for them.
_FACES = {
    "DefaultCPUAllocator": "PyTorch's CPU allocator",
    "could not create a primitive": "oneDNN",
    "std::bad_alloc": "the C++ allocator",
}


@dataclass(frozen=True)
class Rung:
    """One way to run a job: a name for logs and records, and the keyword arguments that differ from the job's own.

    `exact` says that the numbers are those of every other exact rung.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = True


@dataclass(frozen=True)
class Attempt:
    """One attempt: its rung, ``ok``, ``failed`` or ``out of memory`` and who said so, peaks in MiB, seconds."""

    rung: str
    status: str
    reason: str
    rss_mb: float
    gpu_allocated_mb: float
    gpu_reserved_mb: float
    wall_s: float


@dataclass(frozen=True)
class Outcome:
    """What the job returned, and on which rung."""

    result: Any
    rung: Rung


AS_ASKED = Rung("as asked")


def on_the_cpu(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the last rung of a job with `device` among its `arguments`: the CPU, if that is not where it is already."""
    return [] if arguments["device"] == "cpu" else [Rung("on the CPU", {"device": "cpu"})]


def climb_down(
    work: Callable[..., Any],
    arguments: Mapping[str, Any],
    rungs: Sequence[Rung] = (AS_ASKED,),
    *,
    attempts: list[Attempt],
    budget: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run `work` on the first rung whose memory suffices.

    Parameters
    ----------
    work
        Called in a child process as ``work(**arguments, **rung.changes)``, and with `progress` if that is given. What
        it returns must pickle.
    rungs
        From the fastest to the one that needs least memory.
    attempts
        Every attempt is added to it, also when none succeeds.
    budget
        Bytes of resident memory at which somebody would kill the job; the child is ended shortly before.
    progress
        Called in this process with (done, total).

    Raises
    ------
    OutOfMemory
        The last rung did not fit either; says what each attempt used.
    Exception
        Whatever `work` raised that has nothing to do with memory, with its own type; no other rung is tried.
    """
    for rung in rungs:
        child = _Child(work, {**arguments, **rung.changes}, progress)
        ended = child.supervise(budget)
        status = "out of memory" if ended.full else ("ok" if ended.error is None else "failed")
        attempts.append(Attempt(rung.name, status, ended.full, *ended.peaks))
        if ended.error is not None:
            raise ended.error
        if not ended.full:
            return Outcome(ended.result, rung)
        log.warning("out of memory (%s) at %.0f MiB: %s", ended.full, attempts[-1].rss_mb, rung.name)
    tried = "; ".join(f"{it.rung}: {it.rss_mb:.0f} MiB, {it.reason}" for it in attempts)
    raise OutOfMemory(
        f"No way of running this job fits into its memory ({tried}). Ask for more memory (mem_mb, or a GPU with more), "
        "or make the job smaller: a smaller video_scale_factor, fewer objects in a video."
    )


def out_of_memory(error: BaseException) -> str:
    """Return which allocator ran out of memory, or an empty text for any other error."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "the GPU's allocator"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "the system's allocator"
    if isinstance(error, RuntimeError):
        return next((face for words, face in _FACES.items() if words in str(error)), "")
    return ""


@dataclass
class _End:
    """How an attempt ended: `full` names who ran out of memory, or is empty."""

    result: Any = None
    error: BaseException | None = None
    full: str = ""
    peaks: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class _Child:
    """One attempt in a process of its own."""

    def __init__(
        self, work: Callable[..., Any], arguments: Mapping[str, Any], progress: Callable[[int, int], None] | None
    ) -> None:
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.progress = progress
        self.pipe, theirs = context.Pipe(duplex=False)
        self.began = time.monotonic()
        target = (theirs, work, dict(arguments), progress is not None)
        self.process: BaseProcess = context.Process(target=_attempt, args=target, name="attempt", daemon=True)
        self.process.start()
        theirs.close()
        self.watched = psutil.Process(self.process.pid)
        self.rss = 0.0

    def supervise(self, budget: int | None) -> _End:
        """Take what the child tells until it ends, and end it when its memory comes too close to `budget`."""
        end: _End | None = None
        stopped = ""
        try:
            while end is None and not stopped:
                try:
                    if self.pipe.poll(_WATCH_S):
                        end = self._hear(self.pipe.recv())
                except EOFError:
                    break
                stopped = self._too_close(budget)
        finally:
            if end is None:
                self.process.kill()
            self.process.join()
            self.pipe.close()
        if end is None:
            killed = self.process.exitcode == -signal.SIGKILL
            full = stopped or ("killed, as the kernel does when memory runs out" if killed else "")
            end = _End(full=full)
            if not full:
                end.error = ChildProcessError(f"the job's process ended with exit code {self.process.exitcode}")
        end.peaks = (max(self.rss, end.peaks[0]), *end.peaks[1:3], round(time.monotonic() - self.began, 3))
        return end

    def _hear(self, told: tuple[str, Any]) -> _End | None:
        kind, value = told
        if kind == "log":
            logging.getLogger(value.name).handle(value)
        elif kind == "progress" and self.progress is not None:
            self.progress(*value)
        return value if kind == "end" else None

    def _too_close(self, budget: int | None) -> str:
        try:
            rss = self.watched.memory_info().rss
        except psutil.NoSuchProcess:
            return ""
        self.rss = max(self.rss, round(rss / _MIB, 1))
        if budget is not None and rss > _CLOSE * budget:
            return f"the watch, close to the limit of {budget / _MIB:.0f} MiB"
        return ""


class _Forward(logging.Handler):
    """Hand log records to the parent, which has the log."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text, record.exc_info = "".join(traceback.format_exception(*record.exc_info)).rstrip(), None
        self.pipe.send(("log", record))


def _attempt(pipe: Connection, work: Callable[..., Any], arguments: dict[str, Any], with_progress: bool) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    root = logging.getLogger("longtake")
    root.handlers[:] = [_Forward(pipe)]
    if with_progress:
        arguments["progress"] = lambda done, total: pipe.send(("progress", (done, total)))
    end = _End()
    try:
        end.result = work(**arguments)
    except BaseException as error:  # every way to end must reach the parent
        end.full = out_of_memory(error)
        root.debug("traceback", exc_info=error)
        end.error = None if end.full else _sendable(error)
    allocated, reserved = gpu_peaks_mb()
    end.peaks = (round(peak_rss_mb(), 1), round(allocated, 1), round(reserved, 1), 0.0)
    pipe.send(("end", end))


def _sendable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled a moment ago
    except Exception:  # whatever a class of somebody else's does when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
