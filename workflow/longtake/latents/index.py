"""The index of a study: what headers, sizes and metadata say of each video, without reading its numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.errors import LatentError
from longtake.latents.axes import axes_of, canonical
from longtake.latents.headers import Header, read_header
from longtake.latents.layout import StepFile, VideoFiles, find_videos
from longtake.latents.readers import Stored
from longtake.latents.sidecars import read_metadata
from longtake.latents.tables import INDEX
from longtake.latents.zarrs import stamp
from longtake.store.tables import write_table


def index_videos(
    videos: Iterable[VideoFiles], *, axes: str, scratch: str | os.PathLike[str] = "."
) -> list[dict[str, Any]]:
    """One row of ``INDEX`` for each video; what is wrong with one is its reason, and stops no other.

    Memory: the rows, some 300 bytes a latent.
    """
    return [_row(video, axes, scratch) for video in videos]


def write_index(
    *,
    folder: str,
    sheet: str,
    base: str,
    steps: str | list[int],
    missing_steps: str,
    axes: str,
    videos: Sequence[str],
    out: str,
    scratch: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write ``INDEX`` of those of the study's `videos` that a job will measure, and count how they stand.

    The whole study is listed, since what is missing in one video is seen by the others.
    """
    found = find_videos(folder, sheet, base=base, steps=steps, keep_missing=missing_steps == "keep")
    wanted = set(videos)
    rows: list[dict[str, Any]] = []
    for video in found:
        if video.video in wanted:
            rows += index_videos([video], axes=axes, scratch=scratch)
            if progress is not None:
                progress(len(rows), len(wanted))
    write_table(out, rows, INDEX)
    return {"videos": len(rows), "failed": sum(row["status"] != "ok" for row in rows)}


def _row(video: VideoFiles, axes: str, scratch: str | os.PathLike[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "video": video.video, "group": video.group, "seed": video.seed, "prompt": None, "n_steps": len(video.files),
        "shape": None, "dtype": None, "axes": None, "status": "ok", "reason": "", "files": len(video.files),
        "bytes": 0, "notices": list(video.notices), "folder": video.folder, "held": [],
    }  # fmt: skip
    try:
        if video.trouble:
            raise LatentError(video.trouble)
        for file in video.files:
            _add(row, file, axes, scratch)
    except LatentError as error:
        row |= {"status": "failed", "reason": str(error), "bytes": row["bytes"] or _bytes(video)}
    except OSError as error:
        row |= {"status": "failed", "reason": f"{error.filename} cannot be read: {error.strerror}."}
    return row


def _add(row: dict[str, Any], file: StepFile, axes: str, scratch: str | os.PathLike[str]) -> None:
    """Add a file to its video's row; `LatentError` where it cannot be measured, or does not go with the others."""
    path = Path(row["folder"]) / file.name
    known, notices = read_metadata(row["folder"], file.name, file.step)
    row["notices"] += notices
    size, changed = stamp(path)
    header = read_header(path, file.kind, scratch)
    order = axes_of(axes, len(header.shape), known, str(path))
    shape = canonical(header.shape, order, str(path))
    row["bytes"] += size
    if row["shape"] not in (None, list(shape)):
        raise LatentError(
            f"{path} has the shape {list(shape)}, but {row['held'][0]['name']} has {row['shape']} (channel, frame, "
            "row, column). Steps of one video must have one shape."
        )
    if row["seed"] is not None and known.get("seed", row["seed"]) != row["seed"]:
        raise LatentError(
            f"{path}: the metadata say seed {known['seed']}, but {row['seed']} was given for this video before. Put "
            "latents of two seeds into two folders, or correct the metadata."
        )
    row["seed"] = known.get("seed", row["seed"])
    row["prompt"] = known.get("prompt", row["prompt"])
    row |= {"shape": list(shape), "axes": order, "dtype": header.dtype.lstrip("<>=|").replace("f2", "float16")
            .replace("f4", "float32").replace("f8", "float64")}  # fmt: skip
    row["held"].append(
        {
            "step": file.step, "name": file.name, "kind": file.kind, "offset": header.offset, "nbytes": header.nbytes,
            "fortran": header.fortran, "scale": header.scale, "stored_shape": list(header.shape),
            "stored_dtype": header.dtype, "axes": order, "size": size, "mtime_ns": changed,
            "timestep": known.get("timestep"), "sigma": known.get("sigma"),
        }
    )  # fmt: skip


def stored(row: Mapping[str, Any]) -> list[Stored]:
    """The latents of a row of ``INDEX``, in order of step."""
    return [_stored(row["folder"], held) for held in row["held"]]


def stored_at(rows: Sequence[Mapping[str, Any]], step: int) -> list[Stored]:
    """The latent of `step` of each row that has it."""
    return [_stored(row["folder"], held) for row in rows for held in row["held"] if held["step"] == step]


def _stored(folder: str, held: Mapping[str, Any]) -> Stored:
    header = Header(
        tuple(held["stored_shape"]),
        held["stored_dtype"],
        held["offset"],
        held["nbytes"],
        held["fortran"],
        held["scale"],
    )
    return Stored(Path(folder) / held["name"], held["kind"], header, held["axes"], held["size"], held["mtime_ns"])


def _bytes(video: VideoFiles) -> int:
    return sum(
        stamp(path)[0]
        for path in video.paths
        if os.path.exists(path)  # noqa: PTH110
    )
