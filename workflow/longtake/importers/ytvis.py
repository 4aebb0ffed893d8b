"""YouTube-VIS: videos as lists of file names, annotations as tracks with one box and one mask, or null, for each.

A frame is the number in its file name (``0065b171f9/00005.jpg`` is source frame 5). Boxes are [x, y, width, height].
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longtake.importers.frames import first_frame, folder_and_number, label_of, names_by_id
from longtake.importers.rows import Ids, Row
from longtake.importers.shapes import picture_size, segmentation
from longtake.importers.source import Place, get, mapping, read_json, sequence, sized, text


def import_ytvis(
    path: Path,
    *,
    video: str = "",
    first: int = 0,
    every_box: bool = False,
    with_masks: bool = False,
    by_place: bool = False,
) -> Iterator[Row]:
    """Yield the boxes or masks of a YouTube-VIS file, in the order of its annotations, by frame.

    Parameters are those of `longtake.importers.coco.import_coco`, and `by_place`: a frame is the place of a picture in
    the file's list, as in a folder of pictures, whatever number it is called by. Memory: the file as JSON.
    """
    whole, place = read_json(path), Place(path)
    categories = names_by_id(get(whole, "categories", place), place / "categories")
    videos = dict(_videos(whole, video, None if by_place else first, place))
    ids, inside = Ids(str(path)), {name: Ids(f"{path}: {name}") for name, *_ in videos.values()}
    # The test sets of YouTube-VIS say null here.
    annotations = sequence(get(whole, "annotations", place) or [], place / "annotations")
    for order, item in enumerate(annotations):
        at = place / "annotations" / order
        annotation = mapping(item, at)
        key = text(get(annotation, "video_id", at), at / "video_id")
        if key not in videos:
            (at / "video_id").refuse(f"is {key}, which is no video of the file", "Export the file anew.")
        name, frames, size = videos[key]
        boxes = _entries(annotation, "bboxes", frames, at)
        drawn = [None] * len(frames)
        if with_masks and annotation.get("segmentations") is not None:
            drawn = _entries(annotation, "segmentations", frames, at)
        thing = text(annotation.get("object", f"track-{annotation.get('id', order + 1)}"), at / "object")
        label = label_of(annotation, categories, at)
        shown = sorted((frame, step) for step, frame in enumerate(frames) if (boxes[step], drawn[step]) != (None, None))
        for frame, step in shown if every_box else shown[:1]:
            mask = segmentation(drawn[step], size, at / "segmentations" / step)
            box = None if mask else sized(boxes[step], at / "bboxes" / step)
            yield Row(ids(name), inside[name](thing), label, frame, box, source=(name, thing), mask=mask)


def _entries(annotation: dict[str, Any], key: str, frames: list[int], place: Place) -> list[Any]:
    found = sequence(get(annotation, key, place), place / key)
    if len(found) != len(frames):
        (place / key).refuse(f"has {len(found)} entries for {len(frames)} frames", "Export the file anew.")
    return found


def _videos(
    whole: dict[str, Any], video: str, first: int | None, place: Place
) -> Iterator[tuple[str, tuple[str, list[int], tuple[int, int] | None]]]:
    for order, item in enumerate(sequence(get(whole, "videos", place), place / "videos")):
        at = place / "videos" / order
        part = mapping(item, at)
        frames: list[int] = []
        folders: set[str] = set()
        for step, file_name in enumerate(sequence(get(part, "file_names", at), at / "file_names")):
            here = at / "file_names" / step
            folder, found = folder_and_number(text(file_name, here), here)
            folders.add(folder)
            frames.append(step if first is None else first_frame(found, first, here))
        if len(folders) > 1:
            (at / "file_names").refuse("lie in several folders", "One folder holds the frames of one video.")
        name = text(part["video"], at / "video") if "video" in part else "".join(folders) or video
        if not name:
            (at / "file_names").refuse("lie in no folder", "Say whose frames they are: --video ID.")
        yield text(get(part, "id", at), at / "id"), (name, frames, picture_size(part, at))
