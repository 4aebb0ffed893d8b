"""Finding the cheapest way in slabs whose memory is within a budget, by simulations with fake tensors."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from longtake.bounded.front import Front, Waist
from longtake.bounded.guard import frozen
from longtake.bounded.live import LiveBytes
from longtake.bounded.planning import plan
from longtake.bounded.profile import simulation
from longtake.bounded.run import Scalar, Way, subject_of
from longtake.bounded.slabwise import SlabWay, parts_of, run_slabs
from longtake.bounded.tape import Tail
from longtake.errors import BudgetError, ModelError

logger = logging.getLogger(__name__)
FEWEST = 4
"""Rows of the volume in a slab, at least, where the number is chosen here."""
CUTS = 3
"""Places to cut that are considered, at most."""


def plan_slabs(
    model: Any,
    given: Tensor,
    scalar: Scalar,
    front: Front,
    *,
    wrt: str | None = None,
    budget: int | None = None,
    tile: int = 0,
) -> SlabWay:
    """The cheapest way in slabs whose simulated peak is within `budget`: few seams, wide slabs, an early cut.

    Parameters
    ----------
    tile : rows of the volume in a slab; 0 to choose

    Raises
    ------
    BudgetError : there is none; the message names the smallest peak.
    """
    with frozen(subject_of(model).module):
        cuts = _cuts(front, wrt)
        search = _Search(model, given, scalar, front, wrt, budget, [tile] if tile else list(_halves(front.rows(0))))
        for start, cut in cuts:
            found = search.fitting(SlabWay(start, cut, 0, tile))
            if found is not None:
                return found
        if budget is not None and cuts:
            # To plan the rest takes long: it is done where the rest is least, if its graph as a whole does not fit.
            way = SlabWay(*cuts[-1], 2 * front.tape.nbytes(0), tile)
            tail = _tail_way(model, given, scalar, front, way, wrt=wrt, room=budget - _kept(front, way))
            found = None if tail is None else search.fitting(replace(way, tail=tail))
            if found is not None:
                return found
    least = search.least
    smallest = "there is none" if least is None else f"the smallest peak is {least.predicted_bytes}, by {least.name}"
    raise BudgetError(f"no way in slabs is within {budget} bytes: {smallest}")


@dataclass
class _Search:
    """Simulations of ways, and the one with the smallest peak so far."""

    model: Any
    given: Tensor
    scalar: Scalar
    front: Front
    wrt: str | None
    budget: int | None
    tiles: list[int]
    least: SlabWay | None = None

    def fitting(self, way: SlabWay) -> SlabWay | None:
        """The way with the fewest seams and the widest slabs that fits; the thinnest are tried first, as they tell
        whether any do."""
        tape = self.front.tape
        widest = max(tape.nbytes(each.value) for each in self.front.waists)
        for most in sorted({widest, 2 * tape.nbytes(0), tape.nbytes(0) // 2}, reverse=True):
            thin = self._simulated(replace(way, most=most, tile=self.tiles[-1]))
            if self.budget is not None and thin.predicted_bytes > self.budget:
                continue
            for rows in self.tiles[:-1]:
                wide = self._simulated(replace(way, most=most, tile=rows))
                if self.budget is None or wide.predicted_bytes <= self.budget:
                    return wide
            return thin
        return None

    def _simulated(self, way: SlabWay) -> SlabWay:
        found = simulated(self.model, self.given, self.scalar, self.front, way, wrt=self.wrt)
        if self.least is None or found.predicted_bytes < self.least.predicted_bytes:
            self.least = found
        return found


def simulated(
    model: Any, given: Tensor, scalar: Scalar, front: Front, way: SlabWay, *, wrt: str | None = None
) -> SlabWay:
    """The way with the peak of living tensors that it takes; of equal slabs few are gone through."""
    with simulation(model, given) as (double, fake), LiveBytes() as live:
        run_slabs(double, fake, scalar, front, way, wrt=wrt, abridged=True)
    return replace(way, predicted_bytes=live.peak)


def _cuts(front: Front, wrt: str | None) -> list[tuple[Waist, Waist]]:
    """Where the gradient begins and where the front is cut: at the layer, or at several depths."""
    if wrt is not None:
        value = front.tape.layers.get(wrt, -1)
        made = next((place for place, op in enumerate(front.tape.ops) if value in op.outputs), -1)
        before = [each for each in front.waists if 0 < each.ops <= made + 1]
        return [(before[-1], before[-1])] if before else []
    smallest, falling = front.tape.nbytes(front.waists[1].value) + 1, []
    for each in front.waists[1:]:
        if front.tape.nbytes(each.value) < smallest:
            smallest = front.tape.nbytes(each.value)
            falling.append(each)
    if front.waists[-1] not in falling:
        falling.append(front.waists[-1])
    chosen = falling[-CUTS:]
    return [(front.waists[0], each) for each in chosen]


def _halves(rows: int) -> Iterator[int]:
    rows = -(-rows // 4)
    while rows > FEWEST:
        yield rows
        rows = -(-rows // 2)
    yield FEWEST


def _kept(front: Front, way: SlabWay) -> int:
    """Bytes of what is kept between segments while the rest is computed, the volume aside."""
    if way.start == way.cut:
        return 0
    return sum(front.tape.nbytes(each.start.value) for each, _ in parts_of(front, way) if each.start.ops)


def _tail_way(
    model: Any, given: Tensor, scalar: Scalar, front: Front, way: SlabWay, *, wrt: str | None, room: int
) -> Way | None:
    """How the rest is done within `room` bytes; None where it cannot."""
    tail = Tail(model, front.tape, way.cut.ops)
    # Never written: a simulation asks for no more than its shape.
    features = given.new_empty(front.tape.shapes[way.cut.value], dtype=front.tape.dtypes[way.cut.value])
    try:
        return plan(tail, features, scalar, wrt=wrt if way.start == way.cut else None, budget=room)
    except (BudgetError, ModelError) as error:
        logger.debug("behind operation %d: %s", way.cut.ops, error)
        return None
