"""Masks that people drew, from a YouTube-VIS file, in the place of the tracker's detections.

The file's videos are named by the folders of their pictures, and a picture's place in the file's list is its frame: as
in a folder of pictures that is given as the video. Every frame of the list counts as looked at, so an object whose
entry is null there is not visible.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from longtake import masks
from longtake.errors import SheetError
from longtake.importers import Row, import_ytvis
from longtake.importers.rows import safe_id
from longtake.importers.source import read_json
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.media.pictures import picture_files
from longtake.status import Status
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

PathLike = str | Path


def write_annotations(
    *, annotations: PathLike, video: str, video_path: PathLike, index_path: PathLike, out: PathLike
) -> dict[str, Any]:
    """Write the annotated masks or boxes of a video as a table DETECTIONS, frame by frame.

    Returns
    -------
    Number of objects and of rows.

    Memory: the file as JSON, and the video's encoded masks.

    Raises
    ------
    SheetError : the file is broken, has no such video, lists other pictures than the video has, or masks of another
        size.
    """
    index = load_index(index_path, video_path)
    found = [
        row
        for row in import_ytvis(Path(annotations), every_box=True, with_masks=True, by_place=True)
        if row.video == video
    ]
    if not found:
        raise SheetError(
            f"{annotations}: no object of a video called {video!r}. Videos of the file are called by the folder of "
            "their file_names; give that name in videos.tsv, or leave the video out."
        )
    _check_pictures(Path(annotations), video, index)
    objects = {row.object: row.label for row in found}
    by_place = {(row.frame, row.object): row for row in found}
    rows = (
        [
            _row(video, frame, name, label, index) | _shown(by_place.get((frame, name)), index, annotations)
            for name, label in sorted(objects.items())
        ]
        for frame in range(index.n_frames)
    )
    return {"objects": len(objects), "rows": write_table(out, rows, DETECTIONS)}


def _check_pictures(annotations: Path, video: str, index: VideoIndex) -> None:
    """Raise SheetError unless the file lists just the pictures of the video, in their order."""
    for part in read_json(annotations)["videos"]:
        names = [PurePosixPath(str(name).replace("\\", "/")) for name in part["file_names"]]
        if not names or safe_id(str(part.get("video", names[0].parent))) != video:
            continue
        there = [path.name for path in picture_files(index.path)] if index.path.is_dir() else []
        if [name.name for name in names] != there:
            raise SheetError(
                f"{annotations} lists {len(names)} pictures of {video}, {names[0].name} to {names[-1].name}, which "
                f"are not the {len(there)} pictures of {index.path}. Name the folder of the pictures that it lists."
            )


def _row(video: str, frame: int, name: str, label: str, index: VideoIndex) -> dict[str, Any]:
    return {
        "video": video,
        "frame": frame,
        "time_s": index.time_s(frame),
        "object": name,
        "label": label,
        "height": index.height,
        "width": index.width,
        "score": 1.0,
        "visible": False,
        "prompted": False,
        "window": 0,
        "status": Status.OK,
        "direction": "forward",
    }


def _shown(shown: Row | None, index: VideoIndex, annotations: PathLike) -> dict[str, Any]:
    if shown is None:
        return {}
    if shown.mask:
        try:
            masks.checked_area(shown.mask, index.height, index.width)
        except ValueError as error:
            raise SheetError(
                f"{annotations}: the mask of {shown.object} on picture {shown.frame} of {shown.video} cannot be used: "
                f"{error}. Give masks at the size of the pictures, {index.width} x {index.height}."
            ) from None
    box = shown.box if not shown.mask else masks.box(masks.decode(shown.mask, index.height, index.width))
    if box is None:
        return {}
    edges = dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, box), strict=True))
    return edges | {"visible": True, "mask": shown.mask or None}
