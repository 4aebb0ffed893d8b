"""What to do when a job does not fit: try again in a way that needs less memory.

Exact rungs come first: they give the same numbers. Those that do not are only tried where that is allowed, and say by
how much they are wrong, which is measured before on something small.

Each attempt runs in a child process (`longtake.supervise.child`). Only so does a job outlive the kernel's out-of-memory
killer, and only so is every byte of a failed attempt gone before the next begins: whatever a traceback or an allocator
still held, died with the child. The parent never runs the model; it watches the memory, ends an attempt that comes too
close to a limit that would kill both, and steps down one rung.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from longtake.errors import OutOfMemory
from longtake.memory.budget import Budget
from longtake.memory.ledger import MemoryPolicy
from longtake.memory.segments import AUTO, why_expandable
from longtake.status import Status
from longtake.supervise.child import End, Progress, attempt, terminable
from longtake.supervise.watch import too_close

log = logging.getLogger(__name__)
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Rung:
    """One way to run a job: a name for logs and records, and the keyword arguments that differ from the job's own.

    `errors`: of a way that is not exact, functions that take the arguments of this rung and say in words how far its
    numbers are from the exact ones on a small part of the job; the first of them that fits into memory counts. The
    words reach the job as the argument `approximate`. An exact rung has none.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[Callable[..., str], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the numbers are those of every other exact rung."""
        return not self.errors


@dataclass(frozen=True)
class Attempt:
    """One attempt: its rung, ``ok``, ``failed`` or ``out of memory`` and who said so, peaks in MiB, seconds.

    `ledger` says who held the memory: `longtake.memory.ledger.Ledger.facts`.
    """

    rung: str
    status: str
    reason: str
    rss_mb: float
    gpu_allocated_mb: float
    gpu_reserved_mb: float
    wall_s: float
    ledger: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What the job returned, and on which rung."""

    result: Any
    rung: Rung


AS_ASKED = Rung("as asked")


def on_the_cpu(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the last rung of a job with `device` among its `arguments`: the CPU, if that is not where it is already."""
    return [] if arguments["device"] == "cpu" else [Rung("on the CPU", {"device": "cpu"})]


def from_rung(rungs: Sequence[Rung], skipped: int, *, approximate: bool = False) -> list[Rung]:
    """Leave out the first `skipped` rungs, but none on the same device for one on another; and those not allowed.

    A job begins further down where an earlier run of it was killed whole and could not step down by itself. It got more
    memory and a larger GPU as well, so it does not begin without that GPU.
    """
    exact = [rung for rung in rungs if rung.exact]
    lossy = [rung for rung in rungs if not rung.exact]
    here = sum("device" not in rung.changes for rung in exact)
    return exact[min(skipped, max(here, 1) - 1) :] + (lossy if approximate else [])


def climb_down(
    work: Callable[..., Any],
    arguments: Mapping[str, Any],
    rungs: Sequence[Rung] = (AS_ASKED,),
    *,
    attempts: list[Attempt],
    budget: Budget | None = None,
    progress: Progress = None,
    policy: MemoryPolicy | None = None,
    expandable_segments: str = AUTO,
) -> Outcome:
    """Run `work` on the first rung whose memory suffices.

    Parameters
    ----------
    work
        Called in a child process as ``work(**arguments, **rung.changes)``, with `approximate` on a rung that is not
        exact, and with `progress` if that is given. What it returns must pickle.
    rungs
        From the fastest to the one that needs least memory.
    attempts
        Every attempt is added to it, also when none succeeds.
    budget
        The child is ended shortly before it reaches one of its hard limits.
    progress
        Called in this process with (done, total).
    policy
        How the memory of the first attempt is accounted for; every later one gives what it frees back at once.
    expandable_segments
        Whether the GPU's allocator may use them: see `longtake.memory.segments.why_expandable`.

    Raises
    ------
    OutOfMemory
        The last rung did not fit either, says what each attempt used; or there was no memory to begin with.
    SystemExit
        This process was told to end by SIGTERM; the child has ended, and what it had not finished is removed.
    Exception
        Whatever `work` raised that has nothing to do with memory, with its own type; no other rung is tried.
    """
    limits = [limit for limit in budget.limits if limit.hard] if budget is not None else []
    if already := too_close(limits, psutil.Process()):
        raise OutOfMemory(f"Before it has begun, this job is {already}; ask for more memory (mem_mb).")
    with terminable() as leave:

        def run(what: Callable[..., Any], given: Mapping[str, Any], progress: Progress = None) -> End:
            kept = _next_policy(policy or MemoryPolicy(), expandable_segments, attempts)
            return attempt(what, given, limits, progress, leave, policy=kept)

        for rung in rungs:
            given = {**arguments, **rung.changes}
            if not rung.exact:
                words = _measured(rung, given, attempts, run)
                if words is None:
                    continue
                given["approximate"] = f"{rung.name}, as no exact way fits into memory; {words}"
            end = run(work, given, progress)
            if _noted(rung.name, end, attempts):
                return Outcome(end.result, rung)
    tried = "; ".join(f"{it.rung}: {it.rss_mb:.0f} MiB{_on_gpu(it)}, {it.reason}" for it in attempts if it.reason)
    raise OutOfMemory(
        f"No way of running this job fits into its memory ({tried}). Ask for more memory (mem_mb, or a GPU with more), "
        "or make the job smaller: a smaller video_scale_factor, fewer objects in a video. Where numbers may differ a "
        "little, memory.allow_approximate: true adds ways that are not exact, and says how far off they are."
    )


def _next_policy(policy: MemoryPolicy, expandable_segments: str, attempts: Sequence[Attempt]) -> MemoryPolicy:
    """MemoryPolicy of the next attempt, after what the earlier ones have come to."""
    full = any(it.status == OUT_OF_MEMORY for it in attempts)
    why = why_expandable(expandable_segments, [it.ledger.get("gpu", {}) for it in attempts])
    return replace(policy, frugal=policy.frugal or full, expandable=policy.expandable or why)


def _measured(rung: Rung, given: Mapping[str, Any], attempts: list[Attempt], run: Callable[..., End]) -> str | None:
    """Have the error of a rung measured; None where that does not fit into memory either."""
    for measure in rung.errors:
        end = run(measure, given)
        if _noted(f"error of: {rung.name}", end, attempts):
            return str(end.result)
    return None


def _noted(name: str, end: End, attempts: list[Attempt]) -> bool:
    """Add an attempt; tell whether it succeeded, and raise what was no matter of memory."""
    status = OUT_OF_MEMORY if end.full else (Status.OK if end.error is None else Status.FAILED)
    attempts.append(Attempt(name, status, end.full, *end.peaks, end.ledger))
    if end.error is not None:
        raise end.error
    if end.full:
        log.warning("out of memory (%s) at %.0f MiB%s: %s", end.full, end.peaks[0], _on_gpu(attempts[-1]), name)
    return not end.full


def _on_gpu(attempt: Attempt) -> str:
    return f" and {attempt.gpu_reserved_mb:.0f} MiB of the GPU" if attempt.gpu_reserved_mb else ""
