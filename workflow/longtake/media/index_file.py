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

from longtake.errors import MediaError, SchemaError
from longtake.media.index import StreamFacts, VideoIndex
from longtake.media.packets import presentation_order
from longtake.sources import content_digest, stamp
from longtake.store.atomic import atomic_path
from longtake.store.checksum import CHECKSUM, UNSEALED, refuse_changed, seal

VERSION = 2
_METADATA_KEY = b"longtake_video_index"
_COLUMNS = ("pts", "dts", "position", "size", "flags")


def save_index(index: VideoIndex, path: str | Path) -> None:
    """Write an index whole by rename; about 8 bytes a packet on disk."""
    about = {
        "version": VERSION,
        "source_bytes": index.source_bytes,
        "digest": index.digest,
        "content": index.content,
        "stamp": index.stamp,
        "time_base": [index.time_base.numerator, index.time_base.denominator],
        "facts": asdict(index.facts),
    }
    table = pa.table({name: getattr(index, f"packet_{name}") for name in _COLUMNS})
    table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(about).encode(), CHECKSUM: UNSEALED})
    with atomic_path(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)
        seal(temporary)


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
        content=about["content"],
        stamp=about["stamp"],
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
            if about.get("version") == VERSION:
                refuse_changed(path)
            table = file.read(columns=list(columns)) if about.get("version") == VERSION else None
    except (pa.ArrowException, OSError, ValueError, SchemaError) as error:
        raise MediaError(f"{path}: cannot be read as a video index ({error}). Delete it and probe again.") from error
    if table is None:
        raise MediaError(f"{path}: no video index of version {VERSION}. Delete it and probe the video again.")
    if not source.exists():
        raise MediaError(f"{source}: the video of index {path} is missing. Restore it or correct the sheet.")
    if not is_source(source, about["stamp"], about["content"]):
        raise MediaError(
            f"{path}: the index of another file than {source}, or of other content than it holds now "
            f"({about['source_bytes']} bytes then). Run the same command again, which probes it anew."
        )
    return table, about


def is_source(source: Path, stamped: str, content: str) -> bool:
    """Whether a video holds the bytes that it had when it was probed; they are read only if its stamp is another.

    Raises
    ------
    MediaError
        It cannot be read.
    """
    try:
        return stamp(source) == stamped or content_digest(source) == content
    except OSError as error:
        raise MediaError(f"{source}: cannot be read ({error.strerror or error}). Correct who may read it.") from error
