"""Everything that the report says of a run as a whole, found in one pass: one record and one video at a time.

What is kept does not grow with the number of jobs; with that of videos it grows by the names of those in trouble, and
8 bytes a prompt.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longtake.kinds import Row
from longtake.report.records import (
    Run,
    Trouble,
    job_troubles,
    prompt_troubles,
    prompts_of,
    video_trouble,
    window_states,
    window_troubles,
)
from longtake.status import ENDS, Status

MOST_TROUBLES = 400
MOST_LISTED = 1000
WORST_PROMPTS = 20
_RANK: dict[str, int] = {Status.UNREADABLE: 0, Status.FAILED: 1, Status.MISSING: 2, Status.APPROXIMATE: 3}
_FINE = len(_RANK) + 1


@dataclass(frozen=True)
class Glance:
    """A video at a glance: its row of the plan, its windows by status, how many prompts it has and how many are lost.

    `rank` is that of the worst that is wrong with it, `place` its place in the sheet.
    """

    row: Mapping[str, str]
    windows: Mapping[str, int]
    prompts: int
    lost: int
    rank: int
    place: int


@dataclass
class Prompts:
    """How the prompts of all videos fared: counts, the IoU of each that has one, and the worst rows."""

    count: int = 0
    lost: int = 0
    unused: int = 0
    poor: int = 0
    ious: array[float] = field(default_factory=lambda: array("d"))
    worst: list[Row] = field(default_factory=list)

    def add(self, rows: Sequence[Row]) -> None:
        """Take in the prompts of a video."""
        self.count += len(rows)
        self.lost += sum(bool(row["lost"]) for row in rows)
        self.unused += sum(row["status"] == Status.FAILED for row in rows)
        self.ious.extend(row["iou"] for row in rows if row["iou"] is not None)
        poor = [row for row in rows if row["lost"] or row["status"] == Status.FAILED]
        self.poor += len(poor)
        self.worst = sorted([*self.worst, *poor], key=rank_of_prompt)[:WORST_PROMPTS]


@dataclass
class Survey:
    """A run as a whole.

    Attributes
    ----------
    n_videos, readable, seconds : videos, those that could be read, and how long they are together
    windows, clips : how many of each status
    troubles, n_troubles : the worst `MOST_TROUBLES` of what needs a look, and how many there are
    videos : `MOST_LISTED` videos, those in trouble first, worst first, then in the order of the sheet
    hosts : machines
    """

    n_videos: int = 0
    readable: int = 0
    seconds: float = 0.0
    windows: Counter[str] = field(default_factory=Counter)
    clips: Counter[str] = field(default_factory=Counter)
    prompts: Prompts = field(default_factory=Prompts)
    troubles: list[Trouble] = field(default_factory=list)
    n_troubles: int = 0
    videos: list[Glance] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


def survey(run: Run) -> Survey:
    """Read all of a run once."""
    found = Survey()
    ranks: dict[str, int] = {}
    kept: list[tuple[int, int, Trouble]] = []

    def tell(order: int, troubles: Iterable[Trouble]) -> None:
        for trouble in troubles:
            found.n_troubles += 1
            rank = _RANK.get(trouble.status, len(_RANK))
            if trouble.video:
                ranks[trouble.video] = min(rank, ranks.get(trouble.video, rank))
            kept.append((rank, order, trouble))
        if len(kept) > 2 * MOST_TROUBLES:
            kept[:] = heapq.nsmallest(MOST_TROUBLES, kept, key=_by_rank)

    def glances() -> Iterator[Glance]:
        for place, row in enumerate(run.videos):
            video = row.get("video", "")
            states, prompts = window_states(run, video), prompts_of(run, video)
            tell(0, video_trouble(run, row))
            tell(2, window_troubles(run, video, states))
            tell(4, prompt_troubles(run, video, prompts))
            found.n_videos += 1
            found.readable += row.get("status") == Status.OK
            found.seconds += float(row.get("duration_s") or 0)
            found.prompts.add(prompts)
            windows = Counter(state.status for state in states)
            found.windows.update(windows)
            lost = sum(bool(prompt["lost"]) for prompt in prompts)
            yield Glance(row, windows, len(prompts), lost, ranks.get(video, _FINE), place)

    for record in run.records:
        # Failures come before windows, windows before clips, clips before prompts, where they rank alike.
        for trouble in job_troubles(run, record):
            tell(1 if record.status != Status.OK else 3, [trouble])
        found.hosts |= {record.host} - {""}
        if record.rule == "gradients_window":
            found.clips.update({name: int(record.facts.get(name) or 0) for name in ENDS})
    found.videos = heapq.nsmallest(MOST_LISTED, glances(), key=lambda glance: (glance.rank, glance.place))
    found.troubles = [trouble for *_, trouble in heapq.nsmallest(MOST_TROUBLES, kept, key=_by_rank)]
    return found


def _by_rank(entry: tuple[int, int, Trouble]) -> tuple[int, int]:
    return entry[:2]


def rank_of_prompt(row: Row) -> tuple[Any, ...]:
    """Lost ones first, and of those the ones with the least of what was asked."""
    kept = min(1.0 if row[name] is None else row[name] for name in ("iou", "points_honoured"))
    return not row["lost"], row["status"] != Status.FAILED, kept, row["video"], row["row"]
