"""Who holds a job's memory while it runs: bytes by owner and stage, live in the log, and what is let go when short.

The work says what it holds (`holds`), in which stage it is (`stage`), and where numbers are worth looking at (`look`);
outside a `Ledger` these do nothing, so that the same code runs in tests and notebooks. What has no owner is told, too:

- on a GPU, *activations* are the peak of all tensors (``max_memory_allocated`` of the stage) less what the other owners
  held; *context* is what is used of the GPU and not by PyTorch's allocator.
- on the CPU, PyTorch keeps no such count. Counting each operation (`longtake.bounded.live`) takes some 20 microseconds,
  which makes a step of a small tracker half as long again; so it is done for the steps of `is_counted` alone, and costs
  a window of some hundred frames one or two percent. What is left of resident memory, such as workspaces of operations
  and freed memory that the allocator keeps, stands as *unattributed*.

Each owner's number is its own peak in the stage, and the peaks need not coincide, so their sum may pass the stage's.
A ledger belongs to one thread, that of the work; only the lines in the log come from another. torch is not imported.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import psutil

from longtake.memory.budget import MIB
from longtake.memory.cleaning import CleanUp, give_back_freed
from longtake.memory.meter import EVERY_S, gpu_state, peak_vms_mb, recent_peaks, restart_peaks
from longtake.memory.owners import OWNERS
from longtake.memory.segments import expand_segments

log = logging.getLogger(__name__)

UNATTRIBUTED = "unattributed"
START = "start"
# Every one of the first steps while a tracker's memory fills, then ever fewer; and then every n-th.
_EVERY_NTH = 64
# How old what a killed process leaves behind may be.
_TELL_S = 1.0


class Counter(AbstractContextManager[Any], Protocol):
    """Counts the bytes of tensors that are made inside it; `peak` is the most that lived at a time."""

    peak: int


@dataclass(frozen=True)
class MemoryPolicy:
    """How an attempt's memory is accounted for, and handled.

    ``interval``: seconds between two lines in the log. ``host``: bytes of host memory that the job may use, None if
    nobody knows. ``clean_up_at``: at which part of them something is let go (`longtake.memory.cleaning`). ``frugal``:
    freed memory goes back to the system at once, from the start. ``expandable``: why the GPU's allocator runs with
    expandable segments (`longtake.memory.segments`); empty if it does not.
    """

    interval: float = EVERY_S
    host: int | None = None
    clean_up_at: float = 0.85
    frugal: bool = False
    expandable: str = ""


@dataclass
class _Stage:
    """Peaks of a stage: bytes by owner, on the host and on the GPU, and MiB of the process."""

    host: dict[str, int] = field(default_factory=dict)
    gpu: dict[str, int] = field(default_factory=dict)
    rss_mb: float = 0.0
    allocated_mb: float = 0.0
    reserved_mb: float = 0.0
    wall_s: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return the stage for a record: MiB and seconds."""
        host = _in_mb(self.host)
        facts: dict[str, Any] = {"wall_s": round(self.wall_s, 3), "rss_mb": round(self.rss_mb, 1)}
        facts["host"] = host | {UNATTRIBUTED: round(max(0.0, self.rss_mb - sum(host.values())), 1)}
        if self.reserved_mb:
            gpu = _in_mb(self.gpu)
            held = sum(value for owner, value in gpu.items() if owner != "context")
            gpu["activations"] = round(max(0.0, self.allocated_mb - held), 1)
            facts |= {"gpu": gpu, "gpu_allocated_mb": round(self.allocated_mb, 1)}
            facts["gpu_reserved_mb"] = round(self.reserved_mb, 1)
        return facts


@dataclass(frozen=True)
class _Holding:
    owner: str
    nbytes: int | Callable[[], int]
    gpu: bool

    def now(self) -> int:
        return self.nbytes() if callable(self.nbytes) else self.nbytes


