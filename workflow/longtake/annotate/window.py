"""One window of a video: frames in, a table of detections and the tracker's state out, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.annotate.accounts import accounted
from longtake.annotate.checks import ALWAYS, AUTO, CHAIN, NEVER, OVERLAP
from longtake.annotate.geometry import model_frame, model_prompt
from longtake.annotate.handover import load_state, save_state
from longtake.annotate.passes import BACKWARD, BLOCK_BYTES, FORWARD, Row, read_in_order, write_in_time
from longtake.annotate.pipeline import Stopwatch, ahead, behind
from longtake.annotate.prompts import Placed, Schedule, place_prompts, warn
from longtake.annotate.rows import Tracked, detection_rows, prompt_record
from longtake.annotate.seeding import CRITERIA, gone, seed
from longtake.annotate.session import BoundedSession, Prediction, track
from longtake.annotate.sheet import SEEDED, Prompt
from longtake.annotate.task import Tally, Task, grid_frames, identity, metadata, record
from longtake.annotate.tracker import load_tracker
from longtake.bounded.live import LiveBytes
from longtake.errors import StateError
from longtake.kinds import Location, Progress
from longtake.media.index_file import load_index
from longtake.media.reader import Frame
from longtake.media.windows import Window
from longtake.memory.ledger import stage, step
from longtake.status import Status

_NO_PIXELS = np.empty((0, 0, 3), dtype=np.uint8)


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
    continuity: str = CHAIN,
    direction: str = FORWARD,
    dense_seeding: str = NEVER,
    seed_predicted_iou: float = CRITERIA.predicted_iou,
    seed_stability: float = CRITERIA.stability,
    species: str = "",
    device: str = "cpu",
    precision: str = "float32",
    max_conditioning_frames: int | None = None,
    object_batch: int = 1,
    memory_batch: int | None = None,
    state_on_host: bool = False,
    approximate: str = "",
    progress: Progress = None,
) -> Row:
    """Track every object through a window; where windows are a chain, as the uncut video's session would.

    While the model works, one thread reads the next frames and another draws the masks of the last ones.

    Memory: the model, a few frames, a batch of rows, and the bounded session; backward also a block of frames
    (`longtake.annotate.passes.read_in_order`). None depends on the length of the window or the video.

    Parameters
    ----------
    window
        In a chain its grid frames in [emit_start, emit_stop) are processed, in an overlap those in [start, stop).
    prompts
        All prompts of the video, in whichever windows they lie.
    scale
        Frames are decoded at this share of the source size. Boxes, masks and every output are source pixels.
    frame_interval
        Every `frame_interval`-th frame of the video is processed, counted from its first.
    state_in
        The state that the window before, in the order of the pass, wrote; None where no prompt acts before this window.
    detections_out, state_out
        Written whole or not at all; no state is written where `state_out` is None. Rows ascend in time, also those of
        a backward pass.
    continuity
        ``chain``: windows hand the tracker's state on. ``overlap``: a window is on its own, with the prompts that act
        in it, and neither takes nor gives a state.
    direction
        ``forward``, or ``backward`` from the window's last frame to its first.
    dense_seeding, species
        Whether the window's first frame is searched for objects that nobody prompted, and their label: ``auto`` where
        the video has no prompt, and in every window of an overlap. A backward pass finds none.
    seed_predicted_iou, seed_stability
        What such an object's mask must be at least (`longtake.annotate.seeding.SeedCriteria`).
    precision
        ``float32``, or ``bfloat16`` for autocast.
    max_conditioning_frames, object_batch, memory_batch, state_on_host
        As in `longtake.annotate.tracker.load_tracker`.
    approximate
        Why the window is to be computed in bfloat16, whatever `precision` says, and how far off that is. Such a window
        is approximate, and so is every window that goes on from its state.
    progress
        Called with (frames done, frames to do) after each frame.

    Returns
    -------
    dict
        A JSON-able record: counts, status (``ok``, or ``approximate`` with the reason), for every prompt of the window
        what the model drew there, and how long the pass took (``wall_s``) and the model in it (``model_s``).

    Raises
    ------
    SheetError, ModelError, StateError, MediaError
        A prompt, the model folder, the state, or a frame cannot be used; nothing is written then.
    """
    index = load_index(Path(index_path), Path(video_path))
    tracker = load_tracker(
        model_dir,
        device,
        "bfloat16" if approximate else precision,
        max_conditioning_frames=max_conditioning_frames,
        object_batch=object_batch,
        memory_batch=memory_batch,
        state_on_host=state_on_host,
    )
    grid = _grid(window, continuity, frame_interval)
    acting = [each for each in place_prompts(prompts, index, frame_interval) if _acts(each, grid, continuity)]
    criteria = replace(CRITERIA, predicted_iou=seed_predicted_iou, stability=seed_stability)
    searched = dense_seeding == ALWAYS or (dense_seeding == AUTO and (not prompts or continuity == OVERLAP))
    job = Task(
        index=index,
        window=window,
        frame_interval=frame_interval,
        continuity=continuity,
        direction=direction,
        grid=grid,
        decoded_size=(max(1, round(index.width * scale)), max(1, round(index.height * scale))),
        tracker=tracker,
        schedule=Schedule(acting, index, frame_interval, reverse=direction == BACKWARD),
        seeding=criteria if searched and direction == FORWARD else None,
        species=species or "unlabelled",
        precision=precision,
        approximate=approximate,
        tally=Tally(),
    )
    session = _begin(job, state_in)
    spent = _follow(job, session, detections_out, progress)
    return record(job, session, _hand_over(job, session, state_out), spent)


def asked(options: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a job from the rule's params, with as many objects at a time as the plan says, if that is fewer.

    Parameters
    ----------
    resources
        ``chunk``, objects at a time at most, if it is there.
    """
    batch = int(options.get("object_batch", 1))
    return {**options, "object_batch": min(batch, int(resources.get("chunk") or batch))}


