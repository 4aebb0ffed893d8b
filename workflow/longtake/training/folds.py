"""Folds that share nothing: grouped, stratified by label, seeded, and checked for leaks.

A group is a subject, a site, or a cascade of copies. It is never split: not over outer folds, and not over the inner
split by which training stops early. Videos that near-duplicates join count as one group, declared or not.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.errors import SheetError
from longtake.streams import stream
from longtake.training.hashes import Pair
from longtake.training.sheet import Row


@dataclass(frozen=True)
class Placed:
    """Where a video stands: the fold that tests it, and the folds in whose training it judges (the inner split)."""

    video: str
    label: str
    group: str
    repeat: int
    fold: int
    inner: tuple[int, ...]


TEST = -1
"""The fold of videos that are never trained on (`test` in the sheet)."""


def place(rows: Sequence[Row], *, folds: int, repeats: int, inner: float, seed: int) -> list[Placed]:
    """Return the place of every video in each repeat.

    Parameters
    ----------
    rows
        Of the sheet, with the groups that duplicates may have joined; those with a `fold` keep it.
    inner
        Share of the training videos of a fold that stops training early and fixes thresholds.

    Raises
    ------
    SheetError
        Fewer groups than folds, a class in fewer groups than folds, or an inner split that would leave a class out; the
        message says the largest number of folds that is possible.
    """
    trained = [row for row in rows if not row.test]
    check_groups(trained, folds)
    placed = []
    for repeat in range(repeats):
        outer = _given(trained) or _split(trained, folds, seed, f"repeat {repeat}")
        judges: dict[str, list[int]] = defaultdict(list)
        for fold in range(folds):
            training = [row for row in trained if outer[row.video] != fold]
            for video in _inner(training, inner, seed, f"repeat {repeat}, fold {fold}"):
                judges[video].append(fold)
        for row in rows:
            fold = TEST if row.test else outer[row.video]
            placed.append(Placed(row.video, row.label, row.group, repeat, fold, tuple(judges.get(row.video, ()))))
    return placed


def check_groups(rows: Sequence[Row], folds: int) -> None:
    """Refuse what no grouped split can hold, with the numbers."""
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        groups[row.label].add(row.group)
    every = {row.group for row in rows}
    if len(groups) < 2:
        raise SheetError(f"training needs two labels at least; the sheet has {sorted(groups) or 'none'}.")
    scarce = min(groups, key=lambda label: (len(groups[label]), label))
    most = len(groups[scarce])
    if most < folds:
        only = f"; group {next(iter(groups[scarce]))!r} holds all of it" if most == 1 else ""
        raise SheetError(
            f"label {scarce!r} has videos in {most} of {len(every)} groups{only}, so it would be missing from some of "
            f"{folds} folds. Set training.folds to {max(most, 2)} at most, or add groups of {scarce!r}."
            if most > 1
            else f"label {scarce!r} has videos in one group alone ({next(iter(groups[scarce]))!r} of {len(every)}), so "
            "no fold can train and test on it. Add a second group of it, or leave the label out."
        )
    size = Counter(row.group for row in rows)
    largest, count = size.most_common(1)[0]
    if count > len(rows) / folds:
        warnings.warn(
            f"group {largest!r} has {count} of {len(rows)} videos, more than one of {folds} folds; folds will be of "
            "unequal size.",
            stacklevel=2,
        )


def _given(rows: Sequence[Row]) -> dict[str, int]:
    return {row.video: row.fold for row in rows if row.fold is not None}


def _split(rows: Sequence[Row], folds: int, seed: int, name: str) -> dict[str, int]:
    """Grouped and stratified, by scikit-learn, on rows in the order of their ids."""
    from sklearn.model_selection import StratifiedGroupKFold

    ordered = sorted(rows, key=lambda row: row.video)
    labels, groups = [row.label for row in ordered], [row.group for row in ordered]
    for attempt in range(20):
        state = int(stream(seed, name, f"folds {attempt}").integers(2**31))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
        with warnings.catch_warnings():
            # It warns where a class is missing from a fold; below that is looked at, and another draw is tried.
            warnings.simplefilter("ignore")
            parts = [test for _, test in splitter.split(np.zeros(len(ordered)), labels, groups)]
        if all({labels[place] for place in part} == set(labels) for part in parts):
            return {ordered[place].video: number for number, part in enumerate(parts) for place in part}
    # Few groups of mixed labels may allow no better; metrics then say where a class is absent.
    return {ordered[place].video: number for number, part in enumerate(parts) for place in part}


def _inner(rows: Sequence[Row], share: float, seed: int, name: str) -> list[str]:
    parts = max(2, round(1 / share))
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        groups[row.label].add(row.group)
    least = min(groups, key=lambda label: (len(groups[label]), label))
    if len(groups[least]) < 2:
        raise SheetError(
            f"{name}: label {least!r} is left with one group for training, so the inner split has none to judge by. "
            "Add groups of it, or set training.folds lower."
        )
    parts = min(parts, len(groups[least]))
    split = _split(rows, parts, seed, f"inner of {name}")
    # Of the parts that hold every class, the one nearest to the share that was asked for.
    every = {row.label for row in rows}
    sizes = {
        part: len([row for row in rows if split[row.video] == part])
        for part in range(parts)
        if {row.label for row in rows if split[row.video] == part} == every
        and {row.label for row in rows if split[row.video] != part} == every
    }
    if not sizes:
        raise SheetError(
            f"{name}: no inner split of {share:g} holds every class on both sides. Set training.inner higher, "
            "training.folds lower, or add groups."
        )
    best = min(sizes, key=lambda part: (abs(sizes[part] / len(rows) - share), part))
    return [row.video for row in rows if split[row.video] == best]


def joined(rows: Sequence[Row], pairs: Iterable[Pair]) -> list[Row]:
    """Return the rows with the groups of each pair made one, under the first of their names."""
    parent = {row.group: row.group for row in rows}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    group_of = {row.video: row.group for row in rows}
    for pair in pairs:
        one, other = sorted((root(group_of[pair.video_a]), root(group_of[pair.video_b])))
        parent[other] = one
    return [row.with_group(root(row.group)) for row in rows]


def leaks(placed: Sequence[Placed], pairs: Iterable[Pair]) -> list[str]:
    """Say, for a person, each way in which a video of one fold stands in another: none for sound folds."""
    found = []
    places: dict[tuple[int, str], Placed] = {(each.repeat, each.video): each for each in placed}
    where: dict[tuple[int, str], set[int]] = defaultdict(set)
    for each in placed:
        where[each.repeat, each.group].add(each.fold)
    for (repeat, group), folds in sorted(where.items()):
        if len(folds) > 1:
            found.append(f"group {group!r} stands in folds {sorted(folds)} of repeat {repeat}")
    for pair in pairs:
        for repeat in sorted({each.repeat for each in placed}):
            one, other = (places.get((repeat, video)) for video in (pair.video_a, pair.video_b))
            if one and other and one.fold != other.fold:
                found.append(
                    f"{pair.video_a!r} (group {one.group!r}, fold {one.fold}) and {pair.video_b!r} (group "
                    f"{other.group!r}, fold {other.fold}) are "
                    f"{'the same bytes' if pair.kind == 'exact' else 'near-duplicates'} "
                    f"(distance {pair.distance:.3f})"
                )
            elif one and other and one.inner != other.inner:
                found.append(
                    f"{pair.video_a!r} and {pair.video_b!r} are near-duplicates on both sides of an inner split"
                )
    return found
