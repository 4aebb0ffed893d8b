"""Prompts on the grid: which frame they act on, when objects end, and rows that cannot be used."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtake import masks
from longtake.annotate.prompts import Schedule, place_prompts, warn
from longtake.errors import FrameUnavailable, SheetError


@dataclass
class Clock:
    """A video of 118 frames, 10 a second."""

    path: Path = Path("film.mp4")
    width: int = 320
    height: int = 128
    n_frames: int = 118

    def time_s(self, frame):
        return frame / 10

    def frame_at(self, time_s):
        frame = int(time_s * 10 + 0.01) if time_s == time_s else -1
        if not 0 <= frame < self.n_frames:
            raise FrameUnavailable("outside")
        return frame


CLOCK = Clock()


@pytest.mark.parametrize(
    ("frame", "grid_frame"), [(0, 0), (14, 0), (15, 0), (16, 1), (30, 1), (45, 1), (46, 2), (117, 3)]
)
def test_a_prompt_acts_on_the_nearest_grid_frame_ties_to_the_earlier(prompt, frame, grid_frame):
    (placed,) = place_prompts([prompt(frame=frame)], CLOCK, 30)
    assert (placed.frame, placed.grid_frame) == (frame, grid_frame)


def test_a_prompt_by_time(prompt):
    (placed,) = place_prompts([prompt(time_s=4.6)], CLOCK, 30)
    assert (placed.frame, placed.grid_frame) == (46, 2)


@pytest.mark.parametrize("given", [{"frame": 118}, {"frame": -1}, {"time_s": 11.8}, {"time_s": -0.2}])
def test_a_prompt_outside_the_video(prompt, given):
    with pytest.raises(SheetError, match=r"prompts\.tsv, row 7: .* lies outside the video.*give a"):
        place_prompts([prompt(row=7, **given)], CLOCK, 30)


@pytest.mark.parametrize("box", [(8, 8, 8, 20), (8, 20, 20, 8), (8, 8, float("nan"), 20)])
def test_an_empty_box(prompt, box):
    with pytest.raises(SheetError, match=r"row 7: the box .* is empty; maxima are exclusive"):
        place_prompts([prompt(row=7, box=box)], CLOCK, 30)


@pytest.mark.parametrize("box", [(320, 8, 400, 20), (-40, 8, 0, 20), (8, 128, 20, 160)])
def test_a_box_outside_the_frame(prompt, box):
    with pytest.raises(SheetError, match=r"row 7: .* lies outside the frame of 320 x 128 pixels; give source pixels"):
        place_prompts([prompt(row=7, box=box)], CLOCK, 30)


def test_a_box_that_reaches_out_is_clipped_with_a_warning(prompt, caplog):
    (placed,) = place_prompts([prompt(row=7, box=(-5, 100, 330, 140))], CLOCK, 30)
    assert placed.box == (0, 100, 320, 128)
    assert placed.clipped
    warn([placed], range(1, 9))
    assert not caplog.records
    warn([placed], range(1))
    assert "row 7, object a: its box reaches out" in caplog.text


@pytest.mark.parametrize("point", [(-0.1, 5), (320, 5), (5, 128), (5, -1)])
@pytest.mark.parametrize("kind", ["points", "negative_points"])
def test_a_point_outside_the_frame(prompt, point, kind):
    shape = {"points": ((5.0, 5.0),)} | {kind: ((1.0, 1.0), point)}
    with pytest.raises(SheetError, match=r"row 7: the point .* of object 'a' lies outside the frame of 320 x 128"):
        place_prompts([prompt(row=7, box=None, **shape)], CLOCK, 30)


def test_points_and_a_box_stay_as_they_are(prompt):
    given = prompt(box=(0, 0, 320, 128), points=((0.0, 0.0), (319.9, 127.9)), negative_points=((5.0, 5.0),))
    (placed,) = place_prompts([given], CLOCK, 30)
    assert (placed.box, placed.clipped, placed.prompt) == ((0, 0, 320, 128), False, given)


BLOB = np.zeros((128, 320), dtype=bool)
BLOB[20:60, 100:180] = True


def test_a_mask_from_run_lengths_and_from_a_picture_is_one_mask(prompt, tmp_path):
    Image.fromarray(BLOB).save(tmp_path / "it.png")
    rows = [prompt(box=None, mask=mask) for mask in (masks.encode(BLOB), str(tmp_path / "it.png"))]
    one, other = ((place_prompts([row], CLOCK, 30)) for row in rows)
    assert one[0].mask == other[0].mask == masks.encode(BLOB)
    assert one[0].box is None
    assert Schedule(one, CLOCK, 30).digest(1) != Schedule(place_prompts([prompt()], CLOCK, 30), CLOCK, 30).digest(1)


def test_the_digest_sees_an_edited_picture_of_the_same_name(prompt, tmp_path):
    digests = set()
    for columns in (100, 101):
        Image.fromarray(BLOB[:, ::-1] if columns == 101 else BLOB).save(tmp_path / "it.png")
        placed = place_prompts([prompt(box=None, mask=str(tmp_path / "it.png"))], CLOCK, 30)
        digests.add(Schedule(placed, CLOCK, 30).digest(1))
    assert len(digests) == 2


def bad_masks(folder):
    Image.fromarray(BLOB.T).save(folder / "turned.png")
    Image.fromarray(~BLOB & BLOB).save(folder / "empty.png")
    (folder / "torn.png").write_bytes((folder / "turned.png").read_bytes()[:40])
    return {
        masks.encode(BLOB[1:]): "cover 40640 pixels, the frame of 320 x 128 has 40960",
        masks.encode(~BLOB & BLOB): "is empty; draw it, or remove the row",
        "0O": "run 1 is -1 pixels long",
        str(folder / "turned.png"): r"turned\.png has 128 x 320 pixels.*320 x 128 pixels as displayed",
        str(folder / "empty.png"): "is empty",
        str(folder / "torn.png"): "no whole PNG",
        str(folder / "nowhere.png"): "no whole PNG",
    }


def test_masks_that_cannot_be_used(prompt, tmp_path):
    for mask, words in bad_masks(tmp_path).items():
        with pytest.raises(SheetError, match=rf"prompts\.tsv, row 7: the mask of object 'a' .*{words}"):
            place_prompts([prompt(row=7, box=None, mask=mask)], CLOCK, 30)


def test_an_end_before_its_prompt(prompt):
    with pytest.raises(SheetError, match=r"row 7: object 'a' ends at until_s 4, before its prompt at 5 s"):
        place_prompts([prompt(row=7, frame=50, until_s=4.0)], CLOCK, 30)


def test_of_two_prompts_for_one_grid_frame_the_closer_acts(prompt, caplog):
    rows = [prompt(frame=38, row=2), prompt(frame=32, row=3), prompt(frame=28, row=4), prompt("b", frame=38, row=5)]
    placed = place_prompts(rows, CLOCK, 30)
    assert {each.prompt.row for each in placed if not each.reason} == {3, 5}
    warn(placed, range(9))
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == ["prompts.tsv, row 2, object a", "prompts.tsv, row 4, object a"]
    assert set(Schedule(placed, CLOCK, 30).starting(1)) == {"a", "b"}


def tracked(schedule, name, frames):
    """Play the schedule: the grid frames on which an object is in the session."""
    live, found = set(), []
    for frame in range(frames):
        live = live - schedule.ended(live, frame) | set(schedule.starting(frame))
        assert schedule.busy(frame) == bool(live)
        if name in live:
            found.append(frame)
    return found


def schedule_of(prompts, interval=1, **more):
    return Schedule(place_prompts(prompts, CLOCK, interval), CLOCK, interval, **more)


def test_an_object_is_tracked_up_to_its_end_inclusive(prompt):
    assert tracked(schedule_of([prompt(frame=3, until_s=0.7)]), "a", 12) == [3, 4, 5, 6, 7]
    assert tracked(schedule_of([prompt(frame=3, until_s=0.75)]), "a", 12) == [3, 4, 5, 6, 7]
    assert tracked(schedule_of([prompt(frame=3, until_s=0.3)]), "a", 12) == [3]
    assert tracked(schedule_of([prompt(frame=3, until_s=999)]), "a", 12) == list(range(3, 12))
    assert tracked(schedule_of([prompt(frame=3)]), "a", 12) == list(range(3, 12))


def test_on_a_coarse_grid_the_prompted_frame_always_counts(prompt):
    assert tracked(schedule_of([prompt(frame=46, until_s=4.8)], 30), "a", 4) == [2]


def test_the_latest_prompt_decides_the_end(prompt):
    rows = [prompt(frame=1, until_s=0.8), prompt(frame=4, until_s=0.5, row=3), prompt(frame=9, row=4)]
    assert tracked(schedule_of(rows), "a", 12) == [1, 2, 3, 4, 5, 9, 10, 11]


def test_an_object_without_a_prompt_has_no_end(prompt):
    assert schedule_of([prompt(frame=3, until_s=0.7)]).ended({"a", "auto-0000-00"}, 11) == {"a"}


def test_a_prompt_right_after_the_end_begins_anew(prompt):
    schedule = schedule_of([prompt(frame=1, until_s=0.3), prompt(frame=4, row=3)])
    assert schedule.ended({"a"}, 4) == {"a"}
    assert schedule.ended({"a"}, 5) == set()


def test_the_digest_knows_only_what_has_acted(prompt):
    early, late, moved = prompt(frame=0), prompt("b", frame=60), prompt("b", frame=60, box=(9, 9, 30, 30))
    assert schedule_of([early, late], 30).digest(2) == schedule_of([early, moved], 30).digest(2)
    assert schedule_of([early, late], 30).digest(3) != schedule_of([early, moved], 30).digest(3)


BACKWARD = {
    "one prompt, down to the first frame": ([(4, None)], [4, 3, 2, 1, 0]),
    "between prompts": ([(2, None), (5, None)], [5, 4, 3, 2, 1, 0]),
    "not in a gap that until_s leaves": ([(2, 0.4), (7, None), (9, None)], [9, 8, 7, 2, 1, 0]),
    "forgotten right before the next prompt": ([(2, 0.6), (7, None)], [7, 2, 1, 0]),
    "until_s after the next prompt leaves no gap": ([(2, 0.9), (7, 0.8)], [7, 6, 5, 4, 3, 2, 1, 0]),
}


@pytest.mark.parametrize(("given", "expected"), BACKWARD.values(), ids=BACKWARD)
def test_backward_an_object_is_tracked_from_its_prompts_down(prompt, given, expected):
    rows = [prompt(frame=frame, until_s=until, row=row) for row, (frame, until) in enumerate(given, start=2)]
    schedule, live, found = schedule_of(rows, reverse=True), set(), []
    for frame in reversed(range(12)):
        live -= schedule.ended(live, frame)
        live |= schedule.starting(frame).keys()
        assert schedule.busy(frame) == schedule.tracks("a", frame) == bool(live)
        found += [frame] * bool(live)
    assert found == expected
    assert schedule.ended({"a"}, -1) == {"a"}


def test_backward_the_digest_knows_what_acted_later_in_time(prompt):
    def digest(before, *rows):
        return schedule_of(rows, reverse=True).digest(before)

    early, moved, late = prompt(frame=2), prompt(frame=2, box=(9, 9, 30, 30)), prompt(frame=8, row=3)
    assert digest(4, early, late) == digest(4, moved, late)
    assert digest(1, early, late) != digest(1, moved, late)
    assert digest(4, prompt(frame=2, until_s=0.3), late) != digest(4, early, late), "late is tracked less far"


def test_a_picture_is_found_by_its_name_whatever_its_number(prompt, tmp_path):
    """In a folder in which every fifth picture is kept, 00010.jpg is frame 2."""
    for number in range(0, 100, 5):
        (tmp_path / f"{number:05d}.jpg").touch()
    folder, film = replace(CLOCK, path=tmp_path), replace(CLOCK, path=tmp_path / "film.mp4")
    given = replace(prompt(frame=10), picture="00010.jpg")
    assert [each.frame for each in place_prompts([given, replace(prompt(frame=3), object="b")], folder, 1)] == [2, 3]
    assert [each.frame for each in place_prompts([given], film, 1)] == [10]
    with pytest.raises(SheetError, match=r"row .*'00011\.jpg' .* not in the folder"):
        place_prompts([replace(given, picture="00011.jpg")], folder, 1)