@stage("track")
def _follow(job: Task, session: BoundedSession, out: Location, progress: Progress) -> dict[str, float]:
    """Track through the window and write its table; how long that took."""
    watch = Stopwatch()
    decoded = 3 * job.decoded_size[0] * job.decoded_size[1]
    ahead_of_time = BLOCK_BYTES if job.backward else 0
    with accounted(job.tracker, session, job.room, decoded + ahead_of_time):
        write_in_time(out, _drawn(job, session, watch, progress), metadata(job), backward=job.backward)
    return watch.facts()


@stage("load")
def _begin(job: Task, state_in: Location | None) -> BoundedSession:
    warn(job.schedule.placed, job.grid)
    session = _taken_over(job, state_in)
    if job.approximate and not session.approximate:
        session.approximate = f"window {job.window.window} ({job.approximate})"
    return session


def _taken_over(job: Task, state_in: Location | None) -> BoundedSession:
    first = job.order[0]
    if state_in is not None:
        _refuse_state(job, state_in)
        history = job.schedule.digest(first)
        return load_state(
            state_in, job.tracker, identity=identity(job), history=history, next_frame=first, reverse=job.backward
        )
    earlier = [each for each in job.schedule.placed if each.grid_frame not in job.grid]
    earlier = [each for each in earlier if (each.grid_frame > first) == job.backward]
    if earlier:
        prompt, name = earlier[0].prompt, job.window.video
        raise StateError(
            f"window {job.window.window} of {name!r} has no state from the window before, but object "
            f"{prompt.object!r} was prompted earlier (row {prompt.row}) and would be lost; give state_in."
        )
    return BoundedSession(job.tracker, grid_frames(job))


@stage("hand over")
def _hand_over(job: Task, session: BoundedSession, state_out: Location | None) -> int:
    following = job.order.stop
    session.end(job.schedule.ended(session.obj_ids, following))
    if state_out is None:
        return 0
    _refuse_state(job, state_out)
    history = job.schedule.digest(following)
    return save_state(
        state_out,
        session,
        identity=identity(job),
        history=history,
        next_frame=following,
        reverse=job.backward,
        approximate=session.approximate,
    )


