"""Near-duplicates: videos that show the same, whatever their encoding, size or brightness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.training.sampling import thumbnails

FRAMES, SIDE = 8, 12
BITS = SIDE * SIDE
_WORDS = -(-BITS // 64)
# Grey levels: a frame whose neighbours differ by less is blank, and its bits are noise.
_BLANK = 1.0
_BLOCK = 256


@dataclass(frozen=True)
class Pair:
    """Two videos, and the share of bits in which they differ (0 for the same bytes)."""

    video_a: str
    video_b: str
    distance: float
    kind: str


def difference_hash(pixels: np.ndarray) -> np.ndarray:
    """Return the hash of each frame of (T, h, w, 3): (T, 3) uint64, 144 bits; zeros for a blank frame.

    A bit says whether a cell of a 12 x 13 picture is darker than its right neighbour, so that brightness, contrast and
    size do not matter (difference hash; N. Krawetz 2013).
    """
    small = thumbnails(pixels, (SIDE + 1, SIDE))
    steps = np.diff(small, axis=2)
    bits: np.ndarray = np.greater(steps, 0).reshape(len(pixels), BITS)
    blank = np.asarray(np.abs(steps).mean((1, 2)) < _BLANK)
    padded = np.zeros((len(pixels), 64 * _WORDS), bool)
    bits[blank] = False
    padded[:, :BITS] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def distances(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Return how far the video of hashes `one` (F, words) is from each of `many` (N, F, words): (N,) float64.

    Each frame is compared with the nearest one of the other video, for a trimmed copy shows them at other places; mean
    over frames, the larger of both directions. Blank frames (all zero) do not count; where nothing is left, 1.
    """
    apart = np.bitwise_count(one[None, :, None] ^ many[:, None]).sum(-1, dtype=np.int32) / BITS
    seen_one: np.ndarray = np.any(one, 1)
    seen_many: np.ndarray = np.any(many, 2)
    apart = np.where(seen_one[None, :, None] & seen_many[:, None], apart, np.inf)
    both = []
    for axis, seen in ((2, np.broadcast_to(seen_one, (len(many), len(one)))), (1, seen_many)):
        least = np.where(seen, apart.min(axis), 0.0)
        count = seen.sum(1)
        both.append(np.where(count > 0, least.sum(1) / np.maximum(count, 1), 1.0))
    found = np.maximum(*both)
    return np.where(np.isfinite(found), found, 1.0)


def near_pairs(videos: Sequence[str], digests: Sequence[str], hashes: np.ndarray, most: float) -> Iterator[Pair]:
    """Yield every pair of videos of the same bytes (``exact``) or with a distance of at most `most` (``near``).

    Parameters
    ----------
    digests
        sha256 of each video's bytes.
    hashes
        (N, F, words) uint64.

    Memory: N x F hashes, and one block of comparisons.
    """
    for number, video in enumerate(videos):
        for start in range(number + 1, len(videos), _BLOCK):
            block = hashes[start : start + _BLOCK]
            found = distances(hashes[number], block)
            for offset in np.flatnonzero(found <= most):
                other = start + int(offset)
                if digests[other] != digests[number]:
                    yield Pair(video, videos[other], round(float(found[offset]), 6), "near")
            for other in range(start, min(start + _BLOCK, len(videos))):
                if digests[other] == digests[number]:
                    yield Pair(video, videos[other], 0.0, "exact")
