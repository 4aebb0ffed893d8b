"""Folds share no group, hold every class, and any leak is named."""

import pytest

from longtake.training.folds import joined, leaks, place
from longtake.training.hashes import Pair
from longtake.training.sheet import Row, shards_of


def rows(groups=12, each=3, **changes):
    """Videos of two labels in groups; a group has one label."""
    return [
        Row(g * each + n + 2, f"v{g:02d}-{n}", f"/x/{g}-{n}.mp4", ("cod", "ray")[g % 2], f"g{g:02d}", **changes)
        for g in range(groups)
        for n in range(each)
    ]


def test_groups_are_whole_and_classes_everywhere():
    placed = place(rows(), folds=3, repeats=2, inner=0.2, seed=1)
    for repeat in (0, 1):
        here = [each for each in placed if each.repeat == repeat]
        for group in {each.group for each in here}:
            assert len({each.fold for each in here if each.group == group}) == 1
            assert len({each.inner for each in here if each.group == group}) == 1
        for fold in range(3):
            assert {each.label for each in here if each.fold == fold} == {"cod", "ray"}
            judges = [each for each in here if fold in each.inner]
            assert {each.label for each in judges} == {"cod", "ray"}
            assert all(each.fold != fold for each in judges)
    assert [each.fold for each in placed[:36]] != [each.fold for each in placed[36:]]
    assert placed == place(rows(), folds=3, repeats=2, inner=0.2, seed=1)
    assert leaks(placed, []) == []


def test_test_videos_are_never_trained_on():
    given = [*rows(), Row(99, "held", "/x/held.mp4", "cod", "held", None, True)]
    placed = place(given, folds=3, repeats=1, inner=0.2, seed=1)
    held = next(each for each in placed if each.video == "held")
    assert (held.fold, held.inner) == (-1, ())


def test_given_folds_are_kept():
    given = [Row(**{**vars(row), "fold": int(row.group[1:]) % 3}) for row in rows()]
    placed = place(given, folds=3, repeats=1, inner=0.25, seed=1)
    assert all(each.fold == int(each.group[1:]) % 3 for each in placed)


def test_near_duplicates_over_folds_leak_by_name():
    placed = place(rows(), folds=3, repeats=1, inner=0.2, seed=1)
    one = next(each for each in placed if each.fold == 0)
    other = next(each for each in placed if each.fold == 1)
    found = leaks(placed, [Pair(one.video, other.video, 0.01, "near")])
    assert len(found) == 1
    assert one.video in found[0]
    assert other.video in found[0]


def test_joined_groups_are_one():
    found = joined(rows(), [Pair("v00-0", "v02-0", 0.01, "near"), Pair("v02-1", "v04-2", 0.0, "exact")])
    assert {row.group for row in found if row.video[:3] in ("v00", "v02", "v04")} == {"g00"}
    assert len({row.group for row in found}) == 10


def test_a_large_group_is_told():
    with pytest.warns(UserWarning, match="more than one of 3 folds"):
        place(
            [*rows(), *[Row(200 + n, f"big{n}", f"/b{n}", "cod", "big") for n in range(40)]],
            folds=3,
            repeats=1,
            inner=0.3,
            seed=1,
        )


def test_shards_depend_on_the_id_alone():
    one, other = shards_of(rows(), 8), shards_of(list(reversed(rows())), 8)
    assert {k: {r.video for r in v} for k, v in one.items()} == {k: {r.video for r in v} for k, v in other.items()}
    assert sum(map(len, one.values())) == 36
