"""HD-EPIC's object movements: ``assoc_info.json`` and ``mask_info.json``.

::

    assoc_info: {video: {assoc_id: {name, tracks: [{track_id, time_segment: [start, end], masks: [mask_id]}]}}}
    mask_info:  {video: {mask_id: {frame_number, bbox: [x_min, y_min, x_max, y_max], 3d_location, fixture}}}

Each association is an object and each mask a prompt. A track's end in seconds becomes ``until_s`` of its masks: the
object is followed from the mask to the end of that movement, and begun anew by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from longtake.errors import SheetError, nearest
from longtake.importers.rows import Box, Ids, Row
from longtake.importers.source import Place, corners, frame_number, get, mapping, number, read_json, sequence, text

log = logging.getLogger(__name__)


def import_hd_epic(
    assoc_info: Path, mask_info: Path, *, videos: Collection[str] = (), fps: float = 30.0, inclusive: bool = False
) -> Iterator[Row]:
    """Yield the boxes of HD-EPIC, in the order of videos and objects in `assoc_info`, then by frame.

    Memory: the two files as JSON, and the boxes of one object.

    Parameters
    ----------
    videos
        Only these; empty means all.
    fps
        Frames a second of the videos. It serves one purpose: a mask drawn on the very last frame of its movement
        must not lie behind the movement's end, so ``until_s`` is at least one frame later than the mask.
    inclusive
        Whether x_max and y_max are the last pixel of the object. The default takes them as the edge behind it.

    Raises
    ------
    SheetError
        For a mask that is missing or empty, an unknown video, or a file of another form.
    """
    tracks, masks = read_json(assoc_info), read_json(mask_info)
    for name in videos:
        if name not in tracks:
            raise SheetError(f"{assoc_info}: there is no video {name!r}.{nearest(name, tracks)}")
    ids = Ids(str(assoc_info))
    for name in tracks:
        if videos and name not in videos:
            continue
        place, shapes = Place(assoc_info) / name, Place(mask_info) / name
        objects = mapping(tracks[name], place)
        known = mapping(masks.get(name, {}), shapes)
        inside = Ids(f"{assoc_info}: {name}")
        for assoc, association in objects.items():
            at = place / assoc
            found = _boxes(mapping(association, at), known, at, shapes, fps=fps, inclusive=inclusive)
            if not found:
                log.warning("%s: %s.%s has no mask and is left out", assoc_info, name, assoc)
            label = text(get(association, "name", at), at / "name")
            for frame, (box, until_s) in sorted(found.items()):
                yield Row(ids(name), inside(assoc), label, frame, box, until_s, source=(name, assoc))


def _boxes(
    association: dict[str, Any], known: dict[str, Any], place: Place, shapes: Place, *, fps: float, inclusive: bool
) -> dict[int, tuple[Box, float]]:
    """Give frame -> (box, end in s) of an object; a frame in two movements belongs to the one that ends later."""
    found: dict[int, tuple[Box, float]] = {}
    for order, track in enumerate(sequence(get(association, "tracks", place), place / "tracks")):
        here = place / "tracks" / order
        segment = sequence(get(mapping(track, here), "time_segment", here), here / "time_segment")
        if len(segment) != 2:
            (here / "time_segment").refuse(f"has {len(segment)} times, not 2", "Give start and end in seconds.")
        start, end = (number(time_s, here / "time_segment") for time_s in segment)
        if end < start or end < 0:
            (here / "time_segment").refuse(f"ends at {end:g} s, before {start:g} s", "Correct it.")
        for mask in sequence(get(track, "masks", here), here / "masks"):
            mask_id = text(mask, here / "masks")
            if mask_id not in known:
                shapes.refuse(f"has no mask {mask_id!r}, which {here.key} names", "Take both files of one release.")
            at = shapes / mask_id
            shape = mapping(known[mask_id], at)
            frame = frame_number(get(shape, "frame_number", at), at / "frame_number")
            box = corners(get(shape, "bbox", at), at / "bbox", inclusive=inclusive)
            until_s = max(end, round((frame + 1) / fps, 6))
            if frame not in found or found[frame][1] < until_s:
                found[frame] = (box, until_s)
    return found
