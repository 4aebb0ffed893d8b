"""Write volumes.tsv from a CSV of cases and labels and a folder: `python -m longtake.attribution.cases CSV FOLDER`.

The CSV has a header with `caseID` (or case, volume, id) and `label`, optionally `split` and `subject`. A case's file is
the one in the folder whose name, without its ending, is the case's.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from longtake.attribution.sheet import SPLITS
from longtake.errors import LongtakeError, SheetError, nearest

log = logging.getLogger(__name__)
NAMES = ("caseid", "case", "volume", "id")
ENDINGS = (".nii.gz", ".nii", ".npy", ".npz", ".mat", ".tif", ".tiff", ".zarr", ".dcm", "")
COLUMNS = ("volume", "path", "label", "split", "subject")
MOST = 1 << 26


def cases(table: str | Path, folder: str | Path) -> Iterator[dict[str, str]]:
    """Yield a row of volumes.tsv for each case.

    Raises
    ------
    SheetError
        A column is missing, a case has no file or two, or a split has another name.
    """
    place = Path(table)
    if place.stat().st_size > MOST:
        raise SheetError(f"{place} has {place.stat().st_size} bytes: that is no table of cases.")
    with place.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        known = {name.strip().lower(): name for name in reader.fieldnames or []}
        identity = next((known[name] for name in NAMES if name in known), None)
        if identity is None:
            raise SheetError(f"{place} has no column caseID; it has: {', '.join(known) or 'none'}.")
        files = _files(Path(folder))
        for row in reader:
            cells = {key: row.get(name) or "" for key, name in known.items()}
            yield _case(place, row[identity] or "", cells, files)


def _files(folder: Path) -> dict[str, list[Path]]:
    """Files and folders by name without ending."""
    if not folder.is_dir():
        raise SheetError(f"{folder} is no folder of volumes.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = next((path.name[: len(path.name) - len(end)] for end in ENDINGS if path.name.lower().endswith(end)), "")
        found.setdefault(name, []).append(path)
    return found


def _case(table: Path, case: str, cells: Mapping[str, str], files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    name = case.strip()
    there = files.get(name, [])
    if len(there) != 1:
        said = f"{len(there)} files: {', '.join(map(str, there))}" if there else f"no file.{nearest(name, files)}"
        raise SheetError(f"{table}: case {name!r} has {said}")
    split = cells.get("split", "").strip().lower() or "test"
    if split not in SPLITS:
        raise SheetError(f"{table}: case {name!r} is in split {split!r}; it must be {', '.join(SPLITS)}.")
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in name)
    values = (safe, str(there[0]), cells.get("label", "").strip(), split, cells.get("subject", "").strip())
    return dict(zip(COLUMNS, values, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sheet to standard output, all or nothing; return the exit status."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m longtake.attribution.cases", description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    try:
        rows = list(cases(given.table, given.folder))
    except (LongtakeError, OSError, UnicodeDecodeError, csv.Error) as error:
        log.error("%s", error)
        return 1
    sys.stdout.write("\t".join(COLUMNS) + "\n")
    for row in rows:
        sys.stdout.write("\t".join(" ".join(row[name].split()) for name in COLUMNS) + "\n")
    log.info("%d volumes", len(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
