"""Which prompt acts on which processed frame, and when an object ends.

A prompt belongs to a frame of the source; the tracker sees every `frame_interval`-th. So a prompt acts on the *nearest*
processed frame, the earlier one in a tie (and the last one, where the nearest would lie behind the video's end). The
latest prompt of an object decides when it ends: the object is tracked up to the last processed frame whose time is not
later than that prompt's `until_s`, and on the prompted frame in any case. A prompt after the end begins the object
anew, with nothing remembered.

A backward pass tracks an object from its last prompt down to its first and on to the video's first frame. Where
forward the object begins anew, backward it ends: nothing is tracked in what `until_s` leaves out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from longtake import masks
from longtake.annotate.sheet import Prompt
from longtake.errors import FrameUnavailable, SheetError
from longtake.masks import Box
from longtake.media.pictures import picture_places

log = logging.getLogger(__name__)

_OVERRULED = "not used: another prompt of the object acts on the same processed frame and is closer to it"


class Timeline(Protocol):
    """What a prompt has to be held against: `longtake.media.VideoIndex` is one."""

    @property
    def path(self) -> Path: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def n_frames(self) -> int: ...
    def time_s(self, frame: int) -> float: ...
    def frame_at(self, time_s: float) -> int: ...


@dataclass(frozen=True)
class Placed:
    """A prompt on the grid: `grid_frame` counts processed frames over the whole video.

    `frame` is the source frame that the prompt names. `box` lies in the frame (None without one), `mask` holds COCO
    compressed RLE counts of the source frame (empty without one). `reason` says why a prompt is not used, or is empty.
    """

    prompt: Prompt
    frame: int
    grid_frame: int
    box: Box | None
    clipped: bool
    reason: str = ""
    mask: str = ""


def place_prompts(
    prompts: Iterable[Prompt], timeline: Timeline, frame_interval: int, sheet: str = "prompts.tsv"
) -> list[Placed]:
    """Put prompts on the grid, in the order of grid frames and rows.

    Raises
    ------
    SheetError
        A prompt lies outside the video in time, or names a picture that is not in its folder; its box is empty, not a
        number, or outside the frame; a point lies outside the frame; its mask is empty, broken, or of another size.
    """
    prompts = list(prompts)
    pictures = picture_places(timeline.path) if any(prompt.picture for prompt in prompts) else {}
    placed = [
        _place(_renumbered(prompt, pictures, f"{sheet}, row {prompt.row}"), timeline, frame_interval, sheet)
        for prompt in prompts
    ]
    closest: dict[tuple[int, str], Placed] = {}
    for each in placed:
        key = (each.grid_frame, each.prompt.object)
        if key not in closest or _rank(each, frame_interval) < _rank(closest[key], frame_interval):
            closest[key] = each
    overruled = {each for each in placed if closest[each.grid_frame, each.prompt.object] is not each}
    judged = (replace(each, reason=_OVERRULED) if each in overruled else each for each in placed)
    return sorted(judged, key=lambda each: (each.grid_frame, each.prompt.row))


def warn(placed: Iterable[Placed], frames: range, sheet: str = "prompts.tsv") -> None:
    """Log which prompts that act on these grid frames were clipped to the picture, or are not used."""
    for each in placed:
        if each.grid_frame in frames and (each.clipped or each.reason):
            why = each.reason or f"its box reaches out of the picture and is clipped to {each.box}"
            log.warning("%s, row %d, object %s: %s", sheet, each.prompt.row, each.prompt.object, why)


class Schedule:
    """Which objects are tracked on which grid frame, from the prompts of a whole video; grid frames inclusive.

    One of a backward pass is `reverse`; "before", "latest" and "last" are then meant in the order of that pass.
    """

    def __init__(
        self, placed: Sequence[Placed], timeline: Timeline, frame_interval: int, *, reverse: bool = False
    ) -> None:
        self.placed = placed
        # Spans are kept as positions in the pass: frames forward, and their negatives backward.
        self._sign = -1 if reverse else 1
        self._boxes: dict[int, dict[str, Placed]] = {}
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._labels = {each.prompt.object: each.prompt.label for each in placed}
        for each in placed:
            if not each.reason:
                self._boxes.setdefault(each.grid_frame, {})[each.prompt.object] = each
                span = (each.grid_frame, _last(each, timeline, frame_interval))
                self._spans.setdefault(each.prompt.object, []).append(span)
        if reverse:
            self._spans = {name: _mirrored(spans) for name, spans in self._spans.items()}

    def starting(self, frame: int) -> dict[str, Placed]:
        """Return the prompts that act on a grid frame, by object."""
        return self._boxes.get(frame, {})

    def label(self, name: str) -> str:
        """Return the label of an object, which is the same in all its prompts."""
        return self._labels[name]

    def busy(self, frame: int) -> bool:
        """Return whether any object is tracked on a grid frame."""
        return any(self.tracks(name, frame) for name in self._spans)

    def tracks(self, name: str, frame: int) -> bool:
        """Return whether an object that a prompt names is tracked on a grid frame."""
        at = self._sign * frame
        return self._reaches(name, at + 1) >= at

    def ended(self, names: Iterable[str], frame: int) -> set[str]:
        """Return which of the objects tracked before a grid frame are over by then; a prompt on it begins them anew.

        An object that no prompt names, because the model found it, is over at no time.
        """
        at = self._sign * frame
        return {name for name in names if name in self._spans and self._reaches(name, at) < at}

    def _reaches(self, name: str, before: int) -> int:
        """Give the last position of an object by its latest prompt that acts before position `before`."""
        spans = reversed(self._spans.get(name, []))
        return next((last for start, last in spans if start < before), -sys.maxsize)

    def digest(self, before: int) -> str:
        """Digest the prompts that act before a grid frame: those that a state at that frame has already taken in."""
        at = self._sign * before
        seen = [
            # A mask counts by its pixels, wherever its file lies.
            asdict(it.prompt) | {"row": 0, "mask": it.mask, "mask_digest": ""}
            for it in self.placed
            if self._sign * it.grid_frame < at and not it.reason
        ]
        # Where an object ends, an earlier prompt can decide for the backward pass, which has not come to it.
        ends = {name: [span for span in spans if span[0] < at] for name, spans in self._spans.items()}
        known = [seen, {name: spans for name, spans in ends.items() if spans}]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _mirrored(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn an object's spans (prompt, last frame) into those of the backward pass, as positions in it."""
    mirrored: list[tuple[int, int]] = []
    reached, begin = spans[0][0], 0
    for start, last in spans:
        if reached < start:  # forgotten by then
            begin = start
        mirrored.append((-start, -begin))
        reached = last
    return mirrored[::-1]


