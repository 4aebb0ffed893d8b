"""A stream depends on its name and on nothing else."""

from longtake.streams import pick, stream


def test_the_same_name_gives_the_same_draws_in_any_order():
    first = stream(1, "pond-1", "noise").random(4)
    stream(1, "pond-2", "noise").random(100)
    assert (stream(1, "pond-1", "noise").random(4) == first).all()


def test_each_part_of_the_name_counts():
    names = [(1, "a", "b"), (2, "a", "b"), (1, "b", "b"), (1, "a", "c"), (1, "ab", ""), (1, "", "ab")]
    assert len({stream(*name).integers(2**62) for name in names}) == len(names)


def test_a_known_draw_does_not_change_between_versions():
    assert stream(20260601, "pond-01", "bootstrap").integers(0, 1000, 5).tolist() == KNOWN


KNOWN = [386, 918, 243, 845, 388]


def test_a_pick_is_seeded_and_one_more_name_changes_little():
    names = [f"v{k}" for k in range(20)]
    found = pick(1, "carp", "videos", names, 5)
    assert len(found) == 5
    assert found == sorted(found)
    assert pick(1, "carp", "videos", reversed(names), 5) == found
    assert pick(2, "carp", "videos", names, 5) != found
    assert pick(1, "perch", "videos", names, 5) != found
    assert len(set(pick(1, "carp", "videos", [*names, "one more"], 5)) - set(found)) <= 1
    assert pick(1, "carp", "videos", names, 0) == sorted(names)
    assert pick(1, "carp", "videos", names[:2], 5) == names[:2]
