"""Write prompts.tsv from another tool's annotations: ``python -m longtake.importers FORMAT FILE > prompts.tsv``."""

from __future__ import annotations

import argparse
import io
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from longtake.errors import LongtakeError
from longtake.importers import Row, import_coco, import_cvat, import_hd_epic, import_ytvis, write_rows
from longtake.importers.frames import frame_pattern

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Import and write to standard output, all or nothing; return the exit status."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    given = _parser().parse_args(arguments)
    whole = io.StringIO()
    kinds: Counter[str] = Counter()
    try:
        count = write_rows(_counted(_rows(given), kinds), whole)
        sys.stdout.write(whole.getvalue())
        sys.stdout.flush()
    except LongtakeError as error:
        log.error("%s", error)
        return 1
    except MemoryError:
        log.error("The file does not fit into memory. Export fewer videos at a time.")
        return 1
    except OSError as error:
        log.error("The prompts cannot be written (%s). Make room, or write them elsewhere.", error.strerror)
        return 1
    log.info("%d prompts: %s", count, ", ".join(f"{kinds[kind]} {kind}" for kind in ("boxes", "masks", "points")))
    return 0


def _counted(rows: Iterable[Row], kinds: Counter[str]) -> Iterator[Row]:
    for row in rows:
        kinds["masks" if row.mask else "points" if row.points else "boxes"] += 1
        yield row


def _rows(given: argparse.Namespace) -> Iterator[Row]:
    if given.format == "hd-epic":
        return import_hd_epic(
            given.assoc_info, given.mask_info, videos=given.video, fps=given.fps, inclusive=given.inclusive
        )
    every, drawn = given.boxes == "all", given.masks
    if given.format == "cvat":
        return import_cvat(given.file, video=given.video, fps=given.fps, every_box=every, with_masks=drawn)
    options = {
        "video": given.video,
        "first": given.first_frame,
        "every_box": every,
        "with_masks": drawn,
        "frame_pattern": given.frame_pattern,
    }
    if given.format == "ytvis":
        return import_ytvis(given.file, **options, by_place=given.by_place)
    return import_coco(given.file, **options)


def _parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m longtake.importers", description=__doc__)
    formats = whole.add_subparsers(dest="format", required=True)
    epic = formats.add_parser("hd-epic", help="HD-EPIC object movements")
    epic.add_argument("assoc_info", type=Path)
    epic.add_argument("mask_info", type=Path)
    epic.add_argument("--video", action="append", default=[], help="only this video; may be repeated")
    epic.add_argument("--fps", type=_rate, default=30.0, help="frames a second of the videos (default 30)")
    epic.add_argument("--inclusive", action="store_true", help="maxima of boxes are the last pixel, not the edge")
    for name, what in (("coco", "COCO instances"), ("ytvis", "YouTube-VIS")):
        one = formats.add_parser(name, help=what)
        one.add_argument("file", type=Path)
        one.add_argument("--video", default="", help="the video of pictures that lie in no folder")
        one.add_argument("--first-frame", type=int, default=0, help="number of the first frame in file names (0)")
        where = "where a file's path holds the frame, for names with several numbers: 'dive_(?P<frame>[0-9]+)_'"
        one.add_argument("--frame-pattern", type=_pattern, metavar="REGEX", help=where)
        one.add_argument("--boxes", choices=["first", "all"], default="first", help="of each object (default first)")
        one.add_argument("--masks", action="store_true", help="an annotation's segmentation, where it has one")
    by_place = "a frame is a picture's place in the file's list, as where the video is a folder of these pictures"
    formats.choices["ytvis"].add_argument("--by-place", action="store_true", help=by_place)
    cvat = formats.add_parser("cvat", help="CVAT for video 1.1, annotations.xml")
    cvat.add_argument("file", type=Path)
    cvat.add_argument("--video", default="", help="the video's id (default: the stem of the task's file)")
    cvat.add_argument("--fps", type=_rate, default=None, help="give until_s, from the frames where a track ends")
    cvat.add_argument("--boxes", choices=["first", "all"], default="all", help="of each track (default all drawn)")
    cvat.add_argument("--masks", action="store_true", help="take masks, polygons and points, too, not boxes alone")
    return whole


def _rate(word: str) -> float:
    rate = float(word)
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"{word} is no number of frames a second")
    return rate


def _pattern(words: str) -> re.Pattern[str]:
    try:
        return frame_pattern(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())
