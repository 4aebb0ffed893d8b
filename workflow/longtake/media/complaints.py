"""Errors that libav only logs: a decoder that conceals damage says so nowhere else."""

from __future__ import annotations

import logging

import av.logging

log = logging.getLogger(__name__)

# Decoding that starts at an open group of pictures is told to forget pictures that it never had.
_HARMLESS = frozenset({"mmco: unref short failure"})
# A broken file can have one for each of its samples, tens of thousands, while it is opened.
TOLD_MESSAGES = 20


class _Bounded(logging.Handler):
    """Hands the first messages of libav on to the log of this module, and counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        if self.count <= TOLD_MESSAGES:
            log.info("%s: %s", record.name, record.getMessage().strip())
        # Told as they grow, since nobody says when the last one has come.
        elif self.count in _MILESTONES:
            log.info("libav: %d messages by now; only the first %d are kept", self.count, TOLD_MESSAGES)


_MILESTONES = frozenset(10**power for power in range(2, 12))
_handler = _Bounded()


def listen() -> None:
    """Let libav's error messages through to Python; done once a process.

    Outside a capture they go to this module's log, and so to a job's file, the first `TOLD_MESSAGES` of a process; none
    reaches the terminal. Safe from deadlock as long as decoders run in the calling thread alone (``thread_count = 1``).
    """
    if av.logging.get_level() is None:
        av.logging.set_level(av.logging.ERROR)
        # A message that repeats itself is a second error, not noise.
        av.logging.set_skip_repeated(False)
    libav = logging.getLogger("libav")
    if _handler not in libav.handlers:
        libav.addHandler(_handler)
        libav.propagate = False


def counted() -> int:
    """Return how many messages came outside captures in this process so far."""
    return _handler.count


def capture() -> av.logging.Capture:
    """Context manager that yields the list of what this thread's libav calls log inside it."""
    return av.logging.Capture(local=True)


def is_error(logs: list[tuple[int, str, str]]) -> bool:
    """Whether damage was reported, going by the level; libav's messages carry no codes."""
    return any(level <= av.logging.ERROR and message.strip() not in _HARMLESS for level, _, message in logs)
