"""What a window's job says of its memory: to the ledger, where one is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from longtake.annotate.pipeline import Room
from longtake.annotate.session import BoundedSession
from longtake.annotate.tracker import Tracker
from longtake.memory.ledger import droppable, holds

WAITING = "frames that waited beyond the next one"


@contextmanager
def accounted(tracker: Tracker, session: BoundedSession, room: Room, decoded_bytes: int) -> Iterator[None]:
    """Say during the body who holds a window job's memory, and offer to let fewer frames wait.

    Parameters
    ----------
    room
        How many frames may wait for the model.
    decoded_bytes
        Those of a frame as it is decoded, and backward of the blocks that are read ahead.
    """
    gpu = tracker.device.type == "cuda"
    frame = 3 * 4 * tracker.preprocessing.image_size**2
    tensors = {id(each): each.nbytes for each in (*tracker.model.parameters(), *tracker.model.buffers())}
    # Besides those that wait, one is at the model and one is being made of two decoded pictures.
    with ExitStack() as stack:
        stack.enter_context(holds("state", partial(_state, session, "cpu")))
        stack.enter_context(holds("parameters", sum(tensors.values()), gpu=gpu))
        stack.enter_context(holds("frames", 2 * decoded_bytes))
        stack.enter_context(holds("frames", lambda: (room.depth + 1) * frame, gpu=gpu))
        if gpu:
            stack.enter_context(holds("state", partial(_state, session, "cuda"), gpu=True))
        stack.enter_context(droppable(WAITING, lambda: room.narrow() * frame))
        yield


def _state(session: BoundedSession, kind: str) -> int:
    """Bytes of storages that the session keeps alive on one kind of device."""
    storages = (tensor.untyped_storage() for tensor in session.tensors() if tensor.device.type == kind)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
