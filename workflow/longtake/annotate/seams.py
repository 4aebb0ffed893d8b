"""The frames that two neighbouring windows share: which tracks of the one are tracks of the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from longtake.kinds import Row

Track: TypeAlias = tuple[int, str]
"""A window's number and the id of an object in its table."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How two tracks agree over the `frames` on which both windows tracked them and at least one saw them.

    mean_iou = (1 / n) sum_t |A_t and B_t| / |A_t or B_t| over those n frames, which is 0 on a frame where one is seen
    and the other not. Frames on which neither is seen say nothing and do not count. All None where n is 0.
    """

    frames: int = 0
    first_frame: int | None = None
    last_frame: int | None = None
    mean_iou: float | None = None
    minimum_iou: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Two tracks of a seam that belong together, or do not (`accepted`); one is None where nothing meets the other."""

    earlier: Track | None
    later: Track | None
    evidence: Evidence
    accepted: bool


class Seam:
    """What is remembered of the frames that two windows share.

    Memory: two bits per track and shared frame, and one small record per pair of tracks that ever overlap; no mask is
    kept. `settle` leaves the names of the tracks, and what was asked.
    """

    def __init__(self, earlier: int, later: int, prompted: Collection[str]) -> None:
        self.earlier, self.later = earlier, later
        self._prompted = prompted
        self._frames: list[int] = []
        # Bit t of an integer stands for the t-th shared frame.
        self._tracked: dict[Track, int] = {}
        self._seen: dict[Track, int] = {}
        # Sum, minimum and number of the positive IoUs of a pair.
        self._ious: dict[tuple[Track, Track], tuple[float, float, int]] = {}
        self._twins: list[tuple[Track, Track, float]] | None = None

    def settle(self, threshold: float) -> list[Match]:
        """Return `matches`, and forget all that only they and `twins` need: no frame will be added any more."""
        matches, self._twins = self.matches(threshold), self.twins(threshold)
        self._tracked = dict.fromkeys(self._tracked, 0)
        self._frames, self._seen, self._ious = [], {}, {}
        return matches

    def add(self, frame: int, earlier: Sequence[Row], later: Sequence[Row]) -> None:
        """Take in the rows that the two windows have on one frame."""
        bit = 1 << len(self._frames)
        self._frames.append(frame)
        drawn: list[tuple[Track, Row]] = []
        for window, rows in ((self.earlier, earlier), (self.later, later)):
            for row in rows:
                track = (window, row["object"])
                self._tracked[track] = self._tracked.get(track, 0) | bit
                self._seen[track] = self._seen.get(track, 0) | (bit if row["visible"] else 0)
                if row["visible"]:
                    drawn.append((track, row))
        for a, b, iou in self._overlaps(drawn):
            total, least, count = self._ious.get((a, b), (0.0, 1.0, 0))
            self._ious[a, b] = (total + iou, min(least, iou), count + 1)

    def _overlaps(self, drawn: Sequence[tuple[Track, Row]]) -> Iterator[tuple[Track, Track, float]]:
        if not drawn:
            return
        rles = [{"size": [row["height"], row["width"]], "counts": row["mask"].encode("ascii")} for _, row in drawn]
        ious: npt.NDArray[np.float64] = np.asarray(coco.iou(rles, rles, [False] * len(rles)))
        for i, j in np.argwhere(np.triu(ious, 1) > 0).tolist():
            a, b = drawn[i][0], drawn[j][0]
            if self._comparable(a, b):
                yield a, b, float(ious[i, j])

    def _comparable(self, a: Track, b: Track) -> bool:
        """Two prompts are two objects, and two seeds of one window are; what is left may be one."""
        named = (a[1] in self._prompted) + (b[1] in self._prompted)
        return a[1] == b[1] or (named < 2 if a[0] != b[0] else named == 1)

    def tracks(self, track: Track) -> bool:
        """Return whether a track has rows on the shared frames."""
        return track in self._tracked

    def evidence(self, a: Track, b: Track) -> Evidence:
        """Sum up how two tracks agree; in either order."""
        both = self._tracked.get(a, 0) & self._tracked.get(b, 0) & (self._seen.get(a, 0) | self._seen.get(b, 0))
        count = both.bit_count()
        if not count:
            return Evidence()
        total, least, positive = self._ious.get((a, b)) or self._ious.get((b, a)) or (0.0, 0.0, 0)
        return Evidence(
            frames=count,
            first_frame=self._frames[(both & -both).bit_length() - 1],
            last_frame=self._frames[both.bit_length() - 1],
            mean_iou=total / count,
            minimum_iou=least if positive == count else 0.0,
        )

    def twins(self, threshold: float) -> list[tuple[Track, Track, float]]:
        """Give the prompted tracks and the seeds of the same window that lie on one animal, with their mean IoU."""
        if self._twins is not None:
            return self._twins
        found = []
        for a, b in sorted(self._ious):
            agreed = self.evidence(a, b).mean_iou or 0.0
            if a[0] == b[0] and agreed >= threshold:
                named, seed = (a, b) if a[1] in self._prompted else (b, a)
                found.append((named, seed, agreed))
        return found

    def matches(self, threshold: float) -> list[Match]:
        """Pair the tracks of the two windows: equal prompted ids first, the rest by assignment.

        The assignment has the largest sum of mean IoUs among all that use only pairs of at least `threshold`
        (`scipy.optimize.linear_sum_assignment`; ids are sorted, so ties fall the same way every time). What is left
        over is paired once more below the threshold, so that near misses can be seen, but not accepted.
        """
        before = sorted(name for window, name in self._tracked if window == self.earlier)
        after = sorted(name for window, name in self._tracked if window == self.later)
        named = [name for name in before if name in after]
        pairs = [(name, name, True) for name in named]
        for least, accepted in ((threshold, True), (0.0, False)):
            taken, given = {a for a, _, _ in pairs}, {b for _, b, _ in pairs}
            left = [name for name in before if name not in taken]
            right = [name for name in after if name not in given]
            pairs += [(a, b, accepted) for a, b in self._assign(left, right, least)]
        found = []
        for a, b, accepted in pairs:
            one, two = (self.earlier, a), (self.later, b)
            found.append(Match(one, two, self.evidence(one, two), accepted))
        taken, given = {a for a, _, _ in pairs}, {b for _, b, _ in pairs}
        found += [Match((self.earlier, name), None, Evidence(), False) for name in before if name not in taken]
        found += [Match(None, (self.later, name), Evidence(), False) for name in after if name not in given]
        return found

    def _assign(self, left: Sequence[str], right: Sequence[str], least: float) -> list[tuple[str, str]]:
        if not left or not right:
            return []
        rows, columns = ({name: place for place, name in enumerate(names)} for names in (left, right))
        worth = np.zeros((len(left), len(right)))
        for a, b in self._ious:
            if a[0] != b[0] and a[1] in rows and b[1] in columns:
                agreed = self.evidence(a, b).mean_iou or 0.0
                worth[rows[a[1]], columns[b[1]]] = agreed if agreed >= least else 0.0
        chosen = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
        return [(left[i], right[j]) for i, j in chosen if worth[i, j] > 0]
