"""Random numbers by name: the same draws in any order, in any process, at any parallelism."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np


def stream(seed: int, unit: str, purpose: str) -> np.random.Generator:
    """Return the generator that belongs to (`seed`, `unit`, `purpose`).

    The triple is hashed into the key of a counter-based Philox generator, so a stream depends on nothing
    else: not on global state, paths, ``hash()``, or what was drawn before.
    """
    import numpy as np

    digest = _digest(seed, unit, purpose)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def pick(seed: int, unit: str, purpose: str, names: Iterable[str], most: int) -> list[str]:
    """Draw at most `most` of `names`, sorted; all of them for 0.

    Each name is drawn by a number of its own, so that one more name changes the draw by one name at most. Without
    numpy, since the Snakefile draws.
    """
    ranked = sorted(set(names), key=lambda name: (_digest(seed, f"{unit}: {name}", purpose), name))
    return sorted(ranked[:most] if most else ranked)


def _digest(seed: int, unit: str, purpose: str) -> bytes:
    return hashlib.sha256(repr((int(seed), unit, purpose)).encode()).digest()
