"""Remove clips that no table names, and states of fits: ``python -m longtake.training.clean RESULTS``.

It lists what it would remove, by kind, and removes only with ``--yes``. It touches nothing outside of
RESULTS/training/store and RESULTS/training/work, follows no link, and refuses while Snakemake holds a lock on the
folder that it is run in.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import ConfigError, LongtakeError
from longtake.store.tables import read_table
from longtake.training.tables import CLIPS

KINDS = ("unused clips", "states of fits", "notes of shards")


@dataclass(frozen=True)
class Found:
    """A file that can be removed, and of what kind it is."""

    path: Path
    kind: str
    nbytes: int


def removable(results: Path, everything: bool = False) -> list[Found]:
    """Return what can be removed; the clips that a table names only where `everything` is asked for.

    Raises
    ------
    ConfigError
        `results` holds no training, or its folders are links.
    """
    base = results / "training"
    if not base.is_dir() or base.is_symlink():
        raise ConfigError(f"{results} holds no folder 'training' of a run. Name the output_dir of one.")
    named = set() if everything else _named(base)
    found = [
        Found(path, KINDS[0], path.lstat().st_size)
        for path in _files(base / "store", ".safetensors")
        if path.stem not in named
    ]
    found += [Found(path, KINDS[1], path.lstat().st_size) for path in _files(base / "work", ".safetensors")]
    if everything:
        found += [Found(path, KINDS[2], path.lstat().st_size) for path in _files(base / "work", ".json")]
    return found


def _named(base: Path) -> set[str]:
    tables = [base / "clips.parquet", *base.glob("shards/*/clips.parquet")]
    return {row["key"] for path in tables if path.exists() for row in read_table(path, CLIPS).to_pylist() if row["key"]}


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    """The plain files below `folder`; links are neither followed nor named."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if path.suffix == suffix and not path.is_symlink() and path.is_file():
                yield path


def locked(folder: Path) -> bool:
    """Say whether Snakemake holds a lock in `folder`."""
    return any((folder / ".snakemake" / "locks").glob("*"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m longtake.training.clean", description=__doc__)
    parser.add_argument("results", type=Path, help="output_dir of the run")
    parser.add_argument("--everything", action="store_true", help="also clips that are in use; they are made anew")
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    given = parser.parse_args(arguments)
    out = sys.stdout.write
    try:
        if locked(Path.cwd()):
            raise ConfigError(
                "Snakemake works in this folder (.snakemake/locks). Wait for it, or unlock it if it is dead."
            )
        found = removable(given.results, given.everything)
    except LongtakeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for kind in KINDS:
        own = [each for each in found if each.kind == kind]
        out(f"{kind}: {len(own)} files, {sum(each.nbytes for each in own) / 1e6:.1f} MB\n")
    for each in found:
        out(f"  {each.path}\n")
    if not found:
        return 0
    if not given.yes:
        out("Nothing was removed; add --yes to remove these files.\n")
        return 0
    for each in found:
        each.path.unlink()
    out(f"Removed {len(found)} files.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
