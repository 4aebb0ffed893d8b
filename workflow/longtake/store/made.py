"""What the results in a folder were made with, and from which working directories.

Snakemake sees that a setting has changed by records of its own, which lie in ``.snakemake`` of the working directory.
Where that was deleted, or another working directory has the same folder of results, a result of other settings would
pass for one of now. So the settings lie in the folder of results, too. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from longtake.errors import ConfigError
from longtake.store.atomic import write_json, write_text

NAME = "made.json"
# Where things lie and how jobs are run: what changes no number. By the whole name or, at any depth, by the last part.
_NO_MATTER = frozenset({"output_dir", "cluster", "videos", "prompts", "device", "memory"})
_KNOBS = frozenset({"chunk", "chunk_size", "memory_gb", "object_batch", "workers", "threads"})
_TOLD = 3


def that_matter(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings on which results depend, by their dotted names, as JSON knows them."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _KNOBS or (not prefix and name in _NO_MATTER):
            continue
        if isinstance(value, Mapping):
            found |= that_matter(value, f"{prefix}{name}.")
        elif isinstance(value, str) and "/" in value:
            # From another working directory the same file has another path.
            found[prefix + name] = Path(value).name
        else:
            found[prefix + name] = json.loads(json.dumps(value, default=str))
    return found


def told_of(rows: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return a digest of what the sheets say of each video, given as its id and plain values."""
    return {name: hashlib.sha256(repr(values).encode()).hexdigest()[:16] for name, values in rows}


def refuse_other(
    results: Path, records: Path, settings: Mapping[str, Any], sheets: Callable[[], Mapping[str, str]]
) -> None:
    """Refuse results of other settings or rows of the sheets, if Snakemake here cannot know that they are outdated.

    Parameters
    ----------
    records
        Snakemake's folder in this working directory.
    settings, sheets
        Those of now: `that_matter`, and what gives `told_of`, which is asked only where it is needed.

    Raises
    ------
    ConfigError
        Naming what differs, from where the results were made, and what to do.
    """
    known = _read(results / NAME)
    makers = known.get("made_by", {})
    if not makers or set(makers) == {_own(records)}:
        return
    before, rows = known.get("settings", {}), known.get("sheets", {})
    differ = [
        f"{name} is {value!r} here and was {before[name]!r}"
        for name, value in settings.items()
        if name in before and before[name] != value
    ]
    differ += [f"the rows of video {name!r}" for name, told in sheets().items() if rows.get(name, told) != told]
    if not differ:
        return
    more = f"; and {len(differ) - _TOLD} more" if len(differ) > _TOLD else ""
    places = " and ".join(sorted(set(makers.values())))
    raise ConfigError(
        f"{results} holds results that were made otherwise: {'; '.join(differ[:_TOLD])}{more}. They were made from "
        f"{places}, and Snakemake's records of that are not in {records.absolute()}: what is outdated would not be "
        f"redone. Go on from there as long as those records are there, name another output_dir, or remove {results} to "
        "make all anew."
    )


def remember(results: Path, records: Path, settings: Mapping[str, Any], sheets: Mapping[str, str]) -> None:
    """Write down what the results are made with from now on, and that this working directory makes them."""
    own = _own(records)
    if not own:
        own = uuid.uuid4().hex
        write_text(records / "longtake-id", own)
    known = _read(results / NAME)
    makers = known.get("made_by", {}) | {own: str(Path.cwd())}
    # Videos that are not asked for now keep what was said of them when they were made.
    rows = known.get("sheets", {}) | dict(sheets)
    write_json(results / NAME, {"made_by": makers, "settings": dict(settings), "sheets": rows})


def _own(records: Path) -> str:
    try:
        return (records / "longtake-id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
