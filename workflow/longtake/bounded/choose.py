"""Which submodules to checkpoint.

The candidates form a tree: a model consists of layers, a layer of attention and a perceptron, and so on down. To choose
means to mark submodules such that none contains another. What then stays in memory until the backward pass is the
inputs of the marked ones and whatever is saved outside of them; on top of that come, while the backward pass is in a
marked one, its insides.

Fix the most that the insides may take, the *cap*. A submodule may be marked if its insides, or a piece's where its call
can be cut, are no more than the cap; and it is better marked than not if its inputs are less than the least its
submodules can do. This is settled from the leaves up, once for each cap.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from longtake.bounded.checkpoint import Block
from longtake.bounded.pieces import Cut
from longtake.bounded.profile import Usage

FINEST = 256
"""The smallest cap is this part of all that is saved: finer pieces cost more in calls than they free."""
Cuts = Callable[[str, int], Cut | None]
"""Name of a submodule and number of pieces -> a proved way to cut its call; asked only where a cut would help."""


@dataclass(frozen=True)
class Choice:
    """Submodules to checkpoint: the bytes that `stay` until the backward pass, and the `insides` on top."""

    blocks: tuple[Block, ...]
    stay: int
    insides: int


def no_cuts(_name: str, _pieces: int) -> None:
    """Every call as a whole."""


def choices(usages: Mapping[str, Usage], *, cuts: Cuts = no_cuts, without: str | None = None) -> list[Choice]:
    """The best marking for each of a falling series of caps, the largest cap first.

    Parameters
    ----------
    without : a submodule that must stay outside of every marked one: that with respect to whose output we differentiate
    """
    children: dict[str, list[str]] = {name: [] for name in usages}
    for name in usages:
        if name:
            parent = name.rpartition(".")[0]
            while parent not in usages:  # a container that is never called itself
                parent = parent.rpartition(".")[0]
            children[parent].append(name)
    cap = usages[""].saved
    found: list[Choice] = []
    while cap > usages[""].saved // FINEST:
        cap //= 2
        tree = _Tree(usages, children, cap, cuts, without)
        stay, blocks = tree.best("")
        insides = max((math.ceil(usages[block.name].working / block.pieces) for block in blocks), default=0)
        if blocks and (not found or blocks != found[-1].blocks):
            found.append(Choice(blocks, stay, insides))
    return found


def relaxed(blocks: Sequence[Block], usages: Mapping[str, Usage], room: int) -> tuple[Block, ...]:
    """The blocks without those whose insides fit into `room` more bytes: they need not be computed twice."""
    more = {block: usages[block.name].saved - usages[block.name].inputs for block in blocks}
    keep = set(blocks)
    for block in sorted(blocks, key=lambda block: more[block]):
        if more[block] <= room:
            room -= more[block]
            keep.discard(block)
    return tuple(block for block in blocks if block in keep)


@dataclass(frozen=True)
class _Tree:
    usages: Mapping[str, Usage]
    children: Mapping[str, list[str]]
    cap: int
    cuts: Cuts
    without: str | None

    def best(self, name: str) -> tuple[int, tuple[Block, ...]]:
        """Least bytes that stay of what `name` saves, and the marking that does it."""
        usage = self.usages[name]
        below = [self.best(child) for child in self.children[name]]
        # A submodule used in two places may have saved more elsewhere than its parent in the tree ever saw.
        own = max(usage.saved - sum(self.usages[child].saved for child in self.children[name]), 0)
        stay, blocks = own + sum(part for part, _ in below), tuple(block for _, marked in below for block in marked)
        contains = self.without is not None and (self.without == name or self.without.startswith(f"{name}."))
        if not name or not usage.whole or not usage.calls or contains or usage.inputs >= stay:
            return stay, blocks
        pieces = math.ceil(usage.working / self.cap)
        if pieces <= 1:
            return usage.inputs, (Block(name),)
        cut = self.cuts(name, pieces) if usage.alike else None
        return (stay, blocks) if cut is None else (usage.inputs, (Block(name, pieces, cut),))
