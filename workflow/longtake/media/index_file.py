"""An index on disk: Parquet columns for the packets, JSON metadata for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longtake.errors import MediaError
from longtake.media.index import StreamFacts, VideoIndex, content_digest
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
    path, source = Path(path), Path(source)
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise MediaError(f"{path}: cannot be read as a video index ({error}). Delete it and probe again.") from error
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
    about = json.loads(metadata) if metadata else {}
    if about.get("version") != VERSION:
        raise MediaError(f"{path}: no video index of version {VERSION}. Delete it and probe the video again.")
    if not source.exists():
        raise MediaError(f"{source}: the video of index {path} is missing. Restore it or correct the sheet.")
    size = source_size(source)
    if size != about["source_bytes"] or content_digest(source) != about["digest"]:
        raise MediaError(
            f"{path}: the index of another file than {source} ({about['source_bytes']} bytes then, {size} now, or "
            "other content). Delete the index and probe the video again."
        )
    arrays = {f"packet_{name}": np.array(table[name]) for name in _COLUMNS}
    return VideoIndex(
        path=source,
        digest=about["digest"],
        source_bytes=size,
        time_base=Fraction(*about["time_base"]),
        facts=StreamFacts(**about["facts"]),
        **arrays,
    )


def source_size(source: Path) -> int:
    """Bytes of a video file, or of all pictures of a folder."""
    files = picture_files(source) if source.is_dir() else [source]
    return sum(path.stat().st_size for path in files)