def _last(placed: Placed, timeline: Timeline, frame_interval: int) -> int:
    last = (timeline.n_frames - 1) // frame_interval
    until = placed.prompt.until_s
    if until is None or until >= timeline.time_s(last * frame_interval):
        return last
    return max(placed.grid_frame, timeline.frame_at(max(until, 0.0)) // frame_interval)


def _renumbered(prompt: Prompt, pictures: Mapping[str, int], where: str) -> Prompt:
    """Give the prompt the place of the picture that it names, whose number may be another: 00005.jpg comes second."""
    if not prompt.picture or not pictures:
        return prompt
    if prompt.picture not in pictures:
        raise SheetError(
            f"{where}: the picture {prompt.picture!r} of object {prompt.object!r} is not in the folder of the video; "
            "give its name as it is there, or leave the cell empty to go by frame, counted from 0."
        )
    return replace(prompt, frame=pictures[prompt.picture])


def _place(prompt: Prompt, timeline: Timeline, frame_interval: int, sheet: str) -> Placed:
    where = f"{sheet}, row {prompt.row}"
    frame = _frame(prompt, timeline, where)
    below, rest = divmod(frame, frame_interval)
    nearest = below + (2 * rest > frame_interval)
    box, clipped = _inside(prompt, timeline, where)
    _check_points(prompt, timeline, where)
    mask = _mask(prompt, timeline, where) if prompt.mask else ""
    grid_frame = min(nearest, (timeline.n_frames - 1) // frame_interval)
    if prompt.until_s is not None and prompt.until_s < timeline.time_s(frame):
        raise SheetError(
            f"{where}: object {prompt.object!r} ends at until_s {prompt.until_s:g}, before its prompt at "
            f"{timeline.time_s(frame):g} s; give a later until_s, or leave it empty."
        )
    return Placed(prompt, frame, grid_frame, box, clipped, mask=mask)


def _frame(prompt: Prompt, timeline: Timeline, where: str) -> int:
    if prompt.frame is None:
        try:
            return timeline.frame_at(float("nan") if prompt.time_s is None else prompt.time_s)
        except (FrameUnavailable, ValueError):
            last = timeline.time_s(timeline.n_frames - 1)
            raise SheetError(
                f"{where}: time_s {prompt.time_s} of object {prompt.object!r} lies outside the video, whose last frame "
                f"is at {last:.3f} s; give a time from 0 to there."
            ) from None
    if not 0 <= prompt.frame < timeline.n_frames:
        raise SheetError(
            f"{where}: frame {prompt.frame} of object {prompt.object!r} lies outside the video, which has "
            f"{timeline.n_frames} frames; give a frame from 0 to {timeline.n_frames - 1}."
        )
    return prompt.frame


def _inside(prompt: Prompt, timeline: Timeline, where: str) -> tuple[Box | None, bool]:
    given = prompt.box
    if given is None:
        return None, False
    said = f"the box x {given[0]:g} to {given[2]:g}, y {given[1]:g} to {given[3]:g} of object {prompt.object!r}"
    if not (given[0] < given[2] and given[1] < given[3]):
        raise SheetError(f"{where}: {said} is empty; maxima are exclusive and must exceed the minima.")
    width, height = timeline.width, timeline.height
    box = (max(given[0], 0.0), max(given[1], 0.0), min(given[2], float(width)), min(given[3], float(height)))
    if not (box[0] < box[2] and box[1] < box[3]):
        raise SheetError(
            f"{where}: {said} lies outside the frame of {width} x {height} pixels; give source pixels (as displayed, "
            "not scaled)."
        )
    return box, box != given


def _check_points(prompt: Prompt, timeline: Timeline, where: str) -> None:
    width, height = timeline.width, timeline.height
    for x, y in (*prompt.points, *prompt.negative_points):
        if not (0 <= x < width and 0 <= y < height):
            raise SheetError(
                f"{where}: the point {x:g},{y:g} of object {prompt.object!r} lies outside the frame of {width} x "
                f"{height} pixels; give source pixels (as displayed, not scaled), counted from 0."
            )


def _mask(prompt: Prompt, timeline: Timeline, where: str) -> str:
    """Return the prompt's mask as run lengths of the source frame."""
    width, height = timeline.width, timeline.height
    try:
        counts = prompt.mask
        if prompt.mask_file:
            counts = masks.encode(masks.read_png(prompt.mask_file, height, width))
        area = masks.checked_area(counts, height, width)
    except ValueError as error:
        raise SheetError(
            f"{where}: the mask of object {prompt.object!r} cannot be used: {error}. Give it at the size of the "
            f"source, {width} x {height} pixels as displayed."
        ) from None
    if area == 0:
        raise SheetError(f"{where}: the mask of object {prompt.object!r} is empty; draw it, or remove the row.")
    return counts


def _rank(placed: Placed, frame_interval: int) -> tuple[int, int]:
    return abs(placed.frame - placed.grid_frame * frame_interval), placed.prompt.row
