"""A video's clips as the model saw them: each frame, where its gradient lies, and how much it counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pyarrow as pa

from longtake.errors import SchemaError
from longtake.export.drawing import Pixels, color_of, text_tag
from longtake.figures.style import Look, clock, look_of, looks, shorten
from longtake.gradients.figures import motion_of, relative
from longtake.kinds import Row
from longtake.media.index_file import load_index
from longtake.media.reader import Frame, read_frames
from longtake.media.writer import write_video
from longtake.status import Status
from longtake.store.arrays import read_arrays
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import read_table, scan_groups

RATE = 10
STRONGEST = 0.995
GROUND, INK, FAINT = (20, 26, 33), (235, 238, 242), (84, 96, 109)


@dataclass(frozen=True)
class Played:
    """A clip with all that is drawn of it: its row of CLIPS, its rows of CURVES, and maps (T, h, w) in [0, 1]."""

    clip: Row
    curves: Sequence[Row]
    maps: np.ndarray
    region: tuple[int, int, int, int]


def write_heat_video(
    *,
    video_path: Path,
    index_path: Path,
    clips: Path,
    curves: Path,
    maps: Sequence[Path],
    species: Sequence[str],
    width: int,
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Play all clips of a video one after the other, in slow motion: ten frames a second.

    On the left what the model saw, on the right the same under its gradient map, below the importance of every frame
    (bars, divided by the clip's mean) and the motion (line, over its largest) with the present frame marked. Colours
    reach from 0 to the 99.5th percentile of the clip's own maps: clips have scores of their own, so brightness is not
    to be compared between them.

    Parameters
    ----------
    clips, curves, maps
        The merged tables, and the maps of each window.
    width
        Of the video in pixels.

    Returns
    -------
    dict
        JSON-able: clips and frames that are shown.

    Memory: the maps and curves of one window, one frame of the source, and the rows of all clips.
    """
    index = load_index(index_path, video_path)
    rows = [row for row in read_table(clips, CLIPS).to_pylist() if row["status"] != Status.FAILED]
    known, width = looks(species), width + width % 2
    height = _panel_height(width) + _strip_height(width)
    shown = 0

    def frames() -> Iterator[tuple[int, Pixels]]:
        nonlocal shown
        for played in _played(rows, curves, maps):
            for offset, frame in enumerate(read_frames(index, _frames_of(played.clip))):
                yield shown, _picture(played, offset, frame, known, width)
                shown += 1
            if progress is not None:
                progress(shown, len(rows) * len(played.curves))
        if not shown:
            yield 0, _empty(width, height)

    write_video(out, frames(), time_base=Fraction(1, RATE), width=width, height=height)
    return {"clips": len(rows), "frames": shown}


