"""What must hold of a video's windows before and while they are joined, whichever way they were made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from longtake.annotate.facts import SAME, WindowFacts
from longtake.annotate.passes import BACKWARD, FORWARD
from longtake.errors import SchemaError
from longtake.kinds import Location
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import scan_batches

CHAIN, OVERLAP = "chain", "overlap"
# When a window is searched for objects.
AUTO, NEVER, ALWAYS = "auto", "never", "always"


def check_windows(paths: Sequence[Location], direction: str, *, whole: bool = True) -> list[WindowFacts]:
    """Return what each window says of itself, if together they are one pass over one video.

    With `whole` false they need not reach from its first frame to its last, but must follow each other.

    Raises
    ------
    SchemaError
        A window is missing, given twice, out of order, of another run or of another direction; or two neighbours that
        should overlap share no processed frame.
    """
    if not paths:
        raise SchemaError("there are no windows to merge; run the annotation of this video first.")
    found: list[WindowFacts] = []
    reached = 0
    for path in paths:
        if pq.read_schema(path).names != DETECTIONS.names:
            raise SchemaError(f"{path}: is no table of detections; delete it and rerun the window.")
        facts = WindowFacts.from_parquet(path)
        check_same(path, facts, paths[0], found[0] if found else facts)
        if facts.direction != direction:
            raise SchemaError(f"{path}: is no {direction} pass; give the windows of one direction.")
        if not whole and not found:
            reached = facts.emit_start
        if facts.emit_start != reached:
            raise SchemaError(
                f"{path}: begins with processed frame {facts.emit_start}, but {reached} is next; a window is missing, "
                "given twice, or out of order. Give all windows of the video in order."
            )
        _check_cover(path, facts)
        if found and facts.continuity == OVERLAP and found[-1].grid_stop <= facts.grid_start:
            raise SchemaError(
                f"{path}: shares no processed frame with the window before, so their objects cannot be told to be the "
                "same; make window_overlap longer than frame_interval."
            )
        reached = facts.emit_stop
        found.append(facts)
    if whole and reached != found[0].grid_frames:
        raise SchemaError(
            f"{paths[-1]}: the windows end at processed frame {reached} of {found[0].grid_frames}; give all windows of "
            "the video."
        )
    return found


def check_same(path: Location, facts: WindowFacts, other: Location, expected: WindowFacts) -> None:
    """Raise `SchemaError` unless two windows belong to one run."""
    for name in SAME:
        if getattr(facts, name) != getattr(expected, name):
            raise SchemaError(
                f"{path}: {name} is {getattr(facts, name)!r}, but {getattr(expected, name)!r} in {other}; the windows "
                "belong to different runs. Rerun this video's windows."
            )


def check_pair(path: Location, facts: WindowFacts, other: Location, expected: WindowFacts) -> None:
    """Raise `SchemaError` unless a window's backward pass (`path`) is over the same frames as its forward pass."""
    check_same(path, facts, other, expected)
    if facts.processed != expected.processed:
        raise SchemaError(f"{path}: is over other frames than {other}; rerun this video's windows.")


