"""An index on disk: Parquet columns for the packets, JSON metadata for the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longtake.errors import MediaError
from longtake.media.index import StreamFacts, VideoIndex, content_digest, presentation_order
from longtake.media.pictures import picture_files
from longtake.store.atomic import atomic_path

VERSION = 1
_METADATA_KEY = b"longtake_video_index"
_COLUMNS = ("pts", "dts", "position", "size", "flags")


def save_index(index: VideoIndex, path: str | Path) -> None:
    """Write an index whole by rename; about 8 bytes a packet on disk."""
    about = {
        "version": VERSION,
        "source_bytes": index.source_bytes,
        "digest": index.digest,
        "time_base": [index.time_base.numerator, index.time_base.denominator],
        "facts": asdict(index.facts),
    }
    table = pa.table({name: getattr(index, f"packet_{name}") for name in _COLUMNS})
    table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(about).encode()})
    with atomic_path(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)


def load_index(path: str | Path, source: str | Path) -> VideoIndex:
    """Read an index and check that it belongs to this source.

    Raises
    ------
    MediaError
        The file is no index of this version, or the source's size or content differs.
    """
    table, about = _read(Path(path), Path(source), _COLUMNS)
    arrays = {f"packet_{name}": np.array(table[name]) for name in _COLUMNS}
    return VideoIndex(
        path=Path(source),
        digest=about["digest"],
        source_bytes=about["source_bytes"],
        time_base=Fraction(*about["time_base"]),
        facts=StreamFacts(**about["facts"]),
        **arrays,
    )


def load_times(path: str | Path, source: str | Path) -> tuple[np.ndarray, Fraction]:
    """Read of an index only when its frames are shown, which takes a third of the time; the same checks.

    Returns
    -------
    Timestamps of all frames, (N,) int64, ascending, and how many seconds one of their ticks lasts.

    Raises
    ------
    MediaError
        As `load_index`.
    """
    table, about = _read(Path(path), Path(source), ("pts", "flags"))
    pts, flags = np.array(table["pts"]), np.array(table["flags"])
    return pts[presentation_order(pts, flags)], Fraction(*about["time_base"])


def _read(path: Path, source: Path, columns: Sequence[str]) -> tuple[pa.Table, dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            metadata = (file.schema_arrow.metadata or {}).get(_METADATA_KEY)
            about = json.loads(metadata) if metadata else {}
            table = file.read(columns=list(columns)) if about.get("version") == VERSION else None
    except (pa.ArrowInvalid, OSError) as error:
        raise MediaError(f"{path}: cannot be read as a video index ({error}). Delete it and probe again.") from error
    if table is None:
        raise MediaError(f"{path}: no video index of version {VERSION}. Delete it and probe the video again.")
    if not source.exists():
        raise MediaError(f"{source}: the video of index {path} is missing. Restore it or correct the sheet.")
    size = source_size(source)
    if size != about["source_bytes"] or content_digest(source) != about["digest"]:
        raise MediaError(
            f"{path}: the index of another file than {source} ({about['source_bytes']} bytes then, {size} now, or "
            "other content). Delete the index and probe the video again."
        )
    return table, about


def source_size(source: Path) -> int:
    """Bytes of a video file, or of all pictures of a folder."""
    files = picture_files(source) if source.is_dir() else [source]
    return sum(path.stat().st_size for path in files)
