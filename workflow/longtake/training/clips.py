"""Make the clips of a shard of videos: each video is read once, its original and its augmentations are stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import MediaError
from longtake.media.index import VideoIndex, index_video
from longtake.store.atomic import write_json
from longtake.store.tables import write_table
from longtake.training.augment import apply, as_text, draw
from longtake.training.hashes import FRAMES as HASHED_FRAMES
from longtake.training.hashes import difference_hash
from longtake.training.sampling import Clip, Sampling, bordered, read_clip
from longtake.training.store import clip_key, clip_path, makers, put_clip, source_digest
from longtake.training.tables import CLIPS, SOURCES

log = logging.getLogger(__name__)
_HASHED_SIDE = 128


@dataclass(frozen=True)
class Spec:
    """What clips are made: of which lengths and sizes, and how many augmentations of which operations."""

    samplings: tuple[Sampling, ...]
    augmentations: int
    augment: Mapping[str, Mapping[str, Any]]
    seed: int
    compression: str = "none"


def make_shard(
    videos: Sequence[tuple[str, str]],
    spec: Spec,
    store: str | Path,
    *,
    clips: str | Path,
    sources: str | Path,
    notes: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make the clips of `videos` (id, path) and write their tables (`CLIPS`, `SOURCES`); return counts.

    A video that cannot be read is a row with status ``failed`` and its reason, never an error. What became of each
    video is kept in the folder `notes`, so that a shard which is made again, for one more video or after a kill, reads
    only what is new. Memory: one clip and its augmentation, and what the decoder holds, whatever the videos' length.
    """
    found: list[dict[str, Any]] = []
    about: list[dict[str, Any]] = []
    read = 0
    for number, (video, path) in enumerate(videos):
        note, known = Path(notes) / f"{video}.json", _state_of(path, spec)
        kept = _kept(note, known, store)
        if kept is None:
            rows, facts = make_video(video, path, spec, store)
            write_json(note, {"of": known, "rows": rows, "facts": facts})
            read += 1
        else:
            rows, facts = kept
        found += rows
        about.append(facts)
        if progress:
            progress(number + 1, len(videos))
    write_table(clips, found, CLIPS)
    write_table(sources, about, SOURCES)
    failed = [row["video"] for row in about if row["status"] == "failed"]
    made = sum(row["status"] != "failed" for row in found)
    return {"videos": len(videos), "clips": made, "failed_videos": failed, "read": read}


