"""The fixed facts of a window job, what it adds up while it runs, and what it says of itself in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from longtake.annotate.facts import WindowFacts
from longtake.annotate.passes import BACKWARD, Row
from longtake.annotate.pipeline import Room
from longtake.annotate.prompts import Schedule
from longtake.annotate.rows import prompt_facts
from longtake.annotate.seeding import SeedCriteria
from longtake.annotate.session import CONDITIONING, BoundedSession
from longtake.annotate.tracker import Tracker
from longtake.media.index import VideoIndex
from longtake.media.windows import Window
from longtake.status import Status
from longtake.unit import Done

ENOUGH = 16
"""Frames that fill a tracker's memories, and after which the first ones, which are slow, no longer decide the pace."""


@dataclass
class Tally:
    """What a window adds up while it runs; no entry grows with the number of frames."""

    frames: int = 0
    rows: int = 0
    visible: int = 0
    tainted: int = 0
    objects: dict[str, None] = field(default_factory=dict)
    prompts: list[Row] = field(default_factory=list)
    objects_at_once: int = 0
    prompted_at_once: int = 0

    def saw(self, session: BoundedSession) -> None:
        """Note what the session knows after a frame: how many objects, and how many prompted frames of one at most.

        By these a plan tells whether a window had as much to do as its forecast is of.
        """
        self.objects_at_once = max(self.objects_at_once, len(session.obj_ids))
        prompted = (len(outputs[CONDITIONING]) for outputs in session.output_dict_per_obj.values())
        self.prompted_at_once = max(self.prompted_at_once, *prompted, 0)


def done_by(tally: Tally, planned: int, seconds: float) -> dict[str, Row]:
    """Return what a window's job did (`longtake.unit.Done`), of so many planned frames; nothing of next to nothing.

    Prompted frames are rounded up to a power of two, as forecasts have them (`longtake.annotate.cases.frames_read`).
    """
    if not tally.objects_at_once or not tally.prompted_at_once or tally.frames < max(1, min(ENOUGH, planned)):
        return {}
    load = {"objects": tally.objects_at_once, "prompted": 1 << (tally.prompted_at_once - 1).bit_length()}
    return {"done": asdict(Done(tally.frames, seconds, load, settled=tally.frames >= ENOUGH))}


@dataclass(frozen=True)
class Task:
    """The fixed facts of a window job; frames are numbered on the grid of the whole video.

    `grid` are the frames that it processes, ascending; `room` is how many may wait for the model.
    """

    index: VideoIndex
    window: Window
    frame_interval: int
    continuity: str
    direction: str
    grid: range
    decoded_size: tuple[int, int]
    tracker: Tracker
    schedule: Schedule
    seeding: SeedCriteria | None
    species: str
    precision: str
    approximate: str
    tally: Tally
    room: Room = field(default_factory=Room)

    @property
    def backward(self) -> bool:
        return self.direction == BACKWARD

    @property
    def order(self) -> range:
        """The grid in the order of the pass; its `stop` is the frame with which the pass would go on."""
        return self.grid[::-1] if self.backward else self.grid


def identity(task: Task) -> dict[str, str]:
    """What the states of one chain of windows must have in common."""
    width, height = task.decoded_size
    return {
        "video": task.index.digest,
        "model": task.tracker.digest,
        "precision": task.precision,
        "max_conditioning_frames": str(task.tracker.max_conditioning_frames),
        "frame_interval": str(task.frame_interval),
        "decoded size (video_scale_factor)": f"{width} x {height}",
    }


def grid_frames(task: Task) -> int:
    """Count the grid frames of the whole video."""
    return -(-task.index.n_frames // task.frame_interval)


def metadata(task: Task) -> dict[str, str]:
    """What `longtake.annotate.merge` needs to see that no window is missing."""
    emitted = task.window.frames(task.frame_interval)
    first = emitted.start // task.frame_interval
    return WindowFacts(
        video=task.window.video,
        window=task.window.window,
        continuity=task.continuity,
        direction=task.direction,
        frame_interval=task.frame_interval,
        grid_start=task.grid.start,
        grid_stop=task.grid.stop,
        emit_start=first,
        emit_stop=first + len(emitted),
        grid_frames=grid_frames(task),
        model=task.tracker.digest,
        source=task.index.digest,
    ).to_metadata()


def record(task: Task, session: BoundedSession, state_bytes: int, spent: Mapping[str, float]) -> Row:
    """Return the job's record: see `longtake.annotate.window.annotate_window`; with the times that it `spent`."""
    tally = task.tally
    unused = [
        prompt_facts(each, each.grid_frame * task.frame_interval) | {"status": Status.FAILED, "reason": each.reason}
        for each in task.schedule.placed
        if each.reason and each.grid_frame in task.grid
    ]
    reasons = [task.approximate] if task.approximate else []
    if session.approximate and not task.approximate:
        reasons.append(f"it goes on from {session.approximate}")
    reasons += [f"{tally.tainted} frames lie behind a decoding error"] if tally.tainted else []
    if session.shortened:
        reasons.append(
            f"of more prompted frames only max_conditioning_frames = {task.tracker.max_conditioning_frames} are read "
            f"for {', '.join(map(repr, session.shortened))}"
        )
    return {
        "video": task.window.video,
        "window": task.window.window,
        "continuity": task.continuity,
        "direction": task.direction,
        "status": Status.APPROXIMATE if reasons else Status.OK,
        "reason": "; ".join(reasons),
        "grid_frames": len(task.grid),
        "tracked_frames": tally.frames,
        "tainted_frames": tally.tainted,
        "rows": tally.rows,
        "visible_rows": tally.visible,
        "objects": list(tally.objects),
        "objects_at_once": tally.objects_at_once,
        "prompted_at_once": tally.prompted_at_once,
        "objects_handed_over": list(session.obj_ids),
        "conditioning_frames": session.conditioning_frames(),
        "conditioning_frames_hidden_for": list(session.shortened),
        "session_bytes": session.live_bytes(),
        "state_bytes": state_bytes,
        "prompts": tally.prompts + unused,
        "decoded_size": list(task.decoded_size),
        "image_size": task.tracker.preprocessing.image_size,
        "model": task.tracker.digest,
        "device": str(task.tracker.device),
        "precision": task.tracker.precision,
        **spent,
        **done_by(tally, len(task.window.frames(task.frame_interval)), spent["wall_s"]),
    }
