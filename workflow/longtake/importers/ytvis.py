"""YouTube-VIS: videos as lists of file names, annotations as tracks with one box and one mask, or null, for each.

A frame is the number in its file name (``0065b171f9/00005.jpg`` is source frame 5). Boxes are [x, y, width, height].
Where an object is absent its entry is null, by other tools [], [0, 0, 0, 0] or run lengths without a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.importers.frames import Frames, Naming, file_of, folders_and_frames, label_of, names_by_id
from longtake.importers.rows import Box, Ids, Row
from longtake.importers.shapes import picture_size, segmentation
from longtake.importers.source import Place, get, mapping, read_json, sequence, sized, text


@dataclass(frozen=True)
class _Listed:
    """A video of the file: its name, frames, what their files are called if that says the frame, height and width."""

    name: str
    frames: list[int]
    pictures: list[str]
    size: tuple[int, int] | None


def import_ytvis(
    path: Path,
    *,
    video: str = "",
    first: int = 0,
    every_box: bool = False,
    with_masks: bool = False,
    by_place: bool = False,
    frame_pattern: re.Pattern[str] | None = None,
) -> Iterator[Row]:
    """Yield the boxes or masks of a YouTube-VIS file, in the order of its annotations, by frame.

    Parameters are those of `longtake.importers.coco.import_coco`, and `by_place`: a frame is the place of a picture in
    the file's list, as in a folder of pictures, whatever number it is called by. Memory: the file as JSON.

    Raises
    ------
    SheetError
        The file is broken; two videos have one id; two pictures are one frame; two annotations are one object.
    """
    whole, place = read_json(path), Place(path)
    categories = names_by_id(get(whole, "categories", place), place / "categories")
    naming = Naming(video, first, frame_pattern, by_place)
    videos = _videos(whole, naming, with_masks, place)
    ids, inside = Ids(str(path)), {each.name: Ids(f"{path}: {each.name}") for each in videos.values()}
    # The test sets of YouTube-VIS say null here.
    annotations = sequence(get(whole, "annotations", place) or [], place / "annotations")
    seen: dict[tuple[str, str], int] = {}
    for order, item in enumerate(annotations):
        at = place / "annotations" / order
        annotation = mapping(item, at)
        key = text(get(annotation, "video_id", at), at / "video_id")
        if key not in videos:
            (at / "video_id").refuse(f"is {key}, which is no video of the file", "Export the file anew.")
        whose = videos[key]
        thing = text(annotation.get("object", f"track-{annotation.get('id', order + 1)}"), at / "object")
        if seen.setdefault((whose.name, thing), order) != order:
            other = seen[whose.name, thing]
            at.refuse(f"is {thing!r} of {whose.name!r}, as is annotations.{other}", "Give one of them another id.")
        label = label_of(annotation, categories, at)
        for step, box, mask in _shown(annotation, whose, with_masks, at):
            frame, picture = whose.frames[step], whose.pictures[step]
            name, own = ids(whose.name), inside[whose.name](thing)
            yield Row(name, own, label, frame, box, source=(whose.name, thing), mask=mask, picture=picture)
            if not every_box:
                break


def _shown(
    annotation: dict[str, Any], whose: _Listed, with_masks: bool, place: Place
) -> Iterator[tuple[int, Box | None, str]]:
    """Yield where in its video's list an object is seen, in the order of frames, and its mask there, else its box."""
    count = len(whose.frames)
    drawn = _entries(annotation, "segmentations", count, place) if with_masks else [None] * count
    if annotation.get("bboxes") is None and not any(each is not None for each in drawn):
        remedy = " Take its masks: --masks." if annotation.get("segmentations") and not with_masks else ""
        place.refuse("has no 'bboxes'", f"The file is incomplete or of another format.{remedy}")
    boxes = _entries(annotation, "bboxes", count, place)
    for step in sorted(range(count), key=whose.frames.__getitem__):
        mask = segmentation(drawn[step], whose.size, place / "segmentations" / step, absent=True)
        if mask:
            yield step, None, mask
        elif boxes[step] is not None and boxes[step] not in ([], [0, 0, 0, 0]):
            yield step, sized(boxes[step], place / "bboxes" / step), ""


def _entries(annotation: dict[str, Any], key: str, count: int, place: Place) -> list[Any]:
    if annotation.get(key) is None:
        return [None] * count
    found = sequence(annotation[key], place / key)
    if len(found) != count:
        (place / key).refuse(f"has {len(found)} entries for {count} frames", "Export the file anew.")
    return found


def _videos(whole: dict[str, Any], naming: Naming, with_size: bool, place: Place) -> dict[str, _Listed]:
    """Return the videos by id."""
    found: dict[str, _Listed] = {}
    taken = Frames()
    for order, item in enumerate(sequence(get(whole, "videos", place), place / "videos")):
        at = place / "videos" / order
        part = mapping(item, at)
        here = at / "file_names"
        listed = sequence(get(part, "file_names", at), here)
        names = [(text(name, here / step), here / step) for step, name in enumerate(listed)]
        placed = folders_and_frames(names, naming)
        folders = {folder for folder, _ in placed}
        if len(folders) > 1:
            here.refuse("lie in several folders", "One folder holds the frames of one video.")
        name = text(part["video"], at / "video") if "video" in part else "".join(folders) or naming.video
        if not name:
            here.refuse("lie in no folder", "Say whose frames they are: --video ID.")
        for (_, frame), (_, one) in zip(placed, names, strict=True):
            taken.add(name, frame, one)
        key = text(get(part, "id", at), at / "id")
        if key in found:
            at.refuse(f"repeats the id {key}", "Ids are unique; export the file anew.")
        # Longtake's own files name the video, and pictures that lie nowhere.
        told = not naming.by_place and "video" not in part
        pictures = [file_of(each) if told else "" for each, _ in names]
        size = picture_size(part, at) if with_size else None
        found[key] = _Listed(name, [frame for _, frame in placed], pictures, size)
    return found
