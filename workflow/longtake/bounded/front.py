"""The part of a model that can be evaluated slab by slab, and where it can be cut.

From the input on, operations are taken as long as each is done row by row (`longtake.bounded.reach`) or is a sum over
all rows and something done row by row with it (`longtake.bounded.streamed`). Attention, a token's position, and
resizing to a fixed size end it. Between two operations the model can be cut where all that comes later depends on what
came before through a single value: a *waist*.
"""

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from longtake.bounded.reach import Reach, make_of, reach_of
from longtake.bounded.run import subject_of
from longtake.bounded.streamed import Statistic, statistic_of
from longtake.bounded.tape import Op, Tape, record

logger = logging.getLogger(__name__)
AXIS = 2
"""Slabs are of the first dimension behind batch and channels."""


@dataclass(frozen=True)
class Waist:
    """A place to cut: after `ops` operations, everything later reads the value alone.

    Attributes
    ----------
    rate : its rows for each row of the input
    """

    ops: int
    value: int
    rate: Fraction


@dataclass
class Front:
    """Operations from the input on that can be done in slabs.

    Attributes
    ----------
    reaches, statistics : of each operation, by its place on the tape; an operation on small values has neither
    rates : of each value with rows, the rows for each of the input's
    why : what ended it, for logs
    """

    tape: Tape
    reaches: dict[int, Reach] = field(default_factory=dict)
    statistics: dict[int, Statistic] = field(default_factory=dict)
    rates: dict[int, Fraction] = field(default_factory=lambda: {0: Fraction(1)})
    waists: list[Waist] = field(default_factory=lambda: [Waist(0, 0, Fraction(1))])
    why: str = ""

    def rows(self, value: int) -> int:
        """Number of rows of a value."""
        return self.tape.shapes[value][AXIS]


def front_of(model: Any, given: Tensor) -> Front:
    """Look for the front of `model`, called with volumes of the shape of `given` (1, C, d0, d1, d2); it must be frozen.

    Memory: the module in float64, and what `longtake.bounded.reach` takes.

    Raises
    ------
    ModelError : the model cannot be called with fake tensors.
    """
    tape = record(model, given)
    front = Front(tape)
    module = copy.deepcopy(subject_of(model).module).double().cpu()
    held = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    known: dict[str, Reach | None] = {}
    for place, op in enumerate(tape.ops):
        front.why = _take(front, place, op, held, known)
        if front.why:
            break
    _find_waists(front)
    logger.debug("front of %d of %d operations, %d waists: %s", place, len(tape.ops), len(front.waists), front.why)
    return front


def _take(front: Front, place: int, op: Op, held: dict[str, Tensor], known: dict[str, Reach | None]) -> str:
    """Take one more operation into the front, or say why not."""
    title = f"operation {place} ({getattr(op.function, '__name__', op.function)})"
    if not op.known:
        return f"{title} uses a tensor that is no parameter of the module"
    if not any(value in front.rates for value in op.inputs()):
        return ""
    shapes = front.tape.shapes
    statistic = statistic_of(op, shapes)
    if statistic is not None and statistic.source in front.rates:
        front.statistics[place] = statistic
        if statistic.eps is not None:
            front.rates[op.outputs[0]] = front.rates[statistic.source]
        return ""
    rows = set(front.rates)
    make = make_of(op, shapes, held) + repr([value in rows for value in op.inputs()])
    if make not in known:
        known[make] = reach_of(op, shapes, rows, held, AXIS)
    reach = known[make]
    if reach is None:
        return f"{title} lets rows influence each other from afar"
    rates = {front.rates[value] for value in op.inputs() if value in rows}
    if len(rates) != 1:
        return f"{title} joins values of different rates"
    front.reaches[place] = reach
    for value in op.outputs:
        front.rates[value] = rates.copy().pop() * reach.rate
    return ""