def _refuse_state(job: Task, path: Location) -> None:
    if job.continuity == OVERLAP:
        raise StateError(f"{path}: windows of continuity {OVERLAP!r} are independent; give no file for a state.")


def _acts(placed: Placed, grid: range, continuity: str) -> bool:
    """Whether a prompt can act on a window at all: in a chain all do, by what earlier windows hand on."""
    return continuity != OVERLAP or placed.grid_frame in grid


def _grid(window: Window, continuity: str, frame_interval: int) -> range:
    frames = window.covered(frame_interval) if continuity == OVERLAP else window.frames(frame_interval)
    return range(frames.start // frame_interval, frames.start // frame_interval + len(frames))


def _drawn(job: Task, session: BoundedSession, watch: Stopwatch, progress: Progress) -> Iterator[list[Row]]:
    """Yield the rows of each frame in the order of the pass, and add them up."""
    draw = partial(
        detection_rows,
        video=job.window.video,
        window=job.window.window,
        direction=job.direction,
        width=job.index.width,
        height=job.index.height,
        status=Status.APPROXIMATE if session.approximate else Status.OK,
    )
    tally = job.tally
    for seen, rows in behind(lambda seen: (seen, draw(seen)), _tracked(job, session, watch, progress)):
        tally.frames += 1
        tally.tainted += seen.tainted
        for row in rows:
            tally.rows += 1
            tally.visible += row["visible"]
            tally.objects[row["object"]] = None
            if row["object"] in seen.fresh:
                tally.prompts.append(prompt_record(seen.fresh[row["object"]], seen.frame, row))
        yield rows


def _tracked(job: Task, session: BoundedSession, watch: Stopwatch, progress: Progress) -> Iterator[Tracked]:
    """Track frame by frame; frames on which no object is tracked are neither decoded nor seen by the model."""
    found = job.seeding is not None or any(SEEDED.fullmatch(name) for name in session.obj_ids)
    wanted = [at for at in job.order if found or job.schedule.busy(at)]
    for done, (at, frame, pixels) in enumerate(ahead(_frames(job, wanted), room=job.room), start=1):
        over = job.schedule.ended(session.obj_ids, at)
        session.end(over | gone(job.tracker, session) if found else over)
        fresh = job.schedule.starting(at)
        with watch.model(), step(LiveBytes, gpu=job.tracker.device.type == "cuda"):
            predictions, begun = _advance(job, session, at, pixels, fresh)
        job.tally.saw(session)
        labels = {name: job.species if SEEDED.fullmatch(name) else job.schedule.label(name) for name in predictions}
        yield Tracked(
            frame.frame, frame.time_s, frame.tainted, fresh, frozenset(fresh.keys() | begun), labels, predictions
        )
        if progress is not None:
            progress(done, len(wanted))


def _advance(
    job: Task, session: BoundedSession, at: int, pixels: torch.Tensor, fresh: Mapping[str, Placed]
) -> tuple[dict[str, Prediction], set[str]]:
    """Take the session on by a frame: what it says of each object, and which ones it found there by itself."""
    width, height, side = job.index.width, job.index.height, job.tracker.preprocessing.image_size
    prompts = {name: model_prompt(placed, width, height, side) for name, placed in fresh.items()}
    tracked = track(job.tracker, session, at, pixels, prompts, reverse=job.backward)
    if job.seeding is None or at != job.order[0]:
        return tracked, set()
    prefix = f"auto-{job.window.window:04d}"
    seeds = seed(job.tracker, session, at, pixels, tracked, prefix=prefix, criteria=job.seeding)
    return tracked | seeds, set(seeds)


def _frames(job: Task, wanted: Sequence[int]) -> Iterator[tuple[int, Frame, torch.Tensor]]:
    """Yield grid frames as the model takes them; the pixels stay behind."""
    sources = sorted(at * job.frame_interval for at in wanted)
    read = read_in_order(job.index, sources, size=job.decoded_size, backward=job.backward)
    for at, frame in zip(wanted, read, strict=True):
        pixels = model_frame(frame.pixels, job.tracker.preprocessing).to(job.tracker.device)
        yield at, replace(frame, pixels=_NO_PIXELS), pixels
