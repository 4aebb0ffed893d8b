"""COCO instances of video frames, one image a frame.

A video and a frame come from ``video`` and ``frame`` of an image (as longtake writes them), else from ``video_id``
and ``frame_id`` (CocoVID; 0-based), else from the file name ``video/00042.jpg``. Boxes are [x, y, width, height].
Segmentations are polygons or run lengths, at the size of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longtake.importers.frames import first_frame, folder_and_number, label_of, names_by_id, object_of
from longtake.importers.rows import Ids, Row
from longtake.importers.shapes import picture_size, segmentation
from longtake.importers.source import Place, frame_number, get, mapping, read_json, sequence, sized, text


def import_coco(
    path: Path, *, video: str = "", first: int = 0, every_box: bool = False, with_masks: bool = False
) -> Iterator[Row]:
    """Yield the boxes or masks of a COCO file by video, object and frame.

    Memory: the file as JSON. Crowds (``iscrowd``) are no objects and are passed over.

    Parameters
    ----------
    video
        Name of the video of pictures that lie in no folder.
    first
        Number that the file names give to a video's first frame.
    every_box
        Give every box of an object, and not only its first: each corrects the tracker.
    with_masks
        Give an annotation's segmentation where it has one, and its box elsewhere.
    """
    whole, place = read_json(path), Place(path)
    categories = names_by_id(get(whole, "categories", place), place / "categories")
    videos = names_by_id(whole.get("videos", []), place / "videos")
    images: dict[str, tuple[str, int]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for order, item in enumerate(sequence(get(whole, "images", place), place / "images")):
        at = place / "images" / order
        image = mapping(item, at)
        key = text(get(image, "id", at), at / "id")
        images[key] = _frame_of(image, videos, video, first, at)
        if with_masks:
            sizes[key] = picture_size(image, at)
    boxes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    annotations = sequence(get(whole, "annotations", place), place / "annotations")
    for order, item in enumerate(annotations):
        at = place / "annotations" / order
        annotation = mapping(item, at)
        if annotation.get("iscrowd"):
            continue
        picture = text(get(annotation, "image_id", at), at / "image_id")
        if picture not in images:
            (at / "image_id").refuse(f"is {picture}, which is no image of the file", "Export the file anew.")
        name, frame = images[picture]
        boxes.setdefault((name, object_of(annotation, at)), []).append((frame, order))
    ids, inside = Ids(str(path)), {name: Ids(f"{path}: {name}") for name, _ in boxes}
    for (name, thing), found in sorted(boxes.items()):
        for frame, order in sorted(found) if every_box else [min(found)]:
            at, annotation = place / "annotations" / order, annotations[order]
            mask = ""
            if with_masks:
                size = sizes[text(annotation["image_id"], at)]
                mask = segmentation(annotation.get("segmentation"), size, at / "segmentation")
            box = None if mask else sized(get(annotation, "bbox", at), at / "bbox")
            label = label_of(annotation, categories, at)
            yield Row(ids(name), inside[name](thing), label, frame, box, source=(name, thing), mask=mask)


def _frame_of(image: dict[str, Any], videos: dict[Any, str], video: str, first: int, at: Place) -> tuple[str, int]:
    if "video" in image and "frame" in image:
        return text(image["video"], at / "video"), frame_number(image["frame"], at / "frame")
    if "video_id" in image and "frame_id" in image:
        key = text(image["video_id"], at / "video_id")
        if key not in videos:
            (at / "video_id").refuse(f"is {key}, which is no video of the file", "Export the file anew.")
        return videos[key], frame_number(image["frame_id"], at / "frame_id")
    file_name = text(get(image, "file_name", at), at / "file_name")
    folder, found = folder_and_number(file_name, at / "file_name")
    if not (folder or video):
        (at / "file_name").refuse(f"is {file_name!r}, without a folder", "Say whose frame it is: --video ID.")
    return folder or video, first_frame(found, first, at / "file_name")
