"""What the memory of a window job depends on, and what was found out of it: records and sums, without PyTorch.

What makes the numbers loads it (`longtake.annotate.simulation`, `longtake.annotate.trial`); whoever knows them need
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from longtake.annotate.checks import ALWAYS, AUTO, NEVER, OVERLAP
from longtake.annotate.passes import BLOCK_BYTES, BLOCK_FRAMES, BLOCK_SPAN
from longtake.annotate.pipeline import DEPTH
from longtake.planning.calibrate import Line
from longtake.planning.forecast import DECODER_PICTURES, FOUND

# A trial's video, as many pixels of it as are processed, and its frames: as many as fill the memories of the published
# models, and as many again, in which the heap finds its size.
SIZE = 512, 288
SCALE = 0.5
FRAMES = 24


@dataclass(frozen=True)
class Case:
    """What the memory of a window job depends on, apart from the model and the machine.

    `decoded`, `coded` and `source` are widths and heights in pixels; `chunk` is as asked, more than there are objects
    being no more than all of them. `conditioning_frames` are prompted frames of an object of which the model reads the
    features (`frames_read`). `block_frames` are decoded frames that a backward pass holds.
    """

    objects: int
    chunk: int
    decoded: tuple[int, int]
    coded: tuple[int, int]
    source: tuple[int, int]
    sample_bytes: int
    precision: str
    max_conditioning_frames: int | None
    conditioning_frames: int
    seeding: bool
    block_frames: int


@dataclass(frozen=True)
class Taken:
    """What the model's part of a window job takes, in bytes: `longtake.annotate.simulation.Simulated`, its events
    replayed.

    Attributes
    ----------
    parameters, state, frame, logits, flops : as simulated
    activations : what the heap takes beside the state, or the most that is alive where that is more
    reserved : what a GPU's allocator would hold of state and activations
    """

    parameters: int
    state: int
    activations: int
    frame: int
    logits: int
    flops: int
    reserved: int


@dataclass(frozen=True)
class Needs:
    """Bytes of a case by owner, without base and context, on the CPU; and floating point operations of a frame.

    `reserved` is what a GPU's allocator would hold of state and activations.
    """

    owners: dict[str, int]
    reserved: int
    flops: int


@dataclass(frozen=True)
class Trial:
    """What a trial took: peak resident bytes of its process, and seconds a frame once it was running."""

    rss: int
    seconds_per_frame: float


@dataclass(frozen=True)
class Machine:
    """What a job's process holds on this machine, as a line over what is simulated, and how fast it computes.

    `points` are those that the line was fitted to: (simulated, measured) bytes.
    """

    points: tuple[tuple[float, float], ...]
    line: Line
    flops_per_s: float
    source: str


def frames_read(prompted: int, most: int) -> int:
    """Of how many prompted frames the model may read the features, where an object has so many: a power of two, or all.

    In powers of two, since each number is another simulation. `most` is what the model reads
    (`longtake.annotate.tracker.most_conditioning_frames`), -1 for all. An object's later pointers are not counted: a
    frame's features are thousands of tokens, a pointer a few.

    In a chain every window is taken for one that has all prompts behind it, since the state holds what came before; in
    a backward pass likewise.
    """
    rounded = 1 << (max(1, prompted) - 1).bit_length()
    return rounded if most < 1 else min(rounded, most)


def cases(
    facts: Mapping[str, Any], objects: int, options: Mapping[str, Any], conditioning_frames: int = 1
) -> list[Case]:
    """List the ways to follow `objects` in a video with these facts: batches as asked, then halves down to one.

    `conditioning_frames` as `frames_read` tells; those of an object that is found are one.
    """
    asked = int(options.get("object_batch", 1))
    given = options.get("dense_seeding", NEVER)
    seeding = given == ALWAYS or (given == AUTO and (not objects or options.get("continuity") == OVERLAP))
    scale = float(options["scale"])
    source = int(facts["width"]), int(facts["height"])
    decoded = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
    count = objects or (FOUND if seeding else 1)
    case = Case(
        objects=count,
        chunk=asked,
        decoded=decoded,
        coded=(int(facts.get("coded_width") or source[0]), int(facts.get("coded_height") or source[1])),
        source=source,
        sample_bytes=2 if any(bits in str(facts.get("pixel_format")) for bits in ("10", "12", "14", "16")) else 1,
        precision=str(options.get("precision", "float32")),
        max_conditioning_frames=options.get("max_conditioning_frames"),
        conditioning_frames=conditioning_frames,
        seeding=seeding,
        block_frames=_blocks(facts, options, decoded),
    )
    smaller = []
    chunk = asked
    while chunk > 1:
        chunk //= 2
        if chunk < count:
            smaller.append(replace(case, chunk=chunk))
    return [case, *smaller]


def _blocks(facts: Mapping[str, Any], options: Mapping[str, Any], decoded: tuple[int, int]) -> int:
    """Frames that a backward pass holds: two blocks of `longtake.annotate.passes.read_in_order`."""
    if options.get("direction", "forward") == "forward":
        return 0
    interval = int(options.get("frame_interval", 1))
    block = min(BLOCK_FRAMES, BLOCK_BYTES // (3 * decoded[0] * decoded[1]), BLOCK_SPAN // interval + 1)
    return min(2 * max(1, block), -(-int(facts["frames"]) // interval))


def needs_of(case: Case, taken: Taken) -> Needs:
    """Add to the model's part what depends on the video's size."""
    parts = {
        "parameters": taken.parameters,
        "frames": _frames(case, taken),
        "state": taken.state,
        "activations": taken.activations + _drawing(case, taken),
    }
    return Needs(parts, taken.reserved + taken.frame, taken.flops)


def _frames(case: Case, taken: Taken) -> int:
    """Bytes of pictures at the decoder, and of frames on their way to the model: in use, waiting, being made."""
    decoded = 3 * case.decoded[0] * case.decoded[1]
    pictures = DECODER_PICTURES * case.coded[0] * case.coded[1] * 3 // 2 * case.sample_bytes
    made = max(2 * taken.frame, 4 * decoded + taken.frame)
    return pictures + 2 * decoded + case.block_frames * decoded + DEPTH * taken.frame + made


def _drawing(case: Case, taken: Taken) -> int:
    """Bytes of masks that wait to be drawn, and of one being drawn over the whole frame."""
    return taken.logits + 3 * 4 * case.source[0] * case.source[1]
