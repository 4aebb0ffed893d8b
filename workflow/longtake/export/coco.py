"""Detections as COCO JSON, written as they are read: no list of annotations is ever held."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from longtake import masks
from longtake.export.rows import Annotated, by_frame, processed_frames
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.store.atomic import atomic_path


def write_coco(
    videos: Iterable[Annotated], *, frame_interval: int, categories: Iterable[str], out: Path
) -> dict[str, int]:
    """Write one COCO instances file of all processed frames and visible objects.

    Ids are counted: categories by sorted name, images by video id and frame, annotations by image and the
    table's order, so the same tables give the same bytes. ``segmentation`` is compressed RLE, ``bbox``
    [x, y, width, height]. Beyond COCO's own keys, images carry ``video``, ``frame`` and ``time_s``, annotations
    ``object``, ``track_id`` (counted per video), ``score``, ``window`` and ``status``.

    Memory: one batch of one video's table, and its index.

    Parameters
    ----------
    categories
        All species of the study; labels that are found but not named here are added after them.

    Returns
    -------
    dict
        JSON-able counts: images, annotations, categories.
    """
    ordered = sorted(videos, key=lambda item: item.video)
    numbers = {name: number for number, name in enumerate(sorted(set(categories)), start=1)}
    counts = {"images": 0, "annotations": 0}
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "longtake detections"}, "licenses": [],\n"images": [')
        counts["images"] = _write_items(file, _images(ordered, frame_interval))
        file.write('],\n"annotations": [')
        counts["annotations"] = _write_items(file, _annotations(ordered, frame_interval, numbers))
        file.write('],\n"categories": [')
        counts["categories"] = _write_items(
            file, ({"id": number, "name": name, "supercategory": ""} for name, number in numbers.items())
        )
        file.write("]}\n")
    return counts


def _write_items(file: TextIO, items: Iterator[dict[str, Any]]) -> int:
    count = 0
    for count, item in enumerate(items, start=1):
        file.write("\n" if count == 1 else ",\n")
        json.dump(item, file, ensure_ascii=False, allow_nan=False)
    return count


def _images(videos: Sequence[Annotated], frame_interval: int) -> Iterator[dict[str, Any]]:
    number = 0
    for item in videos:
        index = load_index(item.index_path, item.video_path)
        for frame in processed_frames(item.windows, frame_interval):
            number += 1
            yield {
                "id": number,
                "width": index.width,
                "height": index.height,
                "file_name": f"{item.video}/frame_{frame:08d}.jpg",
                "video": item.video,
                "frame": frame,
                "time_s": _seconds(index, frame),
            }


def _seconds(index: VideoIndex, frame: int) -> float:
    return round(index.time_s(frame), 6)


def _annotations(videos: Sequence[Annotated], frame_interval: int, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    number, images_before = 0, 0
    for item in videos:
        frames = processed_frames(item.windows, frame_interval)
        tracks: dict[str, int] = {}
        for frame, rows in by_frame(item.detections):
            for row in rows:
                track = tracks.setdefault(row["object"], len(tracks) + 1)
                if row["visible"] and row["mask"] is not None:
                    number += 1
                    category = numbers.setdefault(row["label"], len(numbers) + 1)
                    ids = {"id": number, "image_id": images_before + frames.place(frame) + 1, "category_id": category}
                    yield {**ids, **_shape(row), "track_id": track, **_extras(row)}
        images_before += len(frames)


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    x, y = row["x_min"], row["y_min"]
    return {
        "segmentation": {"size": [row["height"], row["width"]], "counts": row["mask"]},
        "area": masks.area(row["mask"], row["height"], row["width"]),
        "bbox": [x, y, row["x_max"] - x, row["y_max"] - y],
        "iscrowd": 0,
    }


def _extras(row: dict[str, Any]) -> dict[str, Any]:
    score = round(float(row["score"]), 4)
    return {"object": row["object"], "score": score, "window": row["window"], "status": row["status"]}
