"""Paths as users write them: looked at, found, and shown in messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from longtake.errors import ConfigError, LongtakeError


def locate(path: str, base: Path, setting: str = "a setting") -> Path:
    """Return `path` itself if it exists in the working directory, else the one under `base` (the checkout).

    So that the models that come with longtake are found from any working directory.

    Raises
    ------
    ConfigError
        It cannot be found out whether `path` exists; the message says that `setting` names it.
    """
    here = Path(path)
    what = f"{setting} is {shortened(path)!r}, which"
    return here if here.is_absolute() or exists(here, what, ConfigError) else base / path


def exists(path: Path, what: str, error: type[LongtakeError], test: Callable[[Path], bool] = Path.exists) -> bool:
    """Return what `test` says of `path`; raise `error`, with a message that begins with `what`, if nobody can say.

    Python answers for a file that is not there, but not in a folder that one may not search, or for an endless name.
    """
    try:
        return test(path)
    except OSError as problem:
        raise error(
            f"{what} cannot be looked at ({problem.strerror}). Correct the path, or let it and the folders above it be "
            "read."
        ) from problem


def written_out(path: str | Path) -> str:
    """Return what to write for a `path` that begins with ``~``, which only a shell takes for a home; else nothing."""
    whole = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises where there is no such user
    return f" Write ~ out: {shortened(whole)}." if whole != str(path) else ""


def shortened(text: str) -> str:
    """Return `text` for a message, without its middle if it is long."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-20:]}"
