"""Errors that libav only logs: a decoder that conceals damage says so nowhere else."""

from __future__ import annotations

import av.logging

# Decoding that starts at an open group of pictures is told to forget pictures that it never had.
_HARMLESS = frozenset({"mmco: unref short failure"})


def listen() -> None:
    """Let libav's error messages through to Python; done once a process.

    Outside a capture they go to the loggers ``libav.*``. Safe from deadlock as long as decoders run in
    the calling thread alone (``thread_count = 1``).
    """
    if av.logging.get_level() is None:
        av.logging.set_level(av.logging.ERROR)
        # A message that repeats itself is a second error, not noise.
        av.logging.set_skip_repeated(False)


def capture() -> av.logging.Capture:
    """Context manager that yields the list of what this thread's libav calls log inside it."""
    return av.logging.Capture(local=True)


def is_error(logs: list[tuple[int, str, str]]) -> bool:
    """Whether damage was reported, going by the level; libav's messages carry no codes."""
    return any(level <= av.logging.ERROR and message.strip() not in _HARMLESS for level, _, message in logs)
