"""COCO instances of video frames, one image a frame.

A video and a frame come from ``video`` and ``frame`` of an image (as longtake writes them), else from ``video_id``
and ``frame_id`` (CocoVID; 0-based), else from the file name ``video/00042.jpg``. Boxes are [x, y, width, height], those
of CVAT with a rotation about their centre. Segmentations are polygons or run lengths, at the size of the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtake.importers.frames import (
    Frames,
    Naming,
    attributes_of,
    file_of,
    folders_and_frames,
    label_of,
    names_by_id,
    object_of,
)
from longtake.importers.rows import Box, Ids, Row
from longtake.importers.shapes import picture_size, segmentation, upright
from longtake.importers.source import (
    Place,
    checked,
    frame_number,
    get,
    mapping,
    number,
    read_json,
    sequence,
    sized,
    text,
)


@dataclass(frozen=True)
class _Picture:
    """An image of the file: its video and frame, what its file is called if that says the frame, height and width."""

    video: str
    frame: int
    name: str
    size: tuple[int, int] | None


def import_coco(
    path: Path,
    *,
    video: str = "",
    first: int = 0,
    every_box: bool = False,
    with_masks: bool = False,
    frame_pattern: re.Pattern[str] | None = None,
) -> Iterator[Row]:
    """Yield the boxes or masks of a COCO file by video, object and frame.

    Memory: the file as JSON. Crowds (``iscrowd``) are no objects and are passed over, and so is what CVAT interpolated
    between the frames on which somebody drew (``attributes.keyframe``).

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
    frame_pattern
        Where in a file name the frame stands, as `longtake.importers.frames.frame_pattern` makes it.

    Raises
    ------
    SheetError
        The file is broken; two images are one frame or have one id; an object is twice on a frame.
    """
    whole, place = read_json(path), Place(path)
    categories = names_by_id(get(whole, "categories", place), place / "categories")
    images = _images(whole, Naming(video, first, frame_pattern), with_masks, place)
    annotations = sequence(get(whole, "annotations", place), place / "annotations")
    ids = Ids(str(path))
    for (name, thing), found in sorted(_objects(annotations, images, place).items()):
        for order in found.orders(every_box):
            at, annotation = place / "annotations" / order, annotations[order]
            picture = images[text(annotation["image_id"], at)]
            mask = ""
            if with_masks:
                mask = segmentation(annotation.get("segmentation"), picture.size, at / "segmentation")
            box = None if mask else _box(annotation, at)
            label = label_of(annotation, categories, at)
            yield Row(
                ids(name), found.safe, label, picture.frame, box, source=(name, thing), mask=mask, picture=picture.name
            )


@dataclass
class _Object:
    """An object's safe id, and its annotations: frame -> whether somebody drew it, and its place in the list."""

    safe: str
    drawn: dict[int, tuple[bool, int]] = field(default_factory=dict)

    def orders(self, every: bool) -> list[int]:
        """Places of the annotations in the order of frames; interpolated ones only where there are no others."""
        by_frame = sorted(self.drawn.items())
        kept = [order for _, (drawn, order) in by_frame if drawn] or [order for _, (_, order) in by_frame]
        return kept if every else kept[:1]


def _objects(annotations: list[Any], images: dict[str, _Picture], place: Place) -> dict[tuple[str, str], _Object]:
    found: dict[tuple[str, str], _Object] = {}
    inside: dict[str, Ids] = {}
    for order, item in enumerate(annotations):
        at = place / "annotations" / order
        annotation = mapping(item, at)
        if annotation.get("iscrowd"):
            continue
        key = text(get(annotation, "image_id", at), at / "image_id")
        if key not in images:
            (at / "image_id").refuse(f"is {key}, which is no image of the file", "Export the file anew.")
        picture, thing = images[key], object_of(annotation, at)
        safe = inside.setdefault(picture.video, Ids(f"{place.path}: {picture.video}"))(thing)
        own = found.setdefault((picture.video, thing), _Object(safe))
        if picture.frame in own.drawn:
            other = own.drawn[picture.frame][1]
            at.refuse(
                f"is {thing!r} on frame {picture.frame} of {picture.video!r}, as is annotations.{other}",
                "An object is once on a frame: give one of them another track_id, or remove it.",
            )
        own.drawn[picture.frame] = attributes_of(annotation, at).get("keyframe") is not False, order
    return found


def _box(annotation: dict[str, Any], at: Place) -> Box:
    box = sized(get(annotation, "bbox", at), at / "bbox")
    turned = attributes_of(annotation, at).get("rotation")
    if turned is None:
        return box
    return checked(upright(box, number(turned, at / "attributes" / "rotation")), at / "bbox")


def _images(whole: dict[str, Any], naming: Naming, with_size: bool, place: Place) -> dict[str, _Picture]:
    videos = names_by_id(whole.get("videos", []), place / "videos")
    given = sequence(get(whole, "images", place), place / "images")
    parts = [(mapping(item, place / "images" / order), place / "images" / order) for order, item in enumerate(given)]
    unsaid = [(text(get(part, "file_name", at), at), at / "file_name") for part, at in parts if not _says(part)]
    placed = iter(folders_and_frames(unsaid, naming))
    names = iter(unsaid)
    images: dict[str, _Picture] = {}
    taken = Frames()
    for part, at in parts:
        key = text(get(part, "id", at), at / "id")
        if key in images:
            at.refuse(f"repeats the id {key}", "Ids are unique; export the file anew.")
        if _says(part):
            (owner, frame), name = _said(part, videos, at), ""
        else:
            (folder, frame), (name, here) = next(placed), next(names)
            owner = folder or naming.video
            if not owner:
                here.refuse(f"is {name[:200]!r}, without a folder", "Say whose frame it is: --video ID.")
        taken.add(owner, frame, at)
        images[key] = _Picture(owner, frame, file_of(name), picture_size(part, at) if with_size else None)
    return images


def _says(image: dict[str, Any]) -> bool:
    return {"video", "frame"} <= image.keys() or {"video_id", "frame_id"} <= image.keys()


def _said(image: dict[str, Any], videos: dict[Any, str], at: Place) -> tuple[str, int]:
    if "video" in image and "frame" in image:
        return text(image["video"], at / "video"), frame_number(image["frame"], at / "frame")
    key = text(image["video_id"], at / "video_id")
    if key not in videos:
        (at / "video_id").refuse(f"is {key}, which is no video of the file", "Export the file anew.")
    return videos[key], frame_number(image["frame_id"], at / "frame_id")
