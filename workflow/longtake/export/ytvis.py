"""Detections as YouTube-VIS JSON: one annotation an object, with a mask, a box and an area, or null, for each frame."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from longtake import masks
from longtake.export.rows import Annotated, Row, by_frame, processed_frames
from longtake.media.index_file import load_index
from longtake.store.atomic import atomic_path
from longtake.store.spill import Spill

_LISTS = ("segmentations", "bboxes", "areas")


@dataclass
class _Track:
    """What is known of an object so far; `length` entries of each list are written."""

    name: str
    category: int
    length: int = 0
    seen: int = 0
    score: float = 0.0


def write_ytvis(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, int]:
    """Write one video and its objects.

    ``segmentations`` are compressed RLE, ``bboxes`` [x, y, width, height], and each list has an entry for every
    processed frame. ``file_names`` are those of the COCO export, ``frames`` and ``times_s`` say which source frames
    they are. Annotations carry ``object`` and the mean ``score`` beyond the format's own keys; objects that were
    never seen have none. Categories are counted by sorted name, videos and annotations from 1.

    Memory: one batch of the table, a few numbers for each object, five bytes for each frame, and 4 MiB; the lists wait
    on disk.

    Returns
    -------
    dict
        JSON-able counts: frames, annotations, categories.
    """
    index = load_index(item.index_path, item.video_path)
    frames = processed_frames(item.windows, frame_interval)
    numbers = {name: number for number, name in enumerate(sorted(set(categories)), start=1)}
    tracks: dict[str, _Track] = {}
    with Spill(out.parent) as spill, atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for frame, rows in by_frame(item.detections):
            for row in rows:
                if row["visible"] and row["mask"] is not None:
                    category = numbers.setdefault(row["label"], len(numbers) + 1)
                    track = tracks.setdefault(row["object"], _Track(row["object"], category))
                    _add(spill, track, frames.place(frame), row)
        video = {"id": 1, "width": index.width, "height": index.height, "length": len(frames), "video": item.video}
        file.write('{"info": {"description": "longtake detections"}, "licenses": [],\n"videos": [\n')
        file.write(json.dumps(video, ensure_ascii=False)[:-1])
        _write_list(file, "file_names", (f"{item.video}/frame_{frame:08d}.jpg" for frame in frames))
        _write_list(file, "frames", frames)
        _write_list(file, "times_s", (round(index.time_s(frame), 6) for frame in frames))
        file.write('}],\n"annotations": [')
        for number, track in enumerate(tracks.values(), start=1):
            file.write("\n" if number == 1 else ",\n")
            _write(file, spill, number, track, video)
        named = [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()]
        file.write('],\n"categories": ' + json.dumps(named, ensure_ascii=False) + "}\n")
    return {"frames": len(frames), "annotations": len(tracks), "categories": len(numbers)}


def _write_list(file: TextIO, key: str, values: Iterable[Any]) -> None:
    file.write(f', "{key}": [')
    for place, value in enumerate(values):
        file.write((", " if place else "") + json.dumps(value, ensure_ascii=False, allow_nan=False))
    file.write("]")


def _add(spill: Spill, track: _Track, step: int, row: Row) -> None:
    height, width, mask = row["height"], row["width"], row["mask"]
    x, y = row["x_min"], row["y_min"]
    entry = {
        "segmentations": {"size": [height, width], "counts": mask},
        "bboxes": [x, y, row["x_max"] - x, row["y_max"] - y],
        "areas": masks.area(mask, height, width),
    }
    for key in _LISTS:
        spill.add(f"{key} {track.name}", (",null" * (step - track.length) + "," + json.dumps(entry[key])).encode())
    track.length = step + 1
    track.seen += 1
    track.score += float(row["score"])


def _write(file: TextIO, spill: Spill, number: int, track: _Track, video: dict[str, Any]) -> None:
    facts = {
        "id": number,
        "video_id": video["id"],
        "category_id": track.category,
        "iscrowd": 0,
        "width": video["width"],
        "height": video["height"],
        "length": video["length"],
        "object": track.name,
        "score": round(track.score / track.seen, 4),
    }
    file.write(json.dumps(facts, ensure_ascii=False)[:-1])
    rest = ",null" * (video["length"] - track.length)
    for key in _LISTS:
        file.write(f', "{key}": ')
        # Every entry begins with a comma; the first one's becomes the list's bracket.
        for order, piece in enumerate(spill.pieces(f"{key} {track.name}")):
            file.write(piece.decode() if order else "[" + piece.decode()[1:])
        file.write(rest + "]")
    file.write("}")
