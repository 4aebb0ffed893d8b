"""Which identity each track of each window is, by what the seams say."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from longtake.annotate.seams import Match, Seam, Track


@dataclass(frozen=True)
class _Link:
    """That two tracks are one animal, as said by the frames of a seam (its place in the list of seams)."""

    other: Track
    iou: float
    seam: int


def settle_names(
    tracks: Collection[Track],
    linked: Sequence[tuple[Seam, Sequence[Match]]],
    prompted: Collection[str],
    threshold: float,
) -> dict[Track, str]:
    """Name every track.

    A prompted track has its own name. Names spread from there over the accepted matches of the seams, forward and
    backward in time and over any number of windows, the most certain first: the weakest link on the way decides, then
    the number of links, then the name. A seed takes the first name that reaches it. In a window at most one seed bears
    a name, and a name does not pass a seam at which its own prompted track lies elsewhere. Between two names that
    reach for the same tracks from both sides the cut falls at the weakest link. Tracks that no name reaches bear the id
    of the earliest among those linked to each other.

    Parameters
    ----------
    tracks
        All tracks of all windows.
    linked
        The seams in order, each with its matches.
    threshold
        The mean IoU from which on a seed and a prompted track of one window are taken for the same animal.
    """
    links, twins = _links(linked, threshold)
    names = {track: track[1] for track in tracks if track[1] in prompted}
    borne: set[Track] = set()
    # The best link at the edge of what is named comes first, so a name waits before its weakest link until every name
    # with a better way has passed. Ties: fewer links, then name, track and seam.
    waiting: list[tuple[float, int, str, Track, int, Track]] = []

    def offer(track: Track, steps: int) -> None:
        for link in links.get(track, []):
            heapq.heappush(waiting, (-link.iou, steps + 1, names[track], link.other, link.seam, track))

    for track in sorted(names):
        offer(track, 0)
    while waiting:
        _, steps, name, track, place, via = heapq.heappop(waiting)
        if track in names or (track[0], name) in borne:
            continue
        if any(_elsewhere(name, each, linked[place][0], place, twins) for each in (track, via)):
            continue
        names[track] = name
        borne.add((track[0], name))
        offer(track, steps)
    return names | _chains([track for track in sorted(tracks) if track not in names], linked)


def _links(
    linked: Sequence[tuple[Seam, Sequence[Match]]], threshold: float
) -> tuple[dict[Track, list[_Link]], set[tuple[int, Track, Track]]]:
    """Give the links of every track in both directions, and the pairs of one window that lie on one animal."""
    links: dict[Track, list[_Link]] = {}
    twins = set()
    for place, (seam, matches) in enumerate(linked):
        pairs = seam.twins(threshold)
        twins |= {(place, named, seed) for named, seed, _ in pairs}
        pairs += [
            (match.earlier, match.later, match.evidence.mean_iou or 0.0)
            for match in matches
            if match.accepted and match.earlier and match.later
        ]
        for one, two, iou in pairs:
            links.setdefault(one, []).append(_Link(two, iou, place))
            links.setdefault(two, []).append(_Link(one, iou, place))
    return links, twins


def _elsewhere(name: str, track: Track, seam: Seam, place: int, twins: Collection[tuple[int, Track, Track]]) -> bool:
    """Whether the track that was prompted by this name is at the seam in the same window, and on another animal."""
    own = (track[0], name)
    return own != track and seam.tracks(own) and (place, own, track) not in twins


def _chains(unnamed: Sequence[Track], linked: Sequence[tuple[Seam, Sequence[Match]]]) -> dict[Track, str]:
    """Give linked tracks the id of the earliest; each has at most one link to the window before."""
    before = {
        match.later: match.earlier for _, matches in linked for match in matches if match.accepted and match.later
    }
    names: dict[Track, str] = {}
    for track in unnamed:
        earlier = before.get(track)
        names[track] = names.get(earlier, track[1]) if earlier else track[1]
    return names