def _state_of(path: str, spec: Spec) -> dict[str, Any]:
    """What a video's clips depend on, without reading the video: its file as the system knows it, and the settings."""
    source = Path(path)
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    try:
        stats = [[file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for file in files if (stat := file.stat())]
    except OSError:
        stats = []
    return {"files": stats, "spec": repr(spec), "makers": makers()}


def _kept(note: Path, known: Mapping[str, Any], store: str | Path) -> tuple[list[Any], dict[str, Any]] | None:
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        whole = told["of"] == json.loads(json.dumps(known)) and told["facts"]["status"] != "failed"
        rows: list[Any] = told["rows"]
        whole = whole and all(clip_path(store, row["key"]).exists() for row in rows)
    except (OSError, ValueError, KeyError):
        return None
    return (rows, told["facts"]) if whole else None


def make_video(video: str, path: str, spec: Spec, store: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Make the original and the augmentations of one video, of each length and size; return the rows of both tables."""
    try:
        index = index_video(path)
        source = source_digest(path)
        hashes = _hashes(index)
    except (MediaError, OSError) as error:
        return [_failed(video, each, error) for each in spec.samplings], _unread(video, error)
    rows: list[dict[str, Any]] = []
    worst, why = "ok", ""
    for sampling in spec.samplings:
        try:
            clip = read_clip(index, sampling)
        except (MediaError, OSError) as error:
            rows.append(_failed(video, sampling, error))
            worst, why = "failed", str(error)
            continue
        made = _rows_of(video, clip, sampling, spec, source=source, store=store)
        if worst == "ok":
            worst, why = made[0]["status"], made[0]["reason"]
        rows += made
    return rows, _facts(video, index, source, hashes) | {"status": worst, "reason": why}


def _rows_of(
    video: str, clip: Clip, sampling: Sampling, spec: Spec, *, source: str, store: str | Path
) -> list[dict[str, Any]]:
    """Store the variants of one clip that are not there yet; return their rows."""
    status, reason = judged(clip)
    rows = []
    for number, (kind, parameters, pixels, noise) in enumerate(_variants(video, clip, spec)):
        key = clip_key(source, clip.frames, sampling.size, sampling.fit, parameters=parameters, noise=noise)
        rows.append(
            {
                "video": video,
                "spec": sampling.name,
                "clip": number,
                "kind": kind,
                "key": key,
                "frames": list(clip.frames),
                "parameters": parameters,
                "status": status,
                "reason": reason,
                "sha256": put_clip(store, key, bordered(pixels, sampling.size), spec.compression),
            }
        )
    return rows


def _failed(video: str, sampling: Sampling, error: Exception) -> dict[str, Any]:
    log.warning("%s: left out: %s", video, error)
    row = {"video": video, "spec": sampling.name, "clip": 0, "kind": "original", "frames": [], "parameters": "{}"}
    return row | {"status": "failed", "reason": str(error)}


def _unread(video: str, error: Exception) -> dict[str, Any]:
    return {"video": video, "status": "failed", "reason": str(error)}


def replay(path: str, parameters: Mapping[str, Any], sampling: Sampling, noise: tuple[int, str, str]) -> np.ndarray:
    """Make one clip again from its row of the table: (T, size, size, 3) uint8, equal to the stored one."""
    clip = read_clip(index_video(path), sampling)
    return bordered(apply(clip.pixels, dict(parameters), noise), sampling.size)


def noise_key(seed: int, video: str, number: int) -> tuple[int, str, str]:
    """Return the name of the stream of the pixel noise of augmentation `number` of a video."""
    return seed, video, f"noise {number}"


def judged(clip: Clip) -> tuple[str, str]:
    """Return status and reason of a clip: approximate where frames are repeated, or may be damaged."""
    reasons = []
    if len(set(clip.frames)) < len(clip.frames):
        reasons.append(f"{len(clip.frames) - len(set(clip.frames))} of {len(clip.frames)} frames are repeated")
    if clip.tainted:
        reasons.append(f"{clip.tainted} of {len(clip.frames)} frames may be damaged")
    return ("approximate", "; ".join(reasons)) if reasons else ("ok", "")


def _variants(video: str, clip: Clip, spec: Spec) -> Iterable[tuple[str, str, np.ndarray, str]]:
    yield "original", "{}", clip.pixels, ""
    for number in range(1, spec.augmentations + 1):
        drawn = draw(spec.augment, spec.seed, video, number, len(clip.frames))
        key = noise_key(spec.seed, video, number)
        yield "augmented", as_text(drawn), apply(clip.pixels, drawn, key), repr(key) if "noise" in drawn else ""


def _hashes(index: VideoIndex) -> list[int]:
    """The difference hashes of the video, whatever clips are asked for: always the same number of frames."""
    clip = read_clip(index, Sampling(HASHED_FRAMES, _HASHED_SIDE, "letterbox", "repeat"))
    return [int(word) for word in difference_hash(clip.pixels).ravel()]


def _facts(video: str, index: VideoIndex, source: str, hashes: list[int]) -> dict[str, Any]:
    return {
        "video": video,
        "sha256": source,
        "hashes": hashes,
        "frames": index.n_frames,
        "duration_s": index.duration_s,
        "fps": index.fps,
        "width": index.width,
        "height": index.height,
        "bytes": index.source_bytes,
        "codec": index.facts.codec,
    }
