"""What is in a volume's file, found in one pass before any model is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import UnreadableVolume
from longtake.volumes.axes import Axes
from longtake.volumes.source import Source, open_volume

BLOCK = 1 << 22


def probe_volume(path: str | Path, axes: Axes, *, variable: str = "", divide_by: float = 1.0) -> dict[str, Any]:
    """Shape, kind, range, digest and geometry of a volume, as JSON values.

    Returns
    -------
    `status` ``ok``, or ``unreadable`` with the `reason`; `shape` in the file's and `model_shape` (3,) in the model's
    order, `channels`, `dtype`, `minimum`, `maximum` and `mean` after division, `affine`, `spacing`, `digest` of the
    file's bytes.

    Memory: one plane; the whole array for npz and MATLAB up to 7.2.
    """
    facts: dict[str, Any] = {"path": str(path), "status": "ok", "reason": ""}
    try:
        with open_volume(path, variable=variable, axes=axes.file) as source:
            facts |= _geometry(source, axes) | _numbers(source, divide_by)
        facts["digest"] = file_digest(Path(path))
    except UnreadableVolume as error:
        facts |= {"status": "unreadable", "reason": str(error)}
    except (OSError, MemoryError) as error:
        facts |= {"status": "unreadable", "reason": f"{path} cannot be read ({error}): look at the disk."}
    return facts


def _geometry(source: Source, axes: Axes) -> dict[str, Any]:
    sizes = dict(zip(axes.file, source.shape, strict=True))
    return {
        "kind": source.kind,
        "variable": source.variable,
        "shape": list(source.shape),
        "model_shape": [sizes[letter] for letter in axes.spatial],
        "channels": sizes.get("C", 1),
        "dtype": str(source.dtype),
        "affine": None if source.affine is None else source.affine.tolist(),
        "spacing": None if source.spacing is None else list(source.spacing),
    }


def _numbers(source: Source, divide_by: float) -> dict[str, Any]:
    low, high, total, count, bad, first = np.inf, -np.inf, 0.0, 0, 0, None
    for index, plane in source.planes():
        finite = np.isfinite(plane)
        wrong = int(plane.size - np.count_nonzero(finite))
        if wrong and first is None:
            inside = [int(at) for at in np.argwhere(~finite)[0]]
            first = (*inside[: source.along], index, *inside[source.along :])
        bad += wrong
        kept = plane if not wrong else plane[finite]
        if kept.size:
            low, high = min(low, float(kept.min())), max(high, float(kept.max()))
            total += float(kept.sum(dtype=np.float64))
            count += kept.size
    if bad:
        raise UnreadableVolume(
            f"{source.path} holds {bad} numbers that are not finite, the first at {first}. Repair or leave out the "
            "volume; a map of it would be all NaN."
        )
    scale = 1.0 / divide_by
    return {"minimum": low * scale, "maximum": high * scale, "mean": total / count * scale}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, of the names and bytes of all its files."""
    whole = hashlib.sha256()
    files = [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file())
    for file in files:
        if path.is_dir():
            whole.update(f"{file.relative_to(path)}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                whole.update(block)
    return whole.hexdigest()
