"""A lock in the folder of results: Snakemake's own lies in the working directory, and knows nothing of another one.

It says which process holds it, on which machine, since when and from where. One of a process that has ended is taken
over; of a process on another machine nobody here can tell, so a person is asked. Standard library only.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from longtake.errors import ConfigError

NAME = ".longtake-lock.json"
_TRIES = 5


def acquire(results: Path) -> Path:
    """Take the lock of a folder of results and return its file, which the caller removes with `release`.

    Raises
    ------
    ConfigError
        Another run holds it, or may hold it; or no file can be written there.
    """
    path, mine = results / NAME, _mine()
    try:
        results.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            if _put(path, mine):
                return path
            holder = _read(path)
            if holder is not None and _may_live(holder, mine):
                raise ConfigError(_told(path, holder, mine))
            _set_aside(path, holder)
    except OSError as error:
        raise ConfigError(
            f"{results}: a run cannot be begun there ({error.strerror}). See to who may write it."
        ) from error
    raise ConfigError(f"{path}: other runs begin there at the same time. Start again when they have ended.")


def release(path: Path) -> None:
    """Remove the lock if this process holds it."""
    held, mine = _read(path), _mine()
    if held is not None and all(held.get(name) == mine[name] for name in ("pid", "started", "machine")):
        path.unlink(missing_ok=True)


def _mine() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "host": platform.node(),
        "machine": _machine(),
        "directory": str(Path.cwd()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _put(path: Path, mine: dict[str, Any]) -> bool:
    """Create the lock whole, or not at all where there is one; also on a disk shared by machines."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".longtake-lock.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(mine, file)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:
            # A disk without links: the file may be seen before its text is in it, and is then taken for a stale one.
            with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
                json.dump(mine, file)
                return True
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _set_aside(path: Path, stale: dict[str, Any] | None) -> None:
    """Remove a stale lock, but not one that another run has put there meanwhile."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if _read(aside) != stale:
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        aside.unlink()


def _may_live(holder: dict[str, Any], mine: dict[str, Any]) -> bool:
    if holder.get("host") != mine["host"]:
        return True
    if holder.get("machine") != mine["machine"]:
        # The same name: it was started anew since, or it is another container, of which nothing can be seen here.
        return str(holder.get("machine")).partition(" ")[0] == mine["machine"].partition(" ")[0]
    started = _started(int(holder.get("pid", 0)))
    return started is not None and started == holder.get("started")


def _machine() -> str:
    """Since when this machine runs, and in which world of process numbers; empty where nobody says."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's count; None if there is none, or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _alive(pid)
    return None if state in "ZX" else fields[18]


def _alive(pid: int) -> str | None:
    """The same where the kernel does not say when: whether it is there at all."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "there"
    return "there"


def _told(path: Path, holder: dict[str, Any], mine: dict[str, Any]) -> str:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    remedy = "Wait for it, or end it" if holder.get("host") == mine["host"] else f"If it has ended, remove {path}"
    return (
        f"{path.parent} is in use by another run: {who}, from {holder.get('directory')}. Two would write the same "
        f"files. {remedy}; or name another output_dir."
    )
