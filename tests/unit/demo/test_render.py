from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from trainers.lessons import TRAINING_SEED

from longtake.demo import render
from longtake.demo.prompting import first_prompts, regular_prompts
from longtake.demo.render import PONDS, Pond, demo_scene, prompts_sheet, render_demo, videos_sheet
from longtake.demo.scenes import SPECIES, render_frame
from longtake.errors import SheetError
from longtake.masks import decode
from longtake.media.index import index_video
from longtake.media.reader import read_frames
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

SHEETS = Path(__file__).parents[3] / "config" / "demo"


def test_the_committed_sheets_are_the_generated_ones():
    assert (SHEETS / "videos.tsv").read_text() == videos_sheet()
    assert (SHEETS / "prompts.tsv").read_text() == prompts_sheet()


def test_every_species_swims_in_three_videos_and_every_animal_is_prompted():
    videos = Counter(species for pond in PONDS.values() for species in set(pond.species))
    assert set(videos) == set(SPECIES)
    assert min(videos.values()) >= 3
    rows = [line.split("\t")[:3] for line in prompts_sheet().splitlines()[1:]]
    assert len({tuple(row) for row in rows}) == sum(len(pond.species) for pond in PONDS.values())
    assert all(pond.seed < TRAINING_SEED for pond in PONDS.values())


def test_prompts_hold_the_animal_whole():
    scene = demo_scene("pond-03")
    for prompt in first_prompts(scene, 5):
        assert prompt.frame % 5 == 0
        seen = render_frame(scene, prompt.frame).ids == prompt.number
        x_min, y_min, x_max, y_max = (int(edge) for edge in prompt.box)
        assert seen[y_min:y_max, x_min:x_max].sum() == seen.sum() > 0
        assert 0 < x_min < x_max < scene.width
        assert 0 < y_min < y_max < scene.height


def test_an_animal_is_prompted_again_no_sooner_than_asked():
    scene = demo_scene("pond-04")
    once, again = first_prompts(scene, 5), regular_prompts(scene, 5, every=100)
    assert len(again) > len(once) == len(scene.animals)
    for number in range(1, 4):
        frames = [prompt.frame for prompt in again if prompt.number == number]
        assert frames[0] == next(prompt.frame for prompt in once if prompt.number == number)
        assert all(late - early >= 100 for early, late in pairwise(frames))


@pytest.fixture
def short_pond(monkeypatch, tmp_path):
    monkeypatch.setitem(render.PONDS, "pond-99", Pond(104, 1.5, ("eel", "jelly")))
    render_demo("pond-99", tmp_path / "pond-99.mp4")
    return tmp_path


def test_video_and_truth_agree_with_the_scene(short_pond):
    scene = demo_scene("pond-99")
    index = index_video(short_pond / "pond-99.mp4")
    assert index.n_frames == scene.n_frames == 30
    truth = read_table(short_pond / "pond-99.truth.parquet", DETECTIONS).to_pylist()
    assert len(truth) == 60
    for frame in read_frames(index, [0, 17]):
        rendered = render_frame(scene, frame.frame)
        assert frame.time_s == pytest.approx(frame.frame / 20)
        assert np.abs(frame.pixels.astype(int) - rendered.image).mean() < 6
        for number, row in enumerate(truth[2 * frame.frame : 2 * frame.frame + 2], start=1):
            assert row["object"] == scene.animals[number - 1].id
            if row["visible"]:
                assert np.array_equal(decode(row["mask"], 288, 512), rendered.ids == number)
    assert sum(row["prompted"] for row in truth) <= 2


def test_an_unknown_video_is_refused():
    with pytest.raises(SheetError, match="pond-77"):
        demo_scene("pond-77")
