"""Work before and behind the model in threads of its own, so that the model need not wait for it.

Both functions are plain iterators to whoever uses them: order is kept, an error of the thread is raised where the
iterator is asked, with its own type, and the thread has ended when the iterator has, however that came about.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# Enough to even out a slow frame now and then; each waiting frame costs memory.
DEPTH = 2
_END = object()


@dataclass
class Room:
    """How many items may wait, the one being drawn included; it may be made narrower while they do."""

    depth: int = DEPTH

    def narrow(self) -> int:
        """Let one item wait at a time from now on, and return how many fewer those are."""
        fewer, self.depth = self.depth - 1, 1
        return fewer


def ahead(items: Iterable[Item], depth: int = DEPTH, *, room: Room | None = None) -> Generator[Item]:
    """Yield `items`, which a thread draws before they are asked for.

    Memory: at most `depth` items wait, the one being drawn included; with a `room`, as many as that says at the time.

    Raises
    ------
    Exception
        What drawing an item raised, in that item's place.
    """
    source = iter(items)
    room = room or Room(depth)
    with ThreadPoolExecutor(1, "longtake-ahead") as thread:
        waiting = deque(thread.submit(next, source, _END) for _ in range(room.depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                while len(waiting) < room.depth:
                    waiting.append(thread.submit(next, source, _END))
                yield item  # type: ignore[misc]  # _END alone is no item
                del item  # or it would be kept while the next one is waited for
        finally:
            _drop(waiting)
            # In the thread that used it, after whatever that is still doing: files must be closed at once.
            if isinstance(source, Generator):
                thread.submit(source.close).result()


def behind(work: Callable[[Item], Result], items: Iterable[Item], depth: int = DEPTH) -> Generator[Result]:
    """Yield ``work(item)`` of each item; a thread works while the next items are drawn.

    Memory: at most `depth` items and results wait, the one in work included.

    Raises
    ------
    Exception
        What `work` or drawing an item raised.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1, "longtake-behind") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(work, item))
                del item
                while len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            _drop(waiting)


def _drop(waiting: deque[Future[Result]]) -> None:
    """Forget what has not begun."""
    while waiting:
        waiting.popleft().cancel()


@dataclass
class Stopwatch:
    """Seconds of wall in which the model ran, of those since the stopwatch was made."""

    model_s: float = 0.0
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    @contextmanager
    def model(self) -> Iterator[None]:
        """Count the seconds of the body; it must wait for its results, also on a GPU."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.model_s += time.monotonic() - begin

    def facts(self) -> dict[str, float]:
        """Return ``model_s``, ``wall_s``, and ``outside_share``, the share of wall in which the model did not run."""
        wall = time.monotonic() - self.began
        share = 1 - self.model_s / wall if wall > 0 else 0.0
        return {"model_s": round(self.model_s, 3), "wall_s": round(wall, 3), "outside_share": round(share, 4)}
