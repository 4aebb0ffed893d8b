"""The only step that looks at all videos before training: duplicates, folds, and whether anything leaks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.cells import read_cells
from longtake.errors import SheetError, TrainingError
from longtake.store.atomic import write_tsv
from longtake.store.tables import read_table, write_table
from longtake.streams import stream
from longtake.training.dataset import LEARNT, TESTED, digest_of, read_clips
from longtake.training.folds import Placed, joined, leaks, place
from longtake.training.hashes import FRAMES, Pair, near_pairs
from longtake.training.sheet import Row, check_bytes
from longtake.training.tables import CLIPS, DUPLICATES, FOLDS, SOURCES

log = logging.getLogger(__name__)
FITS = ("spec", "repeat", "fold", "learnt", "tested")


def make_folds(
    rows: Sequence[Mapping[str, Any]],
    clips: Sequence[str | Path],
    sources: Sequence[str | Path],
    *,
    out: Mapping[str, str | Path],
    folds: int,
    repeats: int,
    inner: float,
    duplicates: str,
    duplicate_distance: float,
    seed: int,
    sheet: str,
    before: str | Path | None = None,
) -> dict[str, Any]:
    """Write the tables of folds, duplicates and clips, and for each fold a digest of what it learns from.

    Parameters
    ----------
    rows
        Of the sheet, as plain values.
    out
        Paths of ``folds``, ``duplicates``, ``clips`` (all shards together) and ``fits``.
    duplicates
        ``fail``: near-duplicates of different groups end the run; ``join``: they make their groups one; ``report``:
        they are listed.
    before
        Where the digests of fits are kept until the next time, which then says how many fits a change redoes.

    Raises
    ------
    SheetError
        The same bytes under two labels; too few groups; every video is unreadable.
    TrainingError
        A video of one fold stands in another.
    """
    videos = [Row(**row) for row in rows]
    about = [row for path in sources for row in read_table(path, SOURCES).to_pylist()]
    unreadable = {row["video"]: row["reason"] for row in about if row["status"] == "failed"}
    used = [row for row in videos if row.video not in unreadable]
    if not used:
        first = next(iter(unreadable.items()), ("", "there are no rows"))
        raise SheetError(f"{sheet}: no video can be read. The first is {first[0]!r}: {first[1]}")
    known = {row["video"]: row for row in about if row["sha256"] and row["video"] not in unreadable}
    check_bytes(used, {video: row["sha256"] for video, row in known.items()}, sheet)
    pairs = _pairs(known, duplicate_distance)
    group = {row.video: row.group for row in used}
    write_table(out["duplicates"], [_pair_row(pair, group) for pair in pairs], DUPLICATES)
    undeclared = [pair for pair in pairs if group[pair.video_a] != group[pair.video_b]]
    if undeclared and duplicates == "fail":
        raise TrainingError(_told(undeclared, group, sheet, out["duplicates"]))
    if undeclared and duplicates == "join":
        used = joined(used, undeclared)
        log.warning("%d pairs of near-duplicates join groups that the sheet keeps apart", len(undeclared))
    _check_test(used, sheet)
    placed = place(used, folds=folds, repeats=repeats, inner=inner, seed=seed)
    leaking = leaks(placed, pairs if duplicates != "report" else [])
    if leaking:
        raise TrainingError("The folds leak: " + "; ".join(leaking[:5]) + ". Correct column 'group' or 'fold'.")
    write_table(out["folds"], [_fold_row(each) for each in placed], FOLDS)
    specs = _write_clips(clips, out["clips"])
    digests = _fits(specs, placed, out["clips"], repeats=repeats, folds=folds)
    write_tsv(out["fits"], FITS, digests)
    redone = _tell_redone(before, digests) if before else 0
    return {
        "videos": len(used),
        "unreadable": sorted(unreadable),
        "duplicates": len(pairs),
        "undeclared": len(undeclared),
        "redone": redone,
        "groups": len({row.group for row in used}),
        "labels": dict(Counter(row.label for row in used)),
    }


def _pairs(known: Mapping[str, Mapping[str, Any]], most: float) -> list[Pair]:
    videos = sorted(known)
    if not videos:
        return []
    hashes = np.array([known[video]["hashes"] for video in videos], np.uint64).reshape(len(videos), FRAMES, -1)
    return list(near_pairs(videos, [str(known[video]["sha256"]) for video in videos], hashes, most))


def _told(pairs: Sequence[Pair], group: Mapping[str, str], sheet: str, table: str | Path) -> str:
    shown = "; ".join(
        f"{pair.video_a!r} (group {group[pair.video_a]!r}) and {pair.video_b!r} "
        f"(group {group[pair.video_b]!r}), "
        + ("the same bytes" if pair.kind == "exact" else f"distance {pair.distance:.3f}")
        for pair in pairs[:5]
    )
    return (
        f"{sheet}: {len(pairs)} pairs of videos show the same and stand in different groups: {shown}. All of them are "
        f"in {table}. Give each pair one group, or set training.duplicates to 'join', which does so, or to 'report' if "
        "they are no copies."
    )


def _check_test(rows: Sequence[Row], sheet: str) -> None:
    """A group of the test set is not trained on either."""
    trained = {row.group: row for row in rows if not row.test}
    for row in rows:
        if row.test and row.group in trained:
            raise TrainingError(
                f"{sheet}: group {row.group!r} stands in the test set ({row.video!r}) and among the videos that are "
                f"trained on ({trained[row.group].video!r}). Put it on one side."
            )


def _pair_row(pair: Pair, group: Mapping[str, str]) -> dict[str, Any]:
    return {**vars(pair), "declared": group[pair.video_a] == group[pair.video_b]}


def _fold_row(placed: Placed) -> dict[str, Any]:
    return {**vars(placed), "inner": list(placed.inner)}


def _write_clips(paths: Sequence[str | Path], out: str | Path) -> list[str]:
    rows = [row for path in paths for row in read_table(path, CLIPS).to_pylist()]
    rows.sort(key=lambda row: (row["video"], row["spec"], row["clip"]))
    write_table(out, rows, CLIPS)
    return sorted({row["spec"] for row in rows})


def _fits(
    specs: Iterable[str], placed: Sequence[Placed], clips: str | Path, *, repeats: int, folds: int
) -> list[dict[str, Any]]:
    rows = [_fold_row(each) for each in placed]
    found = []
    for spec in specs:
        of_spec = read_clips([clips], spec)
        for repeat in range(repeats):
            for fold in range(folds):
                about = {"spec": spec, "repeat": repeat, "fold": fold}
                parts = {"learnt": LEARNT, "tested": TESTED}
                found.append(
                    about | {name: digest_of(of_spec, rows, repeat, fold, part) for name, part in parts.items()}
                )
    return found


def _tell_redone(before: str | Path, digests: Sequence[Mapping[str, Any]]) -> int:
    """Count the fits of one network that learn from something else than the last time, say so, and keep the digests."""
    path = Path(before)
    known = {}
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            known = {(row["spec"], row["repeat"], row["fold"]): row["learnt"] for row in read_cells(file)}
    keys = [(str(row["spec"]), str(row["repeat"]), str(row["fold"])) for row in digests]
    redone = sum(key in known and known[key] != row["learnt"] for key, row in zip(keys, digests, strict=True))
    new = sum(key not in known for key in keys) if known else 0
    if redone or new:
        log.warning(
            "of %d fits of a network on a kind of clips, %d learn from other clips than before and are redone, and %d "
            "are new; the others stay",
            len(keys),
            redone,
            new,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tsv(path, FITS, digests)
    return redone


def permuted_labels(rows: Sequence[Mapping[str, Any]], seed: int, unit: str) -> dict[str, str]:
    """Return another label for every video of `rows`: groups exchange theirs, so that groups keep their likeness.

    Where a group holds several labels, its videos take those of the other one in drawn order.
    """
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: str(row["video"])):
        by_group.setdefault(str(row["group"]), []).append(row)
    names = sorted(by_group)
    random = stream(seed, unit, "permuted labels")
    order = random.permutation(len(names))
    dealt: dict[str, str] = {}
    for name, other in zip(names, order, strict=True):
        labels = random.permutation([str(row["label"]) for row in by_group[names[other]]]).tolist()
        for number, row in enumerate(by_group[name]):
            dealt[str(row["video"])] = labels[number % len(labels)]
    return dealt
