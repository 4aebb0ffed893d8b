"""Joining independent windows: each rule of identities on rectangles that one can check by hand."""

import itertools
import logging
import random

import numpy as np
import pyarrow as pa
import pytest

from longtake import masks
from longtake.annotate.seams import Seam
from longtake.annotate.stitch import WindowRows, stitch
from longtake.errors import SchemaError
from longtake.store.schemas import AGREEMENT, DETECTIONS
from longtake.store.tables import read_table, write_table

HEIGHT, WIDTH = 8, 64


def cover(number):
    """Six frames, of which two are the window's before and two the next one's."""
    return range(4 * number, 4 * number + 6)


def row(window, frame, name, left=None, width=10, label="unlabelled", prompted=False):
    """A row whose mask is two pixels high and begins at column `left`; not visible where that is None."""
    mask = None
    if left is not None:
        mask = masks.encode_crop(np.ones((2, width), bool), left, 3, HEIGHT, WIDTH)
    return dict.fromkeys(DETECTIONS.names) | {
        "video": "pond", "frame": frame, "time_s": frame / 10, "object": name, "label": label, "mask": mask,
        "height": HEIGHT, "width": WIDTH, "score": 0.9, "visible": mask is not None, "prompted": prompted,
        "window": window, "status": "ok", "direction": "forward",
    }  # fmt: skip


def track(window, frames, name, left, **more):
    """Rows of one object; `left` is a column, or one a frame."""
    columns = left if isinstance(left, list) else [left] * len(frames)
    return [row(window, frame, name, at, **more) for frame, at in zip(frames, columns, strict=True)]


def window(number, start, *tracks, rows_a_batch=3):
    rows = sorted(itertools.chain(*tracks), key=lambda each: each["frame"])
    table = pa.Table.from_pylist(rows, schema=DETECTIONS)
    return WindowRows(number, start, lambda: table.to_batches(max_chunksize=rows_a_batch))


def join(*windows, prompted=(), overlap_iou=0.5, keep_unjoined=True):
    return stitch(windows, prompted=prompted, overlap_iou=overlap_iou, keep_unjoined=keep_unjoined)


def rows_of(stitched):
    return [each for batch in stitched.batches for each in batch]


def frames_of(stitched, *columns):
    """Identity -> frames, or tuples of frame and the columns."""
    found = {}
    for each in rows_of(stitched):
        value = (each["frame"], *(each[name] for name in columns)) if columns else each["frame"]
        found.setdefault(each["object"], []).append(value)
    return found


def test_mean_iou_over_frames_on_which_one_is_seen():
    """Shared frames 0..4: equal; half; only one seen; neither seen; only one tracked."""
    seam = Seam(0, 1, {"a"})
    one, two = (0, "a"), (1, "s")
    for frame, (left, right) in enumerate([(0, 0), (0, 5), (0, None), (None, None)]):
        seam.add(frame, [row(0, frame, "a", left)], [row(1, frame, "s", right)])
    seam.add(4, [row(0, 4, "a", 0)], [])
    # 10 of 10 columns, 5 of 15, none; the last two frames say nothing.
    evidence = seam.evidence(one, two)
    assert evidence.mean_iou == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert (evidence.frames, evidence.first_frame, evidence.last_frame, evidence.minimum_iou) == (3, 0, 2, 0.0)
    assert seam.evidence(two, one) == evidence
    assert seam.evidence(one, (1, "never")).mean_iou is None


def test_the_assignment_is_the_best_of_all():
    rng = random.Random(7)
    for trial in range(30):
        left = {f"l{n}": rng.randrange(40) for n in range(3)}
        right = {f"r{n}": rng.randrange(40) for n in range(4)}
        seam = Seam(0, 1, set())
        seam.add(0, [row(0, 0, n, x) for n, x in left.items()], [row(1, 0, n, x) for n, x in right.items()])
        found = [match for match in seam.matches(0.3) if match.accepted]
        worth = {(a, b): max(0, 10 - abs(x - y)) / (10 + abs(x - y)) for a, x in left.items() for b, y in right.items()}
        best = 0.0
        for order in itertools.permutations(right, 3):
            best = max(best, sum(worth[pair] for pair in zip(left, order, strict=True) if worth[pair] >= 0.3))
        assert sum(match.evidence.mean_iou for match in found) == pytest.approx(best), trial
        assert all(match.evidence.mean_iou >= 0.3 for match in found)


