"""What a killed process left half written: known by its name, and removed by the next that comes by.

The name of each temporary file says whose it is: the machine as it was started, the process, and when that began. One
whose process is gone is removed; nobody else can be waiting for it. A file of another machine, or of another container,
whose processes cannot be seen from here, is removed when nobody has written to it for a week.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

SCRATCH = "longtake-"
_OLD_S = 7 * 24 * 3600
_NAME = re.compile(
    rf"^(?:\..*\.|{SCRATCH})(?P<place>[0-9a-f]{{8}})-(?P<process>[0-9]+)-(?P<began>[0-9]+)-[a-z0-9_]{{8}}(?:\.[^.]*)?$"
)


def mark() -> str:
    """Return what the name of a temporary file says of this process, to be followed by a dash and eight characters."""
    return f"{_place()}-{os.getpid()}-{_began(os.getpid())}"


def sweep(folder: Path) -> list[Path]:
    """Remove what dead processes left in `folder`, and return it; what cannot be removed is left to others."""
    gone: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            found = [(Path(entry.path), hit) for entry in entries if (hit := _NAME.match(entry.name))]
    except OSError:
        return gone
    for path, hit in found:
        with suppress(OSError):
            if not _left(path, hit["place"], int(hit["process"]), hit["began"]):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            gone.append(path)
    return gone


@cache
def sweep_once(folder: Path) -> None:
    """Do the same where this process has not yet."""
    sweep(folder)


def _left(path: Path, place: str, process: int, began: str) -> bool:
    told = path.lstat()
    if told.st_uid != os.geteuid():
        return False
    if place != _place():
        return time.time() - told.st_mtime > _OLD_S
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    # The number was given to another process since.
    return _began(process) not in ("0", began)


@cache
def _place() -> str:
    """This machine since it was started, and the room in which its processes see each other."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _began(process: int) -> str:
    """When a process began, in ticks since the machine was started; "0" where that is not told.

    The 22nd field of ``/proc/PID/stat`` (proc(5)); the second, a name in brackets, may hold anything.
    """
    try:
        told = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return "0"
    return told.rpartition(b")")[2].split()[19].decode("ascii")
