"""The sheet of videos, which every analysis of videos shares."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import SheetError
from longtake.settings.labels import Labels
from longtake.settings.paths import shortened
from longtake.settings.sheet import check_path, column, id_column, label_column, path_column, read_sheet, refuse_twice

SHEET = "videos.tsv"
# What stands between a video's id and the ending of a file's name (results/README.md).
OWN_ENDINGS = frozenset(
    "agreement backward clips coco curves cvat forecast holes index jsonl mot mots objects perturbations prompts state "
    "stationary truth ytvis".split()
)


@dataclass(frozen=True)
class Video:
    """A row of videos.tsv."""

    row: int
    video: str = id_column(
        "Id of the video, unique in the sheet. It names files, so letters, digits, dot, dash and underscore only."
    )
    path: str = path_column(
        "Path of the video file, relative to the working directory, with ~ written out and without control characters. "
        "Local files only, each in one row."
    )
    species: str = label_column(
        "Species or class of the video, used where an object has no label of its own. May be empty. Up to 100 "
        "characters (200 bytes), without braces or control characters, as files are named by it."
    )
    stream: int | None = column(
        "Which video stream of a file that holds several, as of two cameras, counted from 0. Empty for its main one.",
        minimum=0,
    )
    surveyed: str = column(
        "Species that were looked for throughout the video, separated by semicolons. One of them that is not seen has "
        "a presence and counts of zero there; of others, absence is not known. May be empty.",
        default="",
        longest=2000,
    )

    @property
    def looked_for(self) -> list[str]:
        """The species of `surveyed`, sorted."""
        return sorted({name.strip() for name in self.surveyed.split(";") if name.strip()})


ROW = Video


def nothing_to_do(path: str | Path) -> str:
    """Say that a sheet has no row where one is needed."""
    return f"{path} holds no video. Add a row: an id, a tab, and the path of the file."


def read_videos(path: str | Path, rendered: bool = False, *, empty: bool = False) -> list[Video]:
    """Read videos.tsv.

    Parameters
    ----------
    path
        The sheet.
    rendered
        Whether the workflow makes the files itself, so that they may be missing now.
    empty
        Whether a sheet without a row will do.

    Raises
    ------
    SheetError
        For an id that is no safe file name, an id given twice (also in other letter case, which is one file on
        some disks), ids whose files would share names, an address instead of a path, a file that does not exist or
        cannot be looked at, one file under two ids, or a species that is written in two ways.
    """
    videos = list(read_sheet(path, Video))
    if not videos and not empty:
        raise SheetError(nothing_to_do(path))
    refuse_twice(path, "video", ((video.row, video.video.lower()) for video in videos))
    labels = Labels()
    for video in videos:
        labels.add(video.species, f"{path}, row {video.row}")
    _refuse_shared_names(path, videos)
    for video in videos:
        check_path(video.path, f"of video {video.video!r}", f"{path}, row {video.row}", later=rendered)
    _refuse_one_file(path, videos, rendered)
    return videos


def _refuse_one_file(path: str | Path, videos: Iterable[Video], rendered: bool) -> None:
    """Refuse a file under two ids, which statistics would count as two videos; two of its streams are two.

    Paths are compared and not what lies on the disk: who makes hard links means several files.
    """
    seen: dict[tuple[str, int | None], Video] = {}
    for video in videos:
        # Where the files may be missing nothing is looked up, and what .. leads to is not known.
        name = str(Path(video.path).absolute()) if rendered else os.path.realpath(video.path)
        first = seen.setdefault((name, video.stream), video)
        if first is not video:
            raise SheetError(
                f"{path}, row {video.row}: the path {shortened(video.path)!r} of video {video.video!r} is the file of "
                f"video {first.video!r} in row {first.row}. A video has one id, or it would count twice; remove one of "
                "the rows."
            )


def _refuse_shared_names(path: str | Path, videos: Iterable[Video]) -> None:
    """Refuse ids whose files would share names: detections/a.prompts.parquet could be of a, and of a.prompts."""
    ids = {video.video.lower() for video in videos}
    for video in videos:
        stem, _, ending = video.video.lower().rpartition(".")
        if ending in OWN_ENDINGS and stem in ids:
            raise SheetError(
                f"{path}, row {video.row}: files of video {video.video!r} would have the names of files of video "
                f"{stem!r}. Write it with a dash: {video.video[: len(stem)]}-{video.video[len(stem) + 1 :]}."
            )
