import pytest

from longtake.errors import ConfigError, LatentError, SheetError
from longtake.latents.axes import axes_of, canonical, check_axes, of_pipeline
from longtake.latents.index import index_videos
from longtake.latents.layout import find_videos, shards, step_numbers


def by_video(rows):
    return {row["video"]: row for row in rows}


def test_a_study_is_found_by_its_folders_in_order_with_seeds_and_prompts(study):
    videos = find_videos(str(study))
    assert [video.video for video in videos] == [f"{group}/v{n}" for group in ("calm", "wild") for n in range(3)]
    assert step_numbers(videos) == [0, 1, 2]
    row = by_video(index_videos(videos, axes="auto"))["wild/v2"]
    assert (row["status"], row["seed"], row["prompt"], row["shape"]) == ("ok", 2, "wild", [4, 5, 12, 14])
    assert (row["dtype"], row["axes"], row["n_steps"], row["files"]) == ("float16", "BCFHW", 3, 3)
    assert [held["sigma"] for held in row["held"]] == pytest.approx([1.0, 2 / 3, 1 / 3])
    assert row["bytes"] == sum(path.stat().st_size for path in (study / "wild/v2").glob("*.npy"))


def test_a_sheet_gives_the_same_study(study):
    sheet = study.parent / "latents.tsv"
    lines = [f"v{n}\t{group}\tlatents/{group}/v{n}\t{n}" for group in ("wild", "calm") for n in range(3)]
    sheet.write_text("\n".join(["video\tgroup\tpath\tseed", *lines]) + "\n")
    of_sheet = find_videos("", "latents.tsv", base=study.parent)
    of_folder = find_videos(str(study))
    assert [video.files for video in of_sheet] == [video.files for video in of_folder]
    assert index_videos(of_sheet, axes="auto")[4]["seed"] == index_videos(of_folder, axes="auto")[4]["seed"] == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("v\tg\t\t", "row 2: column path is empty"),
        ("v\tg\ta\tx", "whole number"),
        ("v\tg\ta\t1\nv\tg\tb\t1", "already in row 2"),
        ("v/w\tg\ta\t1", "letters, digits"),
        ("v\tg\ta\t1.5", "seed is '1.5'"),
    ],
)
def test_a_line_of_a_sheet_that_cannot_be_used_is_named(tmp_path, line, words):
    (tmp_path / "s.tsv").write_text(f"video\tgroup\tpath\tseed\n{line}\n")
    with pytest.raises(SheetError, match=words):
        find_videos("", "s.tsv", base=tmp_path)


@pytest.mark.parametrize("folder", ["absent", "empty", "file"])
def test_without_a_latent_no_job_starts_and_the_layout_is_shown(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="<group>/<video>/step_000"):
        find_videos(str(tmp_path / folder))


def test_jobs_hold_whole_videos(study):
    videos = find_videos(str(study))
    assert [[video.video for video in part] for part in shards(videos, 7)] == [
        ["calm/v0", "calm/v1"], ["calm/v2", "wild/v0"], ["wild/v1", "wild/v2"],
    ]  # fmt: skip
    assert len(shards(videos, 1)) == 6
    assert len(shards(videos, 1000)) == 1


def test_steps_that_are_not_asked_for_are_left_out(study):
    assert [file.step for file in find_videos(str(study), steps=[0, 2])[0].files] == [0, 2]


@pytest.mark.parametrize("steps", [(0, 5, 10), (1, 2, 3), (7,), (10, 20), (998, 999, 1000, 1001)])
def test_regular_gaps_and_steps_beyond_999_are_legal(tmp_path, disk, steps):
    disk.save_video(tmp_path / "g/v", disk.noise(shape=(len(steps), 2, 3, 4, 5)), steps=steps)
    (video,) = find_videos(str(tmp_path))
    assert not video.trouble
    assert tuple(file.step for file in video.files) == steps


def test_a_step_that_is_missing_is_named_or_kept_as_asked(tmp_path, disk):
    disk.save_video(tmp_path / "g/v", disk.noise(shape=(4, 2, 3, 4, 5)), steps=(0, 5, 10, 20))
    assert "step 15 is missing" in find_videos(str(tmp_path))[0].trouble
    (kept,) = find_videos(str(tmp_path), keep_missing=True)
    assert not kept.trouble
    assert "step 15 is missing" in kept.notices[0]


def test_axes_follow_the_pipeline_and_contradictions_are_refused():
    shape = (1, 13, 16, 60, 90)
    axes = axes_of("auto", 5, {"pipeline": "CogVideoXPipeline"}, "a")
    assert canonical(shape, axes, "a") == (16, 13, 60, 90)
    assert axes_of("auto", 5, {}, "a") == "BCFHW"
    assert axes_of("BFHWC", 4, {}, "a") == "FHWC"
    assert of_pipeline("WanPipeline") == "BCFHW"
    for ndim, metadata, words in (
        (3, {}, "3 dimensions"), (5, {"axes": "BFCHW"}, "latents.axes is BCFHW"),
        (5, {"axes": "XYZ"}, "order of BCFHW"),
    ):  # fmt: skip
        with pytest.raises(LatentError, match=words):
            axes_of("BCFHW", ndim, metadata, "a")
    with pytest.raises(LatentError, match="packed"):
        axes_of("auto", 5, {"pipeline": "LTXPipeline"}, "a")
    with pytest.raises(LatentError, match="Did you mean 'WanPipeline'"):
        of_pipeline("WanPipelin")
    with pytest.raises(ConfigError, match="each of B, C, F, H and W"):
        check_axes("BCHW")
