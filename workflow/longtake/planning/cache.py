"""What was found out before and still holds: plain values in a folder, one small file each, found again by what they
depend on.

A forecast simulates models and tries small jobs, which takes seconds to minutes for each distinct case; then one more
video, or a changed sheet, asks for nearly the same again. A value's key is a digest of everything it depends on: the
facts of the case, the model's files, the code, the versions of libraries, and the allocator that was asked. Nothing is
ever out of date, then: what no longer holds is not found. Processes may write at once, as the same key has the same
value, and files appear by rename.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from longtake.memory.budget import GIB
from longtake.model_folder import files_digest, model_files
from longtake.planning.forecast import key_of
from longtake.store.atomic import write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A folder of what was found out, and what all values in it that are asked for here depend on.

    Attributes
    ----------
    folder : None for none: then everything is found out, and nothing is kept
    facts : by name, JSON values; the digest of the code must be among them
    counts : how many values were ``known``, and how many were ``found_out``, each once however often it was asked for
    values : those that were asked for in this process, by key

    The last two are shared with what `about` returns.
    """

    folder: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=lambda: Counter(known=0, found_out=0))
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def within(cls, folder: str | os.PathLike[str] | None, code: str) -> Known:
        """What is kept in `folder` by code of this digest (`longtake.fingerprint.digest`)."""
        return cls(None if folder is None else Path(folder), {"code": code})

    def about(self, **facts: Any) -> Known:
        """The same folder, for values that depend on these facts as well."""
        return replace(self, facts={**self.facts, **facts})

    def of_model(self, spec: str | os.PathLike[str]) -> Known:
        """The same folder, for values of a model: they depend on the contents of its files.

        Of a model that is ``module:factory`` nothing is kept, since what its file imports or opens is not known.
        """
        digest = None if self.folder is None else _model_digest(Path(spec))
        return self.about(model=digest) if digest else replace(self.about(model=str(spec)), folder=None)

    def here(self, threads: int) -> Known:
        """The same folder, for what is measured on this machine with so many threads."""
        return self.about(machine=platform.node(), threads=threads)

    def value(self, find: Callable[[], Any], **facts: Any) -> Any:
        """Return the value for these facts: the one that is kept, or what `find` returns, which then is.

        It is a JSON value, and the same whether it was known or not: tuples have become lists. None is not kept, and
        what `find` raises is not either: the reason may be gone the next time.
        """
        about = {**self.facts, **facts, **_surroundings()}
        key = key_of(**about)
        if key not in self.values:
            path = None if self.folder is None else self.folder / f"{key}.json"
            kept = None if path is None else _read(path, key)
            self.values[key] = _plain(find()) if kept is None else kept
            self.counts["found_out" if kept is None else "known"] += 1
            if kept is None and path is not None and self.values[key] is not None:
                _write(path, key, self.values[key], about)
        return self.values[key]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _read(path: Path, key: str) -> Any:
    """The value in a file; None if there is none, or if the file is no whole one of this key."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        value, digest = held["value"], held["digest"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s is unreadable and is computed anew: %r", path, error)
        return None
    if digest != _digest(key, value):
        log.warning("%s is damaged and is computed anew: its contents are not what was written", path)
        return None
    return value


def _write(path: Path, key: str, value: Any, about: Mapping[str, Any]) -> None:
    # What it is about stands there for people. The order of a value's parts is kept: it is that of tables' cells.
    held = {"about": _plain(about), "value": value, "digest": _digest(key, value)}
    try:
        write_text(path, json.dumps(held, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        log.warning("%s cannot be written, so it will be found out again: %s", path, error)


def _digest(key: str, value: Any) -> str:
    return hashlib.sha256(json.dumps([key, value]).encode()).hexdigest()


def _model_digest(folder: Path) -> str | None:
    """Digest of names and contents of a model's files; None of what is no folder of a model."""
    if not (folder / "config.json").is_file():
        return None
    return files_digest(map(Path, model_files(str(folder), Path(), "model")))


@cache
def _surroundings() -> dict[str, Any]:
    """What any simulation or measurement depends on beside `longtake.planning.forecast.key_of`'s libraries.

    The allocator is asked (`longtake.planning.heap`), and it refuses what is larger than the machine's memory.
    """
    try:
        timm = version("timm")  # of published EdgeTAM models, and of nothing else here
    except PackageNotFoundError:
        timm = ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    asked = {name: os.environ.get(name, "") for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")}
    # Within a GiB, machines of one kind differ by what their systems take.
    system = {"libc": " ".join(platform.libc_ver()), "memory_gib": round(memory / GIB)}
    return {"python": platform.python_version(), "timm": timm, **system, **asked}
