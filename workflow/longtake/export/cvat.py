"""Detections as XML of CVAT for video 1.1: one track of boxes an object, to be corrected by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape, quoteattr

from longtake.export.rows import Annotated, Row, by_frame, processed_frames
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.store.atomic import atomic_path
from longtake.store.spill import Spill

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Box = tuple[float, float, float, float]


@dataclass
class _Track:
    """An object so far: its label, its last box, and the processed frame that comes after it."""

    name: str
    label: str
    box: Box
    next_step: int = 0


def write_cvat(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, int]:
    """Write the boxes of one video; CVAT's tracks hold no masks.

    A box reaches from xtl to xbr on the picture's plane, so xbr and ybr are exclusive maxima as they stand. Every
    box of a processed frame is a keyframe, and CVAT interpolates between them; where an object is not visible on the
    next processed frame, its track goes outside there. Frames are those of the source, from 0. Tracks are counted by
    the object's first visible row; the object's id stands in the attribute ``object`` of each box, which
    `longtake.importers` reads again. An object without a label is called ``unlabelled``.

    Memory: one batch of the table, a few numbers for each object, and 4 MiB; the tracks wait on disk.

    Returns
    -------
    dict
        JSON-able counts: tracks, boxes, labels.
    """
    index = load_index(item.index_path, item.video_path)
    frames = processed_frames(item.windows, frame_interval)
    labels = dict.fromkeys(sorted({name or "unlabelled" for name in categories}))
    tracks: dict[str, _Track] = {}
    boxes = 0
    with Spill(out.parent) as spill, atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for frame, rows in by_frame(item.detections):
            for row in rows:
                if row["visible"] and row["x_min"] is not None:
                    boxes += 1
                    _add(spill, tracks, row, frames.place(frame), frames)
        for track in tracks.values():
            labels[track.label] = None
            _leave(spill, track, len(frames), frames)
        _write_head(file, item, index, labels)
        for number, track in enumerate(tracks.values()):
            file.write(f'  <track id="{number}" label={_quoted(track.label)} source="auto">\n')
            for piece in spill.pieces(track.name):
                file.write(piece.decode())
            file.write("  </track>\n")
        file.write("</annotations>\n")
    return {"tracks": len(tracks), "boxes": boxes, "labels": len(labels)}


def _add(spill: Spill, tracks: dict[str, _Track], row: Row, step: int, frames: Sequence[int]) -> None:
    box = (row["x_min"], row["y_min"], row["x_max"], row["y_max"])
    track = tracks.setdefault(row["object"], _Track(row["object"], row["label"] or "unlabelled", box, next_step=step))
    _leave(spill, track, step, frames)
    track.box, track.next_step = box, step + 1
    spill.add(track.name, _box(track, frames[step], outside=False).encode())


def _leave(spill: Spill, track: _Track, step: int, frames: Sequence[int]) -> None:
    """Put the track outside on the frame after its last box, unless that is the frame of `step`."""
    if track.next_step < step:
        spill.add(track.name, _box(track, frames[track.next_step], outside=True).encode())


def _box(track: _Track, frame: int, *, outside: bool) -> str:
    edges = zip(("xtl", "ytl", "xbr", "ybr"), track.box, strict=True)
    shape = " ".join(f'{name}="{edge:.2f}"' for name, edge in edges)
    return (
        f'    <box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" {shape} z_order="0">'
        f'<attribute name="object">{_clean(track.name)}</attribute></box>\n'
    )


def _write_head(file: TextIO, item: Annotated, index: VideoIndex, labels: Iterable[str]) -> None:
    attribute = (
        "<attributes><attribute><name>object</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute></attributes>"
    )
    named = "".join(f"\n      <label><name>{_clean(name)}</name>{attribute}</label>" for name in labels)
    file.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task>\n'
        f"    <name>{_clean(item.video)}</name><size>{index.n_frames}</size><mode>interpolation</mode>\n"
        f"    <start_frame>0</start_frame><stop_frame>{index.n_frames - 1}</stop_frame><frame_filter></frame_filter>\n"
        f"    <labels>{named}\n    </labels>\n"
        f"    <original_size><width>{index.width}</width><height>{index.height}</height></original_size>\n"
        f"    <source>{_clean(item.video_path.name)}</source>\n  </task></meta>\n"
    )


def _clean(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))