def _find_waists(front: Front) -> None:
    """Places at which one value with rows is alive, and nothing else."""
    tape = front.tape
    last: dict[int, int] = dict.fromkeys(tape.ends, len(tape.ops))
    for place, op in enumerate(tape.ops):
        for value in op.inputs():
            last[value] = max(last.get(value, 0), place)
    taken = (front.reaches.keys() | front.statistics.keys()) or {-1}
    changed = {op.changes for op in tape.ops}
    alive = {0}
    for place, op in enumerate(tape.ops[: max(taken) + 1]):
        alive |= {value for value in op.outputs if last.get(value, -1) > place}
        alive = {value for value in alive if last.get(value, -1) > place}
        if len(alive) == 1 and op.outputs == (value := next(iter(alive)),) and value in front.rates.keys() - changed:
            front.waists.append(Waist(place + 1, value, front.rates[value]))


@dataclass(frozen=True)
class Segment:
    """Operations between two waists.

    Attributes
    ----------
    start, stop : the waists, by value, rate and number of operations before
    step : slabs begin and end at multiples of so many rows of the first waist's value
    """

    front: Front
    start: Waist
    stop: Waist

    @property
    def step(self) -> int:
        """The largest stride of anything in between, relative to the first value."""
        values = [value for place in self.places() for value in self.front.tape.ops[place].outputs]
        rates = [self.front.rates[value] / self.start.rate for value in values if value in self.front.rates]
        return max((rate.denominator for rate in rates), default=1)

    def places(self, stop: int | None = None) -> range:
        """Places of the operations on the tape, up to `stop`."""
        return range(self.start.ops, self.stop.ops if stop is None else stop)

    def statistics(self) -> list[int]:
        """Places of those that sum over all rows."""
        return [place for place in self.places() if place in self.front.statistics]

    def needed(self, value: int, start: int, stop: int, places: Iterable[int]) -> tuple[int, int]:
        """Rows [start, stop) of the first value that the rows of `value` depend on, aligned and inside of it."""
        wanted = {value: (start, stop)}
        for place in sorted(places, reverse=True):
            op, reach = self.front.tape.ops[place], self.front.reaches.get(place)
            spans = [wanted[output] for output in op.outputs if output in wanted]
            if not spans or (reach is None and place not in self.front.statistics):
                continue
            low, high = min(span[0] for span in spans), max(span[1] for span in spans)
            if reach is not None:
                low, high = reach.needed(low, high)
            for source in op.inputs():
                if source in self.front.rates:
                    size = self.front.rows(source)
                    old = wanted.get(source, (size, 0))
                    wanted[source] = min(old[0], max(0, low)), max(old[1], min(size, high))
        size, step = self.front.rows(self.start.value), self.step
        low, high = wanted.get(self.start.value, (0, step))
        low, high = low // step * step, -(-high // step) * step
        return low, size if high > size - step else high

    def slabs(self, value: int, rows: int) -> Iterator[tuple[int, int]]:
        """[start, stop) of the rows of `value` that each slab owns, `rows` rows of the first value at a time."""
        rate = self.front.rates[value] / self.start.rate
        own, size = max(1, int(rows * rate)), self.front.rows(value)
        for start in range(0, size, own):
            yield start, min(size, start + own)

    def row_bytes(self) -> int:
        """Bytes of everything that is made of one row of the first value."""
        tape, rows = self.front.tape, self.front.rows(self.start.value)
        made = [value for place in self.places() for value in tape.ops[place].outputs if value in self.front.rates]
        return sum(tape.nbytes(value) for value in {self.start.value, *made}) // rows


def segments(front: Front, start: Waist, stop: Waist, *, most: int) -> list[Segment]:
    """From one waist to another, cut at each in between whose value has at most `most` bytes."""
    inner = [each for each in front.waists if start.ops < each.ops < stop.ops]
    ends: Sequence[Waist] = [*(each for each in inner if front.tape.nbytes(each.value) <= most), stop]
    found, begin = [], start
    for end in ends:
        if end.ops > begin.ops:
            found.append(Segment(front, begin, end))
            begin = end
    return found


def held_by(model: Any) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones under each of their names."""
    module: torch.nn.Module = subject_of(model).module
    return dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