class Ledger:
    """The memory of one attempt, by stage and owner.

    Parameters
    ----------
    policy
        How it is kept.
    tell
        Called with `facts` now and then, from another thread: what a process that is killed leaves behind.

    Examples
    --------
    >>> with Ledger() as ledger:
    ...     with stage("track"), holds("state", session.live_bytes):
    ...         look()
    >>> ledger.facts()["stages"]["track"]["host"]["state"]
    """

    def __init__(
        self, policy: MemoryPolicy | None = None, tell: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.policy = policy or MemoryPolicy()
        self.tell = tell
        self.steps = self.counted = 0
        self.cleaning = CleanUp(self.policy.host, self.policy.clean_up_at)
        self._process = psutil.Process()
        self._stages = {START: _Stage()}
        self._path = [START]
        self._began = time.monotonic()
        self._holdings: list[_Holding] = []
        self._gpu: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def __enter__(self) -> Ledger:
        if self.policy.frugal:
            give_back_freed()
        if self.policy.expandable:
            log.info("expandable segments: %s", self.policy.expandable)
            expand_segments()
        restart_peaks()
        self._token = _KEPT.set(self)
        self.add("base", self._process.memory_info().rss, gpu=False)
        log.info("memory before: %s", self.line())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        # What an error's traceback still holds is there to be seen: it is who held the memory when it ran out.
        self._settle()
        _KEPT.reset(self._token)
        log.info("memory after: %s", self.line())

    def add(self, owner: str, nbytes: int | Callable[[], int], *, gpu: bool) -> _Holding:
        """Enter what `owner` holds from now on."""
        if owner not in OWNERS:
            raise ValueError(f"{owner!r} is no owner of memory: {', '.join(OWNERS)}")
        holding = _Holding(owner, nbytes, gpu)
        self._holdings.append(holding)
        if owner == "parameters":
            self._rebase()
        self.look()
        return holding

    def remove(self, holding: _Holding) -> None:
        """Take out what is held no longer."""
        self._holdings.remove(holding)

    def look(self) -> None:
        """Look at what everybody holds, and let go of something where the job comes close to what it may use."""
        here = self._stages[self._path[-1]]
        for gpu, kept in ((False, here.host), (True, here.gpu)):
            now: dict[str, int] = {}
            for holding in self._holdings:
                if holding.gpu == gpu:
                    now[holding.owner] = now.get(holding.owner, 0) + holding.now()
            for owner, nbytes in now.items():
                kept[owner] = max(kept.get(owner, 0), nbytes)
        self.cleaning.check()

    def enter(self, name: str) -> None:
        """Begin a stage, or go on with it; the one around it goes on when this one is left."""
        self._settle()
        self._path.append(name)
        self._stages.setdefault(name, _Stage())
        self.look()

    def leave(self) -> None:
        """End the stage that was entered last."""
        self._settle()
        self._path.pop()

    def activations(self, nbytes: int) -> None:
        """Enter the peak of tensors that a counted step made, on the CPU."""
        kept = self._stages[self._path[-1]].host
        kept["activations"] = max(kept.get("activations", 0), nbytes)
        self.counted += 1

    def facts(self) -> dict[str, Any]:
        """Return the ledger for a record: MiB by stage and owner, and the GPU's allocator at its worst."""
        stages = {name: stage.facts() for name, stage in list(self._stages.items()) if stage.rss_mb}
        gpu = {name: round(value, 4 if name == "split_share" else 1) for name, value in self._gpu.items()}
        return {
            "stages": stages,
            "vms_mb": round(peak_vms_mb(), 1),
            "steps": self.steps,
            "counted_steps": self.counted,
            "clean_ups": self.cleaning.facts(),
            "frugal": self.policy.frugal,
            "expandable_segments": self.policy.expandable,
        } | ({"gpu": gpu} if gpu else {})

    def line(self) -> str:
        """Return one line for a log: what the process holds, and the largest owners of the stage."""
        now, state = self._process.memory_info(), gpu_state()
        words = [f"RSS {now.rss / MIB:.0f} MiB, VMS {now.vms / MIB:.0f}"]
        if state:
            words.append(
                f"GPU {state['allocated']:.0f} allocated, {state['reserved']:.0f} reserved "
                f"({100 * state['split_share']:.0f} % split), {state['free']:.0f} free"
            )
        here = self._stages[self._path[-1]]
        owners = [*dict(here.host).items(), *dict(here.gpu).items()]
        held = {f"{owner} {nbytes / MIB:.0f}": nbytes for owner, nbytes in owners}
        most = ", ".join(sorted(held, key=lambda words: -held[words])[:4])
        return "; ".join([*words, f"{self._path[-1]}: {most}"])

    def _rebase(self) -> None:
        """Look anew at what is always there: with a model come libraries that were not loaded before."""
        others = sum(each.now() for each in self._holdings if not each.gpu and each.owner != "base")
        base = self._process.memory_info().rss - others
        self._holdings[0] = _Holding("base", max(base, self._holdings[0].now()), gpu=False)

    def _settle(self) -> None:
        """Put the peaks since the last change of stage on the account of the stage that ends here."""
        here, now = self._stages[self._path[-1]], time.monotonic()
        rss, allocated, reserved = recent_peaks()
        here.rss_mb, here.allocated_mb = max(here.rss_mb, rss), max(here.allocated_mb, allocated)
        here.reserved_mb = max(here.reserved_mb, reserved)
        here.wall_s += now - self._began
        self._began = now
        self._see_gpu()
        restart_peaks()

    def _see_gpu(self) -> None:
        state = gpu_state()
        if not state:
            return
        worst = self._gpu or state
        self._gpu = {name: max(worst[name], state[name]) for name in state} | {
            "free": min(worst["free"], state["free"])
        }
        for stage in self._stages.values():
            stage.gpu["context"] = int(self._gpu["context"] * MIB)

    def _run(self) -> None:
        said = time.monotonic()
        while not self._stop.wait(min(_TELL_S, self.policy.interval)):
            here = self._stages[self._path[-1]]
            here.rss_mb = max(here.rss_mb, self._process.memory_info().rss / MIB)
            if self.tell is not None:
                self.tell(self.facts())
            if time.monotonic() - said >= self.policy.interval:
                said = time.monotonic()
                log.info("memory: %s", self.line())


_KEPT: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


def is_counted(step: int) -> bool:
    """Whether the operations of a step (from 0) are counted: the first three, powers of two, and every 64th."""
    return step < 3 or step % _EVERY_NTH == 0 or step & (step - 1) == 0


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Account for the body as stage `name`; a stage inside another one counts for itself."""
    kept = _KEPT.get()
    if kept is None:
        yield
        return
    kept.enter(name)
    try:
        yield
    finally:
        kept.leave()


@contextmanager
def holds(owner: str, nbytes: int | Callable[[], int], *, gpu: bool = False) -> Iterator[None]:
    """Say that `owner` (`longtake.memory.owners.OWNERS`) holds `nbytes` during the body; a callable is asked."""
    kept = _KEPT.get()
    if kept is None:
        yield
        return
    holding = kept.add(owner, nbytes, gpu=gpu)
    try:
        yield
    finally:
        kept.remove(holding)


def owns(owner: str, nbytes: int | Callable[[], int], *, gpu: bool = False) -> None:
    """Say that `owner` holds `nbytes` from now on; a callable is asked."""
    kept = _KEPT.get()
    if kept is not None:
        kept.add(owner, nbytes, gpu=gpu)


@contextmanager
def droppable(what: str, drop: Callable[[], int]) -> Iterator[None]:
    """Say that the work can let go of `what` during the body by calling `drop`, which returns its bytes.

    No number may change by it.
    """
    kept = _KEPT.get()
    if kept is None:
        yield
        return
    with kept.cleaning.offered(what, drop):
        yield


def look() -> None:
    """Look at what everybody holds; called where the work could let go of something."""
    kept = _KEPT.get()
    if kept is not None:
        kept.look()


@contextmanager
def step(counter: Callable[[], Counter], *, gpu: bool = False) -> Iterator[None]:
    """Do one step of the work; on the CPU a `counter` of tensors (LiveBytes) runs in the steps of `is_counted`."""
    kept = _KEPT.get()
    counted = counter() if kept is not None and not gpu and is_counted(kept.steps) else None
    with counted if counted is not None else nullcontext():
        yield
    if kept is None:
        return
    kept.steps += 1
    if counted is not None:
        kept.activations(counted.peak)
    kept.look()


def counted_step(nbytes: int, *, gpu: bool = False) -> None:
    """Enter a step of the work that has counted by itself the `nbytes` of tensors that it made."""
    kept = _KEPT.get()
    if kept is None:
        return
    kept.steps += 1
    if not gpu:
        kept.activations(nbytes)
    kept.look()


def _in_mb(held: Mapping[str, int]) -> dict[str, float]:
    return {owner: round(held[owner] / MIB, 1) for owner in OWNERS if owner in held}
