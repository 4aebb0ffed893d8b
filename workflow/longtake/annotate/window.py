"""One window of a video: frames in, a table of detections and the tracker's state out, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtake import masks
from longtake.annotate.geometry import model_frame, model_prompt, source_mask
from longtake.annotate.handover import load_state, save_state
from longtake.annotate.prompts import Placed, Schedule, place_prompts, warn
from longtake.annotate.session import BoundedSession, Prediction, track
from longtake.annotate.tracker import Tracker, load_tracker
from longtake.errors import StateError
from longtake.media import Frame, VideoIndex, load_index, read_frames
from longtake.sheets import Prompt
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table
from longtake.windows import Window

log = logging.getLogger(__name__)

Location = str | Path
Row = dict[str, Any]
# Rows held before they are written; about half a kilobyte each.
_BATCH_ROWS = 1024


@dataclass
class _Tally:
    """What a window adds up while it runs; no entry grows with the number of frames."""

    frames: int = 0
    rows: int = 0
    visible: int = 0
    tainted: int = 0
    objects: dict[str, None] = field(default_factory=dict)
    prompts: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """The fixed facts of a window job; frames are numbered on the grid of the whole video."""

    index: VideoIndex
    window: Window
    frame_interval: int
    grid: range
    decoded_size: tuple[int, int]
    tracker: Tracker
    schedule: Schedule
    tally: _Tally


def annotate_window(
    *,
    video_path: Location,
    index_path: Location,
    window: Window,
    prompts: Sequence[Prompt],
    model_dir: Location,
    scale: float,
    frame_interval: int,
    state_in: Location | None,
    detections_out: Location,
    state_out: Location | None,
    device: str = "cpu",
    precision: str = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> Row:
    """Track every object through the frames that a window emits, as the uncut video's session would.

    Memory: the model, one frame, `_BATCH_ROWS` rows, and the bounded session; none depends on the length of the
    window or the video.

    Parameters
    ----------
    window
        Its grid frames in [emit_start, emit_stop) are processed.
    prompts
        All prompts of the video, in whichever windows they lie.
    scale
        Frames are decoded at this share of the source size. Boxes, masks and every output are source pixels.
    frame_interval
        Every `frame_interval`-th frame of the video is processed, counted from its first.
    state_in
        The state that the window before wrote; None where no prompt acts before this window.
    detections_out, state_out
        Written whole or not at all; no state is written where `state_out` is None.
    precision
        ``float32``, or ``bfloat16`` for autocast.
    progress
        Called with (frames done, frames to do) after each frame.

    Returns
    -------
    dict
        A JSON-able record: counts, status (``ok``, or ``approximate`` with the reason), and for every prompt of the
        window what the model drew there.

    Raises
    ------
    SheetError, ModelError, StateError, MediaError
        A prompt, the model folder, the state, or a frame cannot be used; nothing is written then.
    """
    index = load_index(index_path, video_path)
    tracker = load_tracker(model_dir, device, precision)
    frames = window.frames(frame_interval)
    job = _Job(
        index=index,
        window=window,
        frame_interval=frame_interval,
        grid=range(frames.start // frame_interval, frames.start // frame_interval + len(frames)),
        decoded_size=(max(1, round(index.width * scale)), max(1, round(index.height * scale))),
        tracker=tracker,
        schedule=Schedule(place_prompts(prompts, index, frame_interval), index, frame_interval),
        tally=_Tally(),
    )
    warn(job.schedule.placed, job.grid)
    session = _begin(job, state_in)
    write_table(detections_out, _batches(_rows(job, session, progress)), DETECTIONS, _metadata(job))
    session.end(job.schedule.ended(session.obj_ids, job.grid.stop))
    state_bytes = 0
    if state_out is not None:
        stop = job.grid.stop
        history = job.schedule.digest(stop)
        state_bytes = save_state(state_out, session, identity=_identity(job), history=history, next_frame=stop)
    return _record(job, session, state_bytes)


def _begin(job: _Job, state_in: Location | None) -> BoundedSession:
    first = job.grid.start
    if state_in is not None:
        history = job.schedule.digest(first)
        return load_state(state_in, job.tracker, identity=_identity(job), history=history, next_frame=first)
    earlier = [each.prompt for each in job.schedule.placed if each.grid_frame < first]
    if earlier:
        raise StateError(
            f"window {job.window.window} of {job.window.video!r} has no state from the window before, but object "
            f"{earlier[0].object!r} was prompted earlier (row {earlier[0].row}) and would be lost; give state_in."
        )
    return BoundedSession(job.tracker, _grid_frames(job))


def _identity(job: _Job) -> dict[str, str]:
    width, height = job.decoded_size
    return {
        "video": job.index.digest,
        "model": job.tracker.digest,
        "precision": job.tracker.precision,
        "frame_interval": str(job.frame_interval),
        "decoded size (video_scale_factor)": f"{width} x {height}",
    }


def _grid_frames(job: _Job) -> int:
    return -(-job.index.n_frames // job.frame_interval)


def _rows(job: _Job, session: BoundedSession, progress: Callable[[int, int], None] | None) -> Iterator[Row]:
    """Track frame by frame; frames on which no object is tracked are neither decoded nor seen by the model."""
    wanted = [frame for frame in job.grid if job.schedule.busy(frame)]
    sources = [frame * job.frame_interval for frame in wanted]
    read = read_frames(job.index, sources, size=job.decoded_size)
    for done, (at, frame) in enumerate(zip(wanted, read, strict=True), start=1):
        session.end(job.schedule.ended(session.obj_ids, at))
        fresh = job.schedule.starting(at)
        side = job.tracker.preprocessing.image_size
        prompts = {name: model_prompt(it, job.index.width, job.index.height, side) for name, it in fresh.items()}
        pixels = model_frame(frame.pixels, job.tracker.preprocessing).to(job.tracker.device)
        job.tally.frames += 1
        job.tally.tainted += frame.tainted
        for name, prediction in track(job.tracker, session, at, pixels, prompts).items():
            row = _row(job, frame, name, prediction, name in fresh)
            if name in fresh:
                job.tally.prompts.append(_prompt_record(job, fresh[name], row))
            yield row
        if progress is not None:
            progress(done, len(wanted))


def _row(job: _Job, frame: Frame, name: str, prediction: Prediction, prompted: bool) -> Row:
    width, height = job.index.width, job.index.height
    row: Row = {
        "video": job.window.video,
        "frame": frame.frame,
        "time_s": frame.time_s,
        "object": name,
        "label": job.schedule.label(name),
        "height": height,
        "width": width,
        "score": prediction.score,
        "visible": False,
        "prompted": prompted,
        "window": job.window.window,
        "status": "tainted" if frame.tainted else "ok",
        "direction": "forward",
    }
    drawn = source_mask(prediction.logits, width, height) if prediction.score_logit > 0 else None
    if drawn is not None:
        crop, x, y = drawn
        x_min, y_min, x_max, y_max = masks.box(crop) or (0, 0, 0, 0)
        row["mask"] = masks.encode_crop(crop[y_min:y_max, x_min:x_max], x + x_min, y + y_min, height, width)
        row["x_min"], row["y_min"] = float(x + x_min), float(y + y_min)
        row["x_max"], row["y_max"] = float(x + x_max), float(y + y_max)
        row["visible"] = True
    job.tally.rows += 1
    job.tally.visible += row["visible"]
    job.tally.objects[name] = None
    return row


def _prompt_record(job: _Job, placed: Placed, row: Row) -> Row:
    """Hold a prompt against what the model drew on the frame where it acted."""
    drawn = (row["x_min"], row["y_min"], row["x_max"], row["y_max"]) if row["visible"] else None
    return _prompt_facts(job, placed) | {
        "visible": row["visible"],
        "score": row["score"],
        "box_iou": (masks.box_iou(drawn, placed.box) if drawn else 0.0) if placed.box else None,
        "mask_area": masks.area(row["mask"], row["height"], row["width"]) if drawn else 0,
        "status": "ok",
        "reason": "",
    }


def _prompt_facts(job: _Job, placed: Placed) -> Row:
    return {
        "row": placed.prompt.row,
        "object": placed.prompt.object,
        "label": placed.prompt.label,
        "frame": placed.frame,
        "acts_on_frame": placed.grid_frame * job.frame_interval,
        "box": list(placed.box) if placed.box else None,
        "clipped": placed.clipped,
    }


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _metadata(job: _Job) -> dict[str, str]:
    """What `longtake.annotate.merge` needs to see that no window is missing."""
    return {
        "longtake.video": job.window.video,
        "longtake.window": str(job.window.window),
        "longtake.frame_interval": str(job.frame_interval),
        "longtake.grid_start": str(job.grid.start),
        "longtake.grid_stop": str(job.grid.stop),
        "longtake.grid_frames": str(_grid_frames(job)),
        "longtake.model": job.tracker.digest,
        "longtake.source": job.index.digest,
    }


def _record(job: _Job, session: BoundedSession, state_bytes: int) -> Row:
    tally = job.tally
    unused = [
        _prompt_facts(job, each) | {"status": "failed", "reason": each.reason}
        for each in job.schedule.placed
        if each.reason and each.grid_frame in job.grid
    ]
    return {
        "video": job.window.video,
        "window": job.window.window,
        "status": "approximate" if tally.tainted else "ok",
        "reason": f"{tally.tainted} frames lie behind a decoding error" if tally.tainted else "",
        "grid_frames": len(job.grid),
        "tracked_frames": tally.frames,
        "tainted_frames": tally.tainted,
        "rows": tally.rows,
        "visible_rows": tally.visible,
        "objects": list(tally.objects),
        "objects_handed_over": list(session.obj_ids),
        "conditioning_frames": session.conditioning_frames(),
        "session_bytes": session.live_bytes(),
        "state_bytes": state_bytes,
        "prompts": tally.prompts + unused,
        "decoded_size": list(job.decoded_size),
        "image_size": job.tracker.preprocessing.image_size,
        "model": job.tracker.digest,
        "device": str(job.tracker.device),
        "precision": job.tracker.precision,
    }
