"""Masks, ids and a clock drawn onto a frame."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from longtake import masks
from longtake.figures.style import Look, clock, look_of, shorten

Pixels = NDArray[np.uint8]
FILL = 0.38
PAD = 3


def color_of(look: Look) -> tuple[int, int, int]:
    """Return the RGB of a look's ``#RRGGBB``."""
    red, green, blue = bytes.fromhex(look.color[1:])
    return red, green, blue


def draw_objects(pixels: Pixels, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Look]) -> Pixels:
    """Draw masks with contours, and a tag with id and label for each visible object.

    Parameters
    ----------
    pixels
        (h, w, 3) uint8 RGB; not changed.
    rows
        Rows of ``DETECTIONS`` of this frame, masks at source size: they are scaled to the frame's.
    known
        The looks of the study's species.

    Returns
    -------
    (h, w, 3) uint8 RGB
    """
    drawn = pixels.copy()
    visible = [row for row in rows if row["visible"]]
    for row in visible:
        if row["mask"] is not None:
            _draw_mask(drawn, row, color_of(look_of(row["label"], known)))
    taken: list[tuple[int, int, int, int]] = []
    for row in visible:
        words = f"{shorten(row['object'], 18)} · {shorten(row['label'], 22)}"
        tag = text_tag(words, color_of(look_of(row["label"], known)), _text_size(drawn))
        _place(drawn, tag, _scaled_box(drawn, row), taken)
    return drawn


def draw_caption(
    pixels: Pixels, time_s: float, frame: int, *, window: int | None, n_visible: int, note: str = ""
) -> Pixels:
    """Write time, frame, window and count into the lower left corner of a copy."""
    drawn = pixels.copy()
    whole, tenth = divmod(round(time_s * 10), 10)
    parts = [f"{clock(whole)}.{tenth}", f"frame {frame}"]
    if window is not None:
        parts.append(f"window {window}")
    parts.append(f"{n_visible} visible")
    tag = text_tag("   ".join([*parts, note]).strip(), (20, 26, 33), _text_size(drawn))
    height, width = drawn.shape[:2]
    _paste(drawn, tag[:, :width], 0, max(0, height - tag.shape[0]))
    return drawn


def _draw_mask(drawn: Pixels, row: Mapping[str, Any], color: tuple[int, int, int]) -> None:
    """Blend the mask's area and outline it, inside the rows and columns that it occupies."""
    height, width = drawn.shape[:2]
    mask = masks.decode(row["mask"], row["height"], row["width"]).astype(np.uint8)
    if mask.shape != (height, width):
        mask = (cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)
    bounds = masks.box(mask.astype(bool))
    if bounds is None:
        return
    x_min, y_min, x_max, y_max = bounds
    crop = drawn[y_min:y_max, x_min:x_max]
    inside = mask[y_min:y_max, x_min:x_max].astype(bool)
    tint = np.array(color, dtype=np.float32)
    crop[inside] = ((1 - FILL) * crop[inside] + FILL * tint).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(height / 360))
    # A white rim around the colour keeps the outline visible on any water.
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), thick + 2, cv2.LINE_AA)
    cv2.drawContours(drawn, outlines, -1, color, thick, cv2.LINE_AA)


def _scaled_box(drawn: Pixels, row: Mapping[str, Any]) -> tuple[int, int, int, int]:
    across, down = drawn.shape[1] / row["width"], drawn.shape[0] / row["height"]
    return (
        round(row["x_min"] * across),
        round(row["y_min"] * down),
        round(row["x_max"] * across),
        round(row["y_max"] * down),
    )


def _text_size(drawn: Pixels) -> int:
    return int(np.clip(round(drawn.shape[0] / 34), 11, 28))


def _place(drawn: Pixels, tag: Pixels, box: tuple[int, int, int, int], taken: list[tuple[int, int, int, int]]) -> None:
    """Put the tag above the box, else below, else at its top; the first place that no other tag has."""
    height, width = drawn.shape[:2]
    tall, wide = min(tag.shape[0], height), min(tag.shape[1], width)
    left = int(np.clip(box[0], 0, width - wide))
    places = []
    for top in (box[1] - tall - 2, box[3] + 2, box[1], box[1] - 2 * tall - 4, box[3] + tall + 4):
        clipped = int(np.clip(top, 0, height - tall))
        places.append((left, clipped, left + wide, clipped + tall))
    free = [place for place in places if not any(_overlap(place, other) for other in taken)]
    chosen = (free or places)[0]
    taken.append(chosen)
    _paste(drawn, tag[:tall, :wide], chosen[0], chosen[1])


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _paste(drawn: Pixels, tag: Pixels, x: int, y: int) -> None:
    tall, wide = tag.shape[:2]
    drawn[y : y + tall, x : x + wide] = tag


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the figures' font, on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


@functools.lru_cache(maxsize=512)
def text_tag(words: str, color: tuple[int, int, int], size: int) -> Pixels:
    """Render text on a coloured ground, dark or white by the ground's luminance: (h, w, 3) uint8."""
    font = _font(size)
    left, _, right, _ = font.getbbox(words or " ", anchor="ls")
    ascent, descent = font.getmetrics()
    image = Image.new("RGB", (round(right - left) + 2 * PAD, ascent + descent + 2), color)
    red, green, blue = color
    ink = (255, 255, 255) if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else (15, 20, 25)
    ImageDraw.Draw(image).text((PAD - left, ascent + 1), words, font=font, fill=ink, anchor="ls")
    return np.asarray(image)