def outdated(path: Location, window: Window, frame_interval: int, continuity: str, source: str | None = None) -> str:
    """Say in what a window's table is not what the settings ask for now, or the file of digest `source`; else nothing.

    Only what a table says of itself can be compared: prompts, and what else a rerun would be for, it does not name. One
    that cannot be read is to be made again, too.
    """
    try:
        made = WindowFacts.from_parquet(path)
    except SchemaError as error:
        return str(error)
    except (OSError, pa.ArrowInvalid) as error:
        return f"{path} cannot be read ({error}): delete it and run annotate"
    if source is not None and made.source != source:
        return "made of another file of this video: run annotate"
    emitted, covered = window.frames(frame_interval), window.covered(frame_interval)
    ends = emitted.start, emitted.stop, covered.stop if continuity == OVERLAP else emitted.stop
    now = tuple(-(-frame // frame_interval) for frame in ends)
    if made.frame_interval != frame_interval:
        what = f"frame_interval {made.frame_interval}, now {frame_interval}"
    elif made.continuity != continuity:
        what = f"continuity {made.continuity}, now {continuity}"
    elif (made.emit_start, made.emit_stop, made.grid_stop) != now:
        then = _span(made.emit_start, made.grid_stop, frame_interval)
        what = f"frames {then}, now {_span(now[0], now[2], frame_interval)}"
    else:
        return ""
    return f"made with other settings ({what}): run annotate"


def _span(first: int, stop: int, frame_interval: int) -> str:
    """Name the processed frames of a window, by their numbers in the video."""
    return f"{first * frame_interval} to {(stop - 1) * frame_interval}"


def _check_cover(path: Location, facts: WindowFacts) -> None:
    short = facts.grid_start != facts.emit_start or facts.grid_stop < facts.emit_stop
    if short or (facts.continuity == CHAIN and facts.processed != facts.emitted):
        raise SchemaError(
            f"{path}: processed frames {facts.grid_start} up to {facts.grid_stop}, but {facts.emit_start} up to "
            f"{facts.emit_stop} are its own; delete it and rerun the window."
        )


class Passing:
    """What has to be remembered of the rows of one pass that have gone by, to see that they can be true.

    In a forward pass an object appears with a prompt; in a backward pass it disappears, in the order of time, with one.
    On the frames `torn`, which lie beside windows that are missing, it may do so without.
    """

    def __init__(self, frame_interval: int, direction: str, torn: Collection[int] = ()) -> None:
        self._interval = frame_interval
        self._torn = torn
        self._backward = direction == BACKWARD
        self._last: dict[str, tuple[int, bool]] = {}
        self._newest = -1

    def checked(self, path: Location) -> Iterator[pa.RecordBatch]:
        """Yield the batches of the next window, checked."""
        grid = WindowFacts.from_parquet(path).processed
        frames = range(grid.start * self._interval, grid.stop * self._interval, self._interval)
        for batch in scan_batches(path, DETECTIONS):
            columns = [batch.column(name).to_pylist() for name in ("frame", "object", "prompted")]
            for frame, name, prompted in zip(*columns, strict=True):
                if frame not in frames:
                    raise SchemaError(
                        f"{path}: frame {frame} does not belong to its window (every {self._interval} frames from "
                        f"{frames.start} up to {frames.stop}); delete it and rerun the window."
                    )
                self.check(path, frame, name, prompted, prompted or self._backward)
            yield batch

    def check(self, path: Location, frame: int, name: str, prompted: bool, may_appear: bool) -> None:
        """Take in a row; `may_appear` tells whether its object need not be there in the processed frame before."""
        last, was_prompted = self._last.get(name, (None, True))
        if frame < self._newest or (last is not None and frame <= last):
            raise SchemaError(f"{path}: object {name!r} in frame {frame} is out of order or stands twice; rerun it.")
        if last != frame - self._interval:
            if not may_appear and frame not in self._torn:
                raise SchemaError(
                    f"{path}: object {name!r} appears in frame {frame} without a prompt, but is missing in the "
                    "processed frame before; rerun this video's windows."
                )
            self._check_end(path, name, last, was_prompted)
        self._newest = frame
        self._last[name] = (frame, prompted)

    def finish(self, path: Location) -> None:
        """Take notice that the last row has gone by."""
        for name, (last, was_prompted) in self._last.items():
            self._check_end(path, name, last, was_prompted)

    def _check_end(self, path: Location, name: str, last: int | None, was_prompted: bool) -> None:
        if self._backward and not was_prompted and last not in self._torn:
            raise SchemaError(
                f"{path}: going backward, object {name!r} appears in frame {last} without a prompt, but is missing in "
                "the processed frame after it; rerun this video's windows."
            )


class Result:
    """The rows that are left, checked once more, and counted."""

    def __init__(self, path: Location, frame_interval: int, starts: Collection[int] = ()) -> None:
        self._path = path
        self._starts = starts
        self._passing = Passing(frame_interval, FORWARD)
        self.objects: set[str] = set()
        self.rows = 0
        self.visible = 0
        self.by_status: dict[str, int] = {}

    def checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches; each frame and object stands once, and objects appear for a reason.

        That is a prompt, or that it was seen backward, or, on the frames `starts`, that a window found it.
        """
        names = ("frame", "object", "prompted", "direction", "visible", "status")
        for batch in batches:
            columns = [batch.column(name).to_pylist() for name in names]
            for frame, name, prompted, direction, visible, status in zip(*columns, strict=True):
                may_appear = prompted or direction == BACKWARD or frame in self._starts
                self._passing.check(self._path, frame, name, prompted, may_appear)
                self.objects.add(name)
                self.visible += visible
                self.by_status[status] = self.by_status.get(status, 0) + 1
            self.rows += batch.num_rows
            yield batch
