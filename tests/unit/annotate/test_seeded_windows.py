"""A video without any prompt, from its windows to its table: objects with ids, found where a window begins."""

from dataclasses import replace

import pytest

from longtake.annotate import window as window_module
from longtake.annotate.merge import merge_video
from longtake.annotate.seeding import CRITERIA
from longtake.annotate.sheet import SEEDED
from longtake.annotate.window import annotate_window
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS, PROMPTS
from longtake.store.tables import read_table

FRAMES = 40
# The random model of these tests is sure of nothing.
LOOSE = replace(CRITERIA, points_per_side=4, least_area=0.0, most_area=0.4, uncovered=0.1, most=1)


@pytest.fixture(scope="module")
def video(make_video):
    return make_video("pond", FRAMES)


@pytest.fixture
def run(video, model_dir, tmp_path, monkeypatch):
    """Annotate a video in two windows that overlap and merge them; give the rows, and the tables' folder."""
    monkeypatch.setattr(window_module, "CRITERIA", LOOSE)

    def go(prompts=(), name="it", *, continuity="chain", dense_seeding="auto", species="carp", stability=0.0):
        folder = tmp_path / name
        windows = [Window("pond", 0, 0, 24, 0, 16, 0.0, 2.4), Window("pond", 1, 16, FRAMES, 16, FRAMES, 1.6, 4.0)]
        chain, state = continuity == "chain", None
        for each in windows:
            annotate_window(
                video_path=video[0],
                index_path=video[1],
                window=each,
                prompts=prompts,
                model_dir=model_dir,
                scale=1.0,
                frame_interval=4,
                state_in=state,
                detections_out=folder / f"{each.window}.parquet",
                state_out=folder / f"{each.window}.safetensors" if chain else None,
                continuity=continuity,
                dense_seeding=dense_seeding,
                seed_predicted_iou=0.0,
                seed_stability=stability,
                species=species,
            )
            state = folder / f"{each.window}.safetensors" if chain else None
        merge_video(
            windows=[folder / "0.parquet", folder / "1.parquet"],
            backward=[],
            video_path=video[0],
            index_path=video[1],
            prompts=prompts,
            frame_interval=4,
            overlap_iou=0.5,
            dense_seeding=dense_seeding,
            detections_out=folder / "all.parquet",
            agreement_out=folder / "agreement.parquet",
            prompts_out=folder / "prompts.parquet",
        )
        return read_table(folder / "all.parquet", DETECTIONS).to_pylist(), folder

    return go


@pytest.mark.parametrize("continuity", ["chain", "overlap"])
def test_objects_get_ids_without_any_prompt(run, continuity):
    rows, folder = run(continuity=continuity)
    names = {row["object"] for row in rows}
    # Independent windows find it each for itself, and it is joined.
    assert {name[:9] for name in names} == ({"auto-0000", "auto-0001"} if continuity == "chain" else {"auto-0000"})
    assert all(SEEDED.fullmatch(name) for name in names)
    keys = [(row["frame"], row["object"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert {row["frame"] for row in rows} == set(range(0, FRAMES, 4))
    assert {row["label"] for row in rows} == {"carp"}
    first = {name: min(frame for frame, other in keys if other == name) for name in names}
    assert all(row["prompted"] for row in rows if row["frame"] == first[row["object"]])
    assert read_table(folder / "prompts.parquet", PROMPTS).num_rows == 0


def test_seeds_go_on_in_the_next_window_and_leave_room_for_late_ones(run):
    rows, _ = run()
    begun = {row["object"]: row["frame"] for row in rows if row["prompted"]}
    assert {begun[name] for name in begun if name.startswith("auto-0001")} == {16}
    late = {row["object"] for row in rows if row["frame"] == FRAMES - 4}
    assert any(name.startswith("auto-0000") for name in late)


def test_the_same_video_gives_the_same_bytes(run):
    folders = [run(name=name)[1] for name in ("one", "two")]
    for name in ("0.parquet", "1.parquet", "1.safetensors", "all.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize(
    ("prompted", "dense_seeding", "seeds"),
    [(False, "never", False), (True, "auto", False), (True, "never", False), (True, "always", True)],
)
def test_when_seeds_are_sought(run, prompt, prompted, dense_seeding, seeds):
    prompts = [prompt("a", 4, label="eel")] if prompted else []
    rows, _ = run(prompts, dense_seeding=dense_seeding)
    names = {row["object"] for row in rows}
    assert any(map(SEEDED.fullmatch, names)) == seeds
    assert ("a" in names) == prompted
    assert {row["label"] for row in rows if row["object"] == "a"} <= {"eel"}


def test_without_a_species_an_object_is_unlabelled(run):
    rows, _ = run(species="")
    assert {row["label"] for row in rows} == {"unlabelled"}


def test_the_settings_decide_what_is_good_enough(run):
    assert run(stability=0.0)[0]
    assert not run(name="strict", stability=1.0)[0]
