"""The one door from Snakemake's scripts into the library.

``with job(snakemake) as it:`` sets up the log, the thread count, the meter and the progress line, and writes a
record of the job (what it was, how it ended, what it used) beside the log, also when it fails. The library
behind it takes plain arguments and never sees Snakemake.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from longtake.errors import LongtakeError, OutOfMemory
from longtake.media.windows import Window
from longtake.memory.budget import CONTEXT, MIB, Budget, hold_to_gpu_limit, host_budget
from longtake.memory.ledger import MemoryPolicy
from longtake.memory.meter import EVERY_S, Meter
from longtake.memory.segments import AUTO
from longtake.planning.request import CPU, PLANNED, from_words
from longtake.status import Status
from longtake.store.atomic import write_json
from longtake.supervise.child import out_of_memory
from longtake.supervise.ladder import AS_ASKED, Attempt, Rung, climb_down, from_rung

log = logging.getLogger(__name__)
progress_log = logging.getLogger("longtake.progress")
PROGRESS_EVERY_S = 10.0
# By default SIGUSR1 ends a process. A scheduler sends it long before the time is over, and scripts load large libraries
# after this module: until a handler is installed (`longtake.supervise.child.terminable`), it is let pass.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@dataclass
class Job:
    """One running job: the rule's named files and parameters, and what the script tells of its work.

    `resources` are what was asked of the scheduler, and what the plan said of the job: how it is run and no result
    depends on them, and a change of them reruns nothing.
    """

    input: Any
    output: Any
    params: Any
    wildcards: dict[str, str]
    threads: int
    name: str
    budget: Budget
    meter: Meter
    resources: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    _began: float = field(default_factory=lambda: time.monotonic())
    _told: float = field(default_factory=lambda: time.monotonic())

    @property
    def window(self) -> Window:
        """The window of this job, from ``params.window``."""
        return Window(**self.params.window)

    @property
    def windows(self) -> list[Window]:
        """All windows of this job's video, from ``params.windows``."""
        return [Window(**window) for window in self.params.windows]

    def device(self, force_cpu: bool) -> str:
        """Return ``"cuda"`` if there is a GPU and `force_cpu` does not forbid it, else ``"cpu"``; logged."""
        import torch

        torch.set_num_threads(self.threads)
        gpu, why = ("", "force_cpu is set") if force_cpu else _usable_gpu()
        device = "cuda" if gpu else "cpu"
        log.info("device %s: %s; %d threads", device, gpu or why, self.threads)
        planned = self.resources.get("gpu_class", CPU)
        if not (gpu or force_cpu) and planned != CPU:
            log.warning("%s was to run on a GPU (%s), but %s: it runs on the CPU", self.name, planned, why)
        self.record(device=device)
        return device

    def record(self, **facts: Any) -> None:
        """Add `facts` (JSON values) to the job's record."""
        self.facts.update(facts)

    def run(self, work: Callable[..., Mapping[str, Any]], **arguments: Any) -> None:
        """Call `work` with `arguments` and a progress callback, and record what it returns."""
        self.record(**work(**arguments, progress=self.progress))

    def survive(
        self,
        work: Callable[..., Mapping[str, Any]],
        ladder: Callable[[Mapping[str, Any]], Sequence[Rung]] = lambda _: (AS_ASKED,),
        **arguments: Any,
    ) -> None:
        """Call `work` as `run` does, but in a child process, and once more wherever its memory does not suffice.

        `ladder` gives the ways to call it with these arguments, the first of which is as asked. Resource ``rung`` says
        how many of them to leave out, as earlier runs of the job failed; ``approximate`` (0 or 1) whether ways are
        allowed that are not exact. The record tells every attempt, and on which rung the job ended.
        """
        skipped = int(self.resources.get("rung", 0))
        rungs = from_rung(ladder(arguments), skipped, approximate=bool(self.resources.get("approximate", 0)))
        if skipped:
            log.info("try %d of this job begins on the rung: %s", skipped + 1, rungs[0].name)
            self.record(first_rung=rungs[0].name)
        on_gpu = partial(partial, _on_gpu, self.resources.get("gpu_limit_mb"))
        self.meter.quiet = True
        climb = climb_down(
            on_gpu(work),
            arguments,
            [replace(rung, errors=tuple(map(on_gpu, rung.errors))) for rung in rungs],
            budget=self.budget,
            progress=self.progress,
            attempts=self.attempts,
            policy=self._policy(),
            expandable_segments=self.resources.get("expandable_segments", AUTO),
        )
        self.meter.quiet = False
        self.record(**climb.result, rung=climb.rung.name)

    def _policy(self) -> MemoryPolicy:
        """How an attempt's memory is accounted for: by resource ``clean_up_percent``, where there is one."""
        policy = MemoryPolicy(self.meter.interval, self.budget.nbytes)
        percent = self.resources.get("clean_up_percent")
        return policy if percent is None else replace(policy, clean_up_at=percent / 100)

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` units are finished; a line at most every ten seconds."""
        now = time.monotonic()
        if now - self._told < PROGRESS_EVERY_S:
            return
        self._told = now
        rate = done / max(now - self._began, 1e-9)
        left = (total - done) / rate if rate else float("nan")
        share = 100 * done / total if total else 100.0
        line = "%s: %d of %d (%.0f %%), %.1f per s, %.0f s left"
        progress_log.info(line, self.name, done, total, share, rate, left)


@contextmanager
def job(snakemake: Any, interval: float = EVERY_S) -> Iterator[Job]:
    """Run the body of a script as one job.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script.
    interval
        Seconds between two lines about memory in the log.

    Raises
    ------
    SystemExit
        With status 1 if the body raised. The log holds the traceback, the record the reason; the terminal shows
        the message alone.
    """
    wildcards = dict(snakemake.wildcards.items())
    name = " ".join([snakemake.rule, *wildcards.values()])
    path = Path(snakemake.log[0])
    handlers = _open_log(path)
    given = dict(snakemake.resources.items())
    # What a profile or --set-resources says of one of them by itself counts.
    resources: dict[str, Any] = from_words(str(given.pop("plan", ""))) | given
    requested_mb = resources.get("mem_mb")
    budget = host_budget(requested_mb)
    meter = Meter(interval, budget.nbytes)
    files = (snakemake.input, snakemake.output, snakemake.params)
    it = Job(*files, wildcards, int(snakemake.threads), name, budget, meter, resources)
    failure: BaseException | None = None
    log.info("%s on %s, process %d", name, platform.node(), os.getpid())
    log.info("%s", budget.describe())
    with meter:
        try:
            _refuse_other_longtake(Path(snakemake.scriptdir))
            yield it
        except BaseException as error:  # every way to end must reach the record
            failure = _explained(error, name, budget)
    for attempt in it.attempts:
        meter.saw(attempt.rss_mb, attempt.gpu_allocated_mb, attempt.gpu_reserved_mb)
    status = Status.OK if failure is None else Status.FAILED
    reason = "" if failure is None else f"{type(failure).__name__}: {failure}"
    facts = {
        "rule": snakemake.rule,
        "wildcards": wildcards,
        "status": status,
        "reason": reason,
        "threads": it.threads,
        "requested_mem_mb": requested_mb,
        "asked": {name: resources[name] for name in (*PLANNED, "runtime") if name in resources},
        "budget_mb": budget.nbytes // MIB,
        "budget_by": budget.limits[0].source,
        "host": platform.node(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        **(peaks := meter.peaks()),
        **_accounted(it, peaks, alone=failure is None and len(it.attempts) < 2),
        "done": it.facts.pop("done", {}),
        "facts": it.facts,
    }
    try:
        write_json(path.with_suffix(".json"), _plain(facts))
    except (OSError, LongtakeError) as error:  # what failed before is what to tell
        log.error("the record of %s cannot be written: %s", name, error)
        failure = failure or error
    log.info("%s: %s in %.1f s, peak RSS %.0f MiB", name, status, facts["wall_s"], facts["rss_mb"])
    if failure is not None:
        _report(name, path, failure)
    _close_log(handlers)
    if failure is not None:
        raise SystemExit(1) from None


def _explained(error: BaseException, name: str, budget: Budget) -> BaseException:
    """Say what to do about memory that ran out outside the supervised attempts; any other error as it is."""
    if isinstance(error, LongtakeError) or not out_of_memory(error):
        return error
    return OutOfMemory(
        f"{name} ran out of memory ({type(error).__name__}: {error}); {budget.describe()}. Raise mem_mb of its rule "
        "(set-resources in the profile), or run fewer jobs at a time."
    )


def _accounted(it: Job, peaks: Mapping[str, float], *, alone: bool) -> dict[str, Any]:
    """How each attempt went, who held the memory in the last one, and what the plan had said of it.

    `forecast` has for ``host`` and ``gpu`` what was predicted and measured (MiB), and by what share the prediction was
    too high (or, negative, too low): only of a job that ran as the plan had it, `alone`, without a step down.
    """
    attempts = [asdict(attempt) for attempt in it.attempts]
    ledger = attempts[-1].pop("ledger") if attempts else {}
    # As it was forecast: what PyTorch takes of the GPU, and the driver; not what others hold of it.
    reserved = peaks["gpu_reserved_mb"]
    measured = {"host": peaks["rss_mb"], "gpu": reserved and reserved + CONTEXT / MIB}
    forecast = {}
    for kind, used in measured.items():
        predicted = it.resources.get(f"{kind}_mb")
        if predicted and used:
            error = round(predicted / used - 1, 4) if alone else None
            forecast[kind] = {"predicted_mb": predicted, "measured_mb": round(used, 1), "error": error}
    return {"ledger": ledger, "forecast": forecast, "attempts": attempts}


def _usable_gpu() -> tuple[str, str]:
    """Return the name of the GPU that a child of this process can use; an empty one with the reason if there is none.

    A child is asked, for the driver must not start here: a forked child could not use it any more.
    """
    import torch

    if not torch.backends.cuda.is_built():
        return "", "this PyTorch is built without CUDA"
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as child:
            return child.submit(_name_of_gpu).result(), "no GPU was found"
    except (RuntimeError, AssertionError) as error:  # a driver that is too old, a GPU in a bad state
        return "", f"the GPU cannot be used ({error})"


def _name_of_gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _on_gpu(limit_mb: int | None, work: Callable[..., Any], **arguments: Any) -> Any:
    """Do `work` within `limit_mb` MiB of the GPU, or what it has, and tell that; asking takes some of it, too.

    Numbers are those of float32: convolutions would else be rounded to 10 bits (TF32) on some GPUs and not on others,
    and sum in an order of their own each time.
    """
    if arguments.get("device") != "cuda":
        return work(**arguments)
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    budget = hold_to_gpu_limit(limit_mb)
    told: dict[str, Any] = {}
    if budget is not None:
        log.info("%s", budget.describe())
        told = {"gpu_budget_mb": budget.nbytes // MIB, "gpu_budget_by": budget.limits[0].source}
    result = work(**arguments)
    return {**told, **result} if isinstance(result, Mapping) else result


def _report(name: str, path: Path, failure: BaseException) -> None:
    root = logging.getLogger("longtake")
    root.debug("traceback", exc_info=failure)
    kind = "" if isinstance(failure, LongtakeError) else f"{type(failure).__name__}: "
    root.error("%s failed: %s%s (log: %s)", name, kind, failure, path)


def _open_log(path: Path) -> list[logging.Handler]:
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger("longtake")
    root.setLevel(logging.DEBUG)
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    # The terminal belongs to all jobs at once: only what a person waits for or must act on goes there.
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or record.name == progress_log.name)
    handlers: list[logging.Handler] = [file, terminal]
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(file)
    return handlers


def _close_log(handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        logging.getLogger("longtake").removeHandler(handler)
        logging.getLogger("py.warnings").removeHandler(handler)
        handler.close()


def _refuse_other_longtake(scripts: Path) -> None:
    here, expected = Path(__file__).parent.resolve(), scripts.resolve().parent / "longtake"
    if here != expected:
        raise LongtakeError(
            f"The script comes from {scripts}, but `import longtake` finds {here}. Uninstall that copy "
            "(pip uninstall longtake) or take it off PYTHONPATH, so that results come from one version."
        )


def _plain(value: Any) -> Any:
    """Return `value` as JSON knows it: NaN and infinity become null, anything unknown its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
