"""Prompts on the grid: which frame they act on, when objects end, and rows that cannot be used."""

from dataclasses import dataclass

import pytest

from longtake.annotate.prompts import Schedule, place_prompts, warn
from longtake.errors import FrameUnavailable, SheetError


@dataclass
class Clock:
    """A video of 118 frames, 10 a second."""

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


def schedule_of(prompts, interval=1):
    return Schedule(place_prompts(prompts, CLOCK, interval), CLOCK, interval)


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


def test_a_prompt_right_after_the_end_begins_anew(prompt):
    schedule = schedule_of([prompt(frame=1, until_s=0.3), prompt(frame=4, row=3)])
    assert schedule.ended({"a"}, 4) == {"a"}
    assert schedule.ended({"a"}, 5) == set()


def test_the_digest_knows_only_what_has_acted(prompt):
    early, late, moved = prompt(frame=0), prompt("b", frame=60), prompt("b", frame=60, box=(9, 9, 30, 30))
    assert schedule_of([early, late], 30).digest(2) == schedule_of([early, moved], 30).digest(2)
    assert schedule_of([early, late], 30).digest(3) != schedule_of([early, moved], 30).digest(3)
