"""Random numbers by name: the same draws in any order, in any process, at any parallelism."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream(seed: int, unit: str, purpose: str) -> np.random.Generator:
    """Return the generator that belongs to (`seed`, `unit`, `purpose`).

    The triple is hashed into the key of a counter-based Philox generator, so a stream depends on nothing
    else: not on global state, paths, ``hash()``, or what was drawn before.
    """
    import numpy as np

    digest = hashlib.sha256(repr((int(seed), unit, purpose)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
