"""A model's front, forward and backward, slab by slab; the rest at once.

Forward, each slab owns some rows of a segment's output and is computed from the rows that these depend on. Backward,
the slab is computed again with a graph, the gradient of the rows that it owns is propagated to its inputs, and added to
theirs: as every row is owned once, the sum is the gradient of all. What lies between two segments is kept.

Where zeros are padded to an edge that is none of the volume's, rows come out wrong; they are none that the slab owns.
Slabs begin at multiples of the segment's stride, so that strided operations meet the same rows as ever.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longtake.bounded.front import AXIS, Segment
from longtake.bounded.streamed import Moments, detached
from longtake.bounded.tape import resolve

Held = dict[str, Tensor]
Values = dict[int, Tensor]
Progress = Callable[[], None]


@dataclass
class Pass:
    """One segment's pass: its statistics, by place, and of how many numbers each was made."""

    segment: Segment
    rows: int
    held: Held
    statistics: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    abridged: bool = False

    def slabs(self, value: int) -> Iterator[tuple[int, int]]:
        """Rows that each slab owns; in a simulation the first three and the last stand for all."""
        every = list(self.segment.slabs(value, self.rows))
        yield from every if not self.abridged or len(every) < 5 else [*every[:3], every[-1]]

    def computed(
        self, given: Tensor, value: int, places: Sequence[int], statistics: dict[int, tuple[Tensor, ...]]
    ) -> Tensor:
        """What a slab of the segment's input gives of `value`, rows that are wrong at inner edges included."""
        segment, front = self.segment, self.segment.front
        values: Values = {segment.start.value: given}
        last = {number: place for place in places for number in front.tape.ops[place].inputs()}
        for place in places:
            op = front.tape.ops[place]
            if (statistic := front.statistics.get(place)) is not None:
                outputs = [statistic.applied(values.get(statistic.source), statistics[place], self.held)]
            else:
                outputs = resolve(op, values, self.held)
            values.update(zip(op.outputs, outputs, strict=True))
            for number in [number for number in op.inputs() if last[number] == place and number != value]:
                values.pop(number, None)
        return values[value]

    def slab_of(self, value: int, own: tuple[int, int], places: Sequence[int]) -> tuple[int, int, int]:
        """[start, stop) of the segment's input for these rows, and the first of them in what comes out."""
        start, stop = self.segment.needed(value, *own, places)
        rate = self.segment.front.rates[value] / self.segment.start.rate
        return start, stop, own[0] - int(start * rate)


def forward(run: Pass, given: Tensor) -> Tensor:
    """The segment's output of its whole input; its statistics are kept in `run`."""
    segment = run.segment
    for place in segment.statistics():
        statistic = segment.front.statistics[place]
        total: Moments | None = None
        places = _places(segment, statistic.source, place)
        for own in run.slabs(statistic.source):
            rows = _rows(run, given, statistic.source, own, places)
            part = statistic.moments(rows)
            total = part if total is None else total.merged(part)
            del rows
        if total is not None:
            run.statistics[place] = statistic.values(total, given)
            run.counts[place] = total.count
    value = segment.stop.value
    out = given.new_empty(segment.front.tape.shapes[value])
    places = _places(segment, value, segment.stop.ops)
    for own in run.slabs(value):
        out.narrow(AXIS, own[0], own[1] - own[0]).copy_(_rows(run, given, value, own, places))
    return out


def _rows(run: Pass, given: Tensor, value: int, own: tuple[int, int], places: list[int]) -> Tensor:
    start, stop, offset = run.slab_of(value, own, places)
    with torch.no_grad():
        slab = given.narrow(AXIS, start, stop - start)
        return run.computed(slab, value, places, run.statistics).narrow(AXIS, offset, own[1] - own[0])


def backward(run: Pass, given: Tensor, gradient: Tensor) -> Tensor:
    """Gradient with respect to the segment's whole input, from that with respect to its output."""
    segment = run.segment
    into = torch.zeros_like(given)
    towards = {
        place: tuple(value.new_zeros(value.shape, dtype=torch.float64) for value in run.statistics[place])
        for place in segment.statistics()
    }
    value = segment.stop.value

    def handed(own: tuple[int, int], _rows: Tensor) -> Tensor:
        return gradient.narrow(AXIS, own[0], own[1] - own[0])

    _pulled(run, given, value, segment.stop.ops, gradient=handed, into=into, towards=towards)
    for place in reversed(segment.statistics()):
        statistic = segment.front.statistics[place]

        def from_statistic(_own: tuple[int, int], rows: Tensor, place: int = place) -> Tensor:
            of = segment.front.statistics[place]
            return of.pulled(rows, run.statistics[place], towards[place], run.counts[place])

        _pulled(run, given, statistic.source, place, gradient=from_statistic, into=into, towards=towards)
    return into


def _pulled(
    run: Pass,
    given: Tensor,
    value: int,
    stop: int,
    *,
    gradient: Callable[[tuple[int, int], Tensor], Tensor],
    into: Tensor,
    towards: dict[int, tuple[Tensor, ...]],
) -> None:
    """Propagate the gradient of all rows of `value`, slab by slab, to the input and to the statistics before `stop`."""
    segment = run.segment
    places = _places(segment, value, stop)
    if value == segment.start.value:  # a statistic of the segment's input itself
        for own in run.slabs(value):
            rows = given.narrow(AXIS, own[0], own[1] - own[0])
            into.narrow(AXIS, own[0], own[1] - own[0]).add_(gradient(own, rows))
        return
    used = [place for place in places if place in segment.front.statistics]
    for own in run.slabs(value):
        start, end, offset = run.slab_of(value, own, places)
        with torch.enable_grad():
            leaf = given.narrow(AXIS, start, end - start).detach().requires_grad_()
            leaves = {place: detached(run.statistics[place]) for place in used}
            rows = run.computed(leaf, value, places, leaves).narrow(AXIS, offset, own[1] - own[0])
        asked = [leaf, *(each for place in used for each in leaves[place])]
        found = torch.autograd.grad(rows, asked, gradient(own, rows.detach()), allow_unused=True)
        if found[0] is not None:
            into.narrow(AXIS, start, end - start).add_(found[0])
        rest = iter(found[1:])
        for place in used:
            for total in towards[place]:
                part = next(rest)
                if part is not None:
                    total.add_(part)


def _places(segment: Segment, value: int, stop: int) -> list[int]:
    """Places, in order, of the operations that `value` depends on, from the segment's input on."""
    wanted, found = {value}, []
    for place in reversed(segment.places(stop)):
        op = segment.front.tape.ops[place]
        if wanted.intersection(op.outputs):
            found.append(place)
            statistic = segment.front.statistics.get(place)
            if statistic is None or statistic.eps is not None:
                wanted.update(op.inputs())
    # Small values may come from operations before the segment: constants made of parameters.
    early = []
    for place in reversed(range(segment.start.ops)):
        op = segment.front.tape.ops[place]
        small = place not in segment.front.reaches and place not in segment.front.statistics
        if small and wanted.intersection(op.outputs):
            early.append(place)
            wanted.update(op.inputs())
    return [*reversed(early), *reversed(found)]