def _panel_height(width: int) -> int:
    return (width * 3 // 8) // 2 * 2


def _strip_height(width: int) -> int:
    return (width // 8) // 2 * 2


def _frames_of(clip: Row) -> range:
    return range(clip["first_frame"], clip["last_frame"] + 1, clip["stride"])


def _played(rows: Sequence[Row], curves: Path, maps: Sequence[Path]) -> Iterator[Played]:
    """The clips window by window, in order of time within each."""
    groups = scan_groups(curves, CURVES, "window")
    by_clip: dict[tuple[int, str, int], list[Row]] = {}
    for path in maps:
        arrays, metadata = read_arrays(path)
        records = json.loads(metadata["clips"])
        windows = {record["window"] for record in records.values()}
        shown = [row for row in rows if row["window"] in windows]
        while shown and not windows & {window for window, _, _ in by_clip}:
            by_clip = _by_clip(next(groups, None), curves, path)
        for clip in sorted(shown, key=_in_time):
            name = f"{clip['object']}.{clip['clip']}"
            if name not in arrays:
                raise SchemaError(f"{path} holds no map of {name}, but the table of clips does; run the step again.")
            own = sorted(by_clip[clip["window"], clip["object"], clip["clip"]], key=lambda row: row["offset"])
            yield Played(clip, own, arrays[name].astype(np.float32), tuple(records[name]["region"]))


def _by_clip(window: pa.Table | None, curves: Path, path: Path) -> dict[tuple[int, str, int], list[Row]]:
    if window is None:
        raise SchemaError(f"{curves} holds no curves of the window of {path}, or not in its place; merge it anew.")
    found: dict[tuple[int, str, int], list[Row]] = {}
    for row in window.to_pylist():
        found.setdefault((row["window"], row["object"], row["clip"]), []).append(row)
    return found


def _in_time(clip: Row) -> tuple[int, str]:
    return clip["first_frame"], clip["object"]


def _picture(played: Played, offset: int, frame: Frame, known: Mapping[str, Look], width: int) -> Pixels:
    tall, strip = _panel_height(width), _strip_height(width)
    canvas = np.full((tall + strip, width, 3), GROUND, np.uint8)
    x_min, y_min, x_max, y_max = played.region
    plain = _fit(frame.pixels[y_min:y_max, x_min:x_max], width // 2 - 2, tall)
    heat = _heated(plain, played.maps[offset], float(np.quantile(played.maps, STRONGEST)))
    for number, panel in enumerate((plain, heat)):
        top, left = (tall - panel.shape[0]) // 2, number * width // 2 + (width // 2 - panel.shape[1]) // 2
        canvas[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    _draw_strip(canvas[tall:], played, offset, color_of(look_of(played.clip["label"], known)))
    _label(canvas, _caption(played.clip, frame), 0)
    _label(canvas, f"gradient of {played.clip['target_name']}, score {played.clip['score']:.2f}", width // 2)
    return canvas


def _fit(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale to fit, at the native aspect ratio."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=method), dtype=np.uint8)


def _heated(plain: Pixels, strength: np.ndarray, top: float) -> Pixels:
    """The picture in grey under the map: the stronger, the more opaque."""
    share = np.clip(strength / top if top > 0 else strength, 0.0, 1.0)
    share = cv2.resize(share, (plain.shape[1], plain.shape[0]), interpolation=cv2.INTER_LINEAR)
    colors = (matplotlib.colormaps["inferno"](share)[..., :3] * 255).astype(np.float32)
    grey = cv2.cvtColor(plain, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] * 0.7
    opaque = 0.9 * np.sqrt(share)[..., None]
    return ((1 - opaque) * grey + opaque * colors).astype(np.uint8)


def _draw_strip(strip: Pixels, played: Played, offset: int, color: tuple[int, int, int]) -> None:
    """Importance as bars and motion as a line, into a view of the canvas."""
    importance = relative(np.array([row["magnitude"] for row in played.curves], dtype=np.float64))
    motion = motion_of(played.curves)
    height, width = strip.shape[:2]
    floor, reach, step = height - 6, height - 30, width / len(importance)
    highest = np.nanmax(importance, initial=1e-9, where=np.isfinite(importance))
    for t, value in enumerate(importance):
        if np.isfinite(value):
            left, right = round(t * step) + 1, max(round(t * step) + 2, round((t + 1) * step) - 1)
            shade = (
                color if t == offset else tuple(int(0.45 * c + 0.55 * g) for c, g in zip(color, GROUND, strict=True))
            )
            strip[floor - round(reach * value / highest) : floor, left:right] = shade
    fastest = np.nanmax(motion, initial=0.0, where=np.isfinite(motion))
    if fastest > 0:
        points = [
            (round((t + 0.5) * step), floor - round(reach * value / fastest))
            for t, value in enumerate(motion)
            if np.isfinite(value)
        ]
        cv2.polylines(strip, [np.array(points, np.int32)], False, INK, 1, cv2.LINE_AA)
    words = f"bars: importance (highest {highest:.1f} of mean); line: motion (highest {fastest:.1f} px per frame)"
    _label(strip, words, 0)


def _caption(clip: Row, frame: Frame) -> str:
    whole, tenth = divmod(round(frame.time_s * 10), 10)
    name = f"{shorten(clip['object'], 18)} · {shorten(clip['label'], 22)}"
    return f"{name} · clip {clip['clip']}   {clock(whole)}.{tenth}   frame {frame.frame}"


def _label(canvas: Pixels, words: str, left: int) -> None:
    tag = text_tag(words, GROUND, int(np.clip(canvas.shape[1] // 80, 9, 20)))
    tag = tag[: canvas.shape[0], : canvas.shape[1] - left]
    canvas[: tag.shape[0], left : left + tag.shape[1]] = tag


def _empty(width: int, height: int) -> Pixels:
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    _label(canvas, "No clip of this video was analysed.", 0)
    return canvas