def test_a_seed_takes_the_name_and_label_over_many_windows():
    windows = [window(0, 0, track(0, range(6), "a", 0, label="perch"))]
    windows += [
        window(n, 4 * n, track(n, cover(n), f"auto-{n:04d}-00", n), track(n, [4 * n], f"auto-{n:04d}-01", 40))
        for n in range(1, 5)
    ]
    stitched = join(*windows, prompted={"a"}, keep_unjoined=False)
    assert frames_of(stitched, "label", "window") == {"a": [(f, "perch", min(f // 4, 4)) for f in range(22)]}
    assert stitched.names[3, "auto-0003-00"] == "a"
    assert stitched.names[3, "auto-0003-01"] is None


def test_each_shared_frame_has_the_later_windows_row_or_else_the_earliers():
    stitched = join(window(0, 0, track(0, range(8), "a", 0)), window(1, 4, track(1, [5, 6, 8], "a", 0)), prompted={"a"})
    assert frames_of(stitched, "window") == {
        "a": [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (7, 0), (8, 1)]
    }


def test_a_prompted_name_is_kept_on_another_animal_but_told(caplog):
    """Both windows prompted a; the first has it at the left, the second at the right."""
    with caplog.at_level(logging.WARNING):
        stitched = join(
            window(0, 0, track(0, range(6), "a", 0)),
            window(1, 4, track(1, range(4, 9), "a", 40), track(1, range(4, 9), "auto-0001-00", 0)),
            prompted={"a"},
        )
    (by_name, left_over) = stitched.agreement
    assert (by_name["object"], by_name["other"], by_name["mean_iou"], by_name["joined"]) == ("a", "a", 0.0, True)
    assert (left_over["object"], left_over["other"], left_over["joined"]) == (None, "auto-0001-00", False)
    assert "object a was prompted in windows 0 and the next" in caplog.text
    assert frames_of(stitched) == {"a": list(range(9)), "auto-0001-00": list(range(4, 9))}


def test_two_prompted_objects_never_become_one():
    stitched = join(
        window(0, 0, track(0, range(4), "a", 0)), window(1, 2, track(1, range(2, 6), "b", 0)), prompted={"a", "b"}
    )
    assert frames_of(stitched) == {"a": [0, 1, 2, 3], "b": [2, 3, 4, 5]}
    assert [(each["object"], each["other"], each["joined"]) for each in stitched.agreement] == [
        ("a", None, False),
        (None, "b", False),
    ]


def test_no_evidence_no_join():
    """Unseen on all shared frames, or seen before and after the seam only."""
    hidden = [0, 1, None, None]
    stitched = join(
        window(0, 0, track(0, range(4), "auto-0000-00", hidden), track(0, [0, 1], "auto-0000-01", 30)),
        window(1, 2, track(1, range(2, 6), "auto-0001-00", [None, None, 1, 1]), track(1, [4, 5], "auto-0001-01", 30)),
    )
    assert frames_of(stitched).keys() == {"auto-0000-00", "auto-0000-01", "auto-0001-00", "auto-0001-01"}
    told = {
        (each["object"], each["other"]): (each["mean_iou"], each["frames"], each["joined"])
        for each in stitched.agreement
    }
    assert told == {("auto-0000-00", None): (None, 0, False), (None, "auto-0001-00"): (None, 0, False)}


@pytest.mark.parametrize("name", ["auto-0000-00", "a"])
def test_a_near_miss_is_told_and_not_joined(name):
    stitched = join(
        window(0, 0, track(0, range(4), name, 0)),
        window(1, 2, track(1, range(2, 6), "auto-0001-00", 5)),
        prompted={"a"},
    )
    (told,) = stitched.agreement
    assert told["mean_iou"] == pytest.approx(1 / 3)
    assert (told["object"], told["other"], told["joined"]) == (name, "auto-0001-00", False)
    assert len(frames_of(stitched)) == 2


def test_a_late_prompt_names_what_earlier_windows_found():
    """As with two directions: the prompt acts late in the last window, and was tracked backward to its beginning."""
    windows = [
        window(n, 4 * n, track(n, cover(n), f"auto-{n:04d}-07", 0), track(n, cover(n), f"auto-{n:04d}-08", 30))
        for n in range(3)
    ]
    windows.append(window(3, 12, track(3, range(12, 18), "a", 1, label="eel")))
    stitched = join(*windows, prompted={"a"}, keep_unjoined=False)
    assert frames_of(stitched, "label") == {"a": [(f, "eel") for f in range(18)]}
    assert frames_of(join(*windows, prompted={"a"})) == {"a": list(range(18)), "auto-0000-08": list(range(14))}


def test_the_seed_speaks_until_the_prompt_acts():
    """Window 1 finds the animal by itself, loses it to another, and is prompted again in frame 8."""
    seed = track(1, range(4, 14), "auto-0001-00", [0] * 3 + [40] * 7)
    right = track(1, range(8, 14), "a", 0)
    stitched = join(
        window(0, 0, track(0, range(6), "a", 0)),
        window(1, 4, seed, right),
        # The seed of window 2 is on the stranger, which is not the animal any more.
        window(2, 12, track(2, range(12, 16), "auto-0002-00", 40)),
        prompted={"a"},
    )
    assert stitched.names == {
        (0, "a"): "a",
        (1, "auto-0001-00"): "a",
        (1, "a"): "a",
        (2, "auto-0002-00"): "auto-0002-00",
    }
    assert frames_of(stitched, "mask")["a"] == [
        *((f, row(0, f, "a", 0)["mask"]) for f in range(7)),
        (7, row(0, 7, "a", 40)["mask"]),
        *((f, row(0, f, "a", 0)["mask"]) for f in range(8, 14)),
    ]


def test_the_seed_says_nothing_after_the_prompted_track_ended():
    """In window 1 the animal is prompted in frame 6 and, by its prompt, need not be followed after frame 7."""
    stitched = join(
        window(0, 0, track(0, range(6), "a", 0)),
        window(1, 4, track(1, range(4, 14), "auto-0001-00", 0), track(1, [6, 7], "a", 0)),
        prompted={"a"},
        keep_unjoined=False,
    )
    assert frames_of(stitched) == {"a": list(range(8))}


def test_a_seed_on_the_prompted_animal_of_its_own_window_is_that_animal():
    """Window 1 follows a backward to its beginning, and seeded it, too; window 0 knows it by a seed that meets both."""
    stitched = join(
        window(0, 0, track(0, range(6), "auto-0000-00", 0)),
        window(1, 4, track(1, range(4, 9), "a", 2), track(1, range(4, 9), "auto-0001-00", 0)),
        prompted={"a"},
    )
    assert set(stitched.names.values()) == {"a"}
    assert frames_of(stitched, "mask")["a"] == [(f, row(0, f, "a", 0 if f < 4 else 2)["mask"]) for f in range(9)]


def both_ends(first, second):
    """a is prompted in windows 0 and 3; two seeds of window 1 may be it, one by each end."""
    return [
        window(0, 0, track(0, range(6), "a", 0)),
        window(1, 4, track(1, range(4, 10), "auto-0001-00", first), track(1, range(4, 10), "auto-0001-01", second)),
        window(2, 8, track(2, range(8, 14), "auto-0002-00", 31)),
        window(3, 12, track(3, range(12, 18), "a", 30)),
    ]


def test_of_two_claims_on_one_name_the_better_wins():
    # From window 0 by 9/11; from window 3 by 9/11 and then 8/12.
    names = join(*both_ends(1, 29), prompted={"a"}, keep_unjoined=False).names
    assert (names[1, "auto-0001-00"], names[1, "auto-0001-01"]) == ("a", None)
    # From window 0 by 7/13; from window 3 by 9/11 and then 1.
    names = join(*both_ends(3, 31), prompted={"a"}, keep_unjoined=False).names
    assert (names[1, "auto-0001-00"], names[1, "auto-0001-01"]) == (None, "a")


@pytest.mark.parametrize("weakest", [0, 1, 2, 3])
def test_between_two_names_the_weakest_link_is_cut(weakest):
    """a in window 0, b in window 4, seeds between; the tracks jump by two pixels at one seam and by one elsewhere."""
    at = [n + (n > weakest) for n in range(5)]
    windows = [window(0, 0, track(0, range(6), "a", at[0]))]
    windows += [window(n, 4 * n, track(n, cover(n), f"auto-{n:04d}-00", at[n])) for n in (1, 2, 3)]
    windows.append(window(4, 16, track(4, range(16, 22), "b", at[4])))
    names = join(*windows, prompted={"a", "b"}).names
    assert [names[n, f"auto-{n:04d}-00"] for n in (1, 2, 3)] == ["a" if n <= weakest else "b" for n in (1, 2, 3)]


def test_unjoined_seeds_bear_the_earliest_id():
    windows = [window(n, 4 * n, track(n, cover(n), f"auto-{n:04d}-{5 - n:02d}", 0)) for n in range(4)]
    assert frames_of(join(*windows)) == {"auto-0000-05": list(range(18))}
    assert frames_of(join(*windows, keep_unjoined=False)) == {}


def test_ties_fall_the_same_way_whatever_the_order_of_rows():
    """Two seeds of each window on exactly the same pixels: any pairing is as good; it must be always the same."""
    seen = set()
    for seed in range(8):
        rng = random.Random(seed)
        windows = []
        for n in range(3):
            tracks = [track(n, cover(n), f"auto-{n:04d}-{k:02d}", 0) for k in range(3)]
            rng.shuffle(tracks)
            windows.append(window(n, 4 * n, *tracks, rows_a_batch=rng.randrange(1, 9)))
        stitched = join(*windows)
        seen.add((str(rows_of(stitched)), str(stitched.agreement), str(sorted(stitched.names.items()))))
    assert len(seen) == 1


def test_three_windows_may_share_a_frame_and_windows_may_be_empty():
    windows = [
        window(0, 0, track(0, range(9), "a", 0)),
        window(1, 3, []),
        window(2, 6, track(2, range(6, 15), "a", 0)),
        window(3, 7, track(3, range(7, 16), "a", 0), track(3, range(10, 16), "b", 30)),
        window(4, 12, []),
    ]
    assert frames_of(join(*windows, prompted={"a", "b"}), "window") == {
        "a": [*((f, 0) for f in range(6)), (6, 2), *((f, 3) for f in range(7, 16))],
        "b": [(f, 3) for f in range(10, 16)],
    }
    assert rows_of(join()) == []


def test_a_window_whose_first_row_comes_late_is_not_overtaken():
    """Window 0 finds nothing before frame 5, window 1 finds something at once."""
    stitched = join(
        window(0, 0, track(0, range(5, 8), "a", 30)),
        window(1, 4, track(1, range(4, 10), "auto-0001-00", 0)),
        prompted={"a"},
    )
    assert [each["frame"] for each in rows_of(stitched)] == [4, 5, 5, 6, 6, 7, 7, 8, 9]


def test_few_windows_are_open_at_a_time():
    """What is held does not depend on how many windows there are, and each is read twice."""
    opened, peak, times = set(), [0], [0]

    def scan(number):
        rows = track(number, cover(number), f"auto-{number:04d}-00", 0)
        opened.add(number)
        times[0] += 1
        for each in rows:
            peak[0] = max(peak[0], len(opened))
            yield pa.RecordBatch.from_pylist([each], schema=DETECTIONS)
        opened.remove(number)

    windows = [WindowRows(n, 4 * n, lambda n=n: scan(n)) for n in range(40)]
    assert frames_of(join(*windows)) == {"auto-0000-00": list(range(162))}
    assert peak[0] <= 3
    assert times[0] == 80


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([window(0, 0, [row(0, 3, "a", 0)], [row(0, 3, "a", 9)])], "window 0: an object stands twice in frame 3"),
        ([window(1, 4, [row(1, 3, "a", 0)])], "window 1: frame 3 is out of order, or before frame 4"),
        (
            [window(0, 0, [row(0, 0, "x", 0)]), window(1, 4, [row(1, 5, "x", 0)])],
            "object 'x' is in windows 0 and 1, but no prompt names it",
        ),
    ],
)
def test_rows_that_cannot_be(windows, message):
    with pytest.raises(SchemaError, match=message):
        join(*windows, prompted={"a"})


def test_frames_out_of_order():
    table = pa.Table.from_pylist([row(0, 3, "a", 0), row(0, 2, "a", 0)], schema=DETECTIONS)
    with pytest.raises(SchemaError, match="window 0: frame 2 is out of order"):
        join(WindowRows(0, 0, table.to_batches), prompted={"a"})


def test_it_fits_the_tables(tmp_path):
    stitched = join(
        window(0, 0, track(0, range(6), "a", 0)), window(1, 4, track(1, range(4, 9), "auto-0001-00", 1)), prompted={"a"}
    )
    assert write_table(tmp_path / "d.parquet", stitched.batches, DETECTIONS) == 9
    write_table(tmp_path / "a.parquet", stitched.agreement, AGREEMENT)
    (told,) = read_table(tmp_path / "a.parquet", AGREEMENT).to_pylist()
    assert told == {
        "video": "pond", "kind": "seam", "window": 0, "object": "a", "other": "auto-0001-00", "identity": "a",
        "first_frame": 4, "last_frame": 5, "frames": 2, "mean_iou": 9 / 11, "minimum_iou": 9 / 11, "joined": True,
    }  # fmt: skip
