"""Training as a workflow: from a sheet to the leaderboard, and what a change makes anew."""

import csv
import shutil

import pytest
from tests.conftest import Project
from tests.unit.training.conftest import swimmer

from longtake.store.tables import read_table
from longtake.training.tables import CLIPS, FOLDS

VIDEOS = 12
CONFIG = """
device: {force_cpu: true}
training:
  sheet: config/training.tsv
  frames: 8
  size: 32
  folds: 2
  inner: 0.4
  shard: 5
  models: [small_cnn]
  controls: [metadata, shuffled]
  batch: 4
  epochs: 1
  patience: 1
"""


def write_sheet(path, count):
    """Two videos a group, one of either label."""
    rows = [f"swim-{n:02d}\tmedia/swim-{n:02d}.mp4\t{('left', 'right')[n % 2]}\tg{n // 2}\n" for n in range(count)]
    (path / "config/training.tsv").write_text("video\tpath\tlabel\tgroup\n" + "".join(rows))


def prepare(fresh, folder):
    """A project whose sheets of videos and prompts are empty, with a sheet of labelled videos."""
    project = fresh.copy(folder)
    shutil.rmtree(folder / "media")
    (folder / "media").mkdir()
    for name in ("videos", "prompts"):
        sheet = folder / f"config/{name}.tsv"
        sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    for number in range(VIDEOS + 1):
        swimmer(folder / f"media/swim-{number:02d}.mp4", number, left=number % 2 == 0, seconds=1.0)
    write_sheet(folder, VIDEOS)
    (folder / "config/config.yaml").write_text(CONFIG)
    return project


@pytest.fixture(scope="module")
def trained(fresh, once):
    """A finished study."""
    return Project(once("trained", lambda folder: prepare(fresh, folder / "checkout").run("all")) / "checkout")


@pytest.fixture
def study(trained, tmp_path):
    return trained.copy(tmp_path / "checkout")


def test_from_a_sheet_to_the_leaderboard(trained):
    training = trained.out / "training"
    with (training / "leaderboard.csv").open(newline="") as file:
        board = {(row["model"], row["control"]): row["folds"] for row in csv.DictReader(file)}
    assert board == {
        ("small_cnn", ""): "2 of 2 folds",
        ("small_cnn", "shuffled"): "2 of 2 folds",
        ("logistic_regression", "metadata"): "2 of 2 folds",
    }
    assert (training / "figures" / "leaderboard.png").exists()
    assert (training / "figures" / "leaderboard.pdf").exists()
    report = (trained.out / "report.html").read_text()
    assert "Training on folds" in report
    assert "small_cnn" in report
    plan = (trained.out / "plan" / "jobs.tsv").read_text()
    assert plan.count("training_fit\t") == 2
    assert "training_fit" in (trained.out / "reports" / "memory.tsv").read_text()
    assert trained.jobs("all") == {}


def test_a_changed_rate_trains_anew_and_makes_no_clip(study):
    (study.path / "config/config.yaml").write_text(CONFIG + "  learning_rate: 0.01\n")
    found = study.jobs("training")
    assert found["training_fit"] == 2
    assert not {"training_clips", "training_folds", "training_features", "training_baseline"} & set(found)


def test_memory_settings_make_nothing_anew(study):
    (study.path / "config/config.yaml").write_text(CONFIG + "  checkpoint_minutes: 3\nmemory: {margin: 1.5}\n")
    found = study.jobs("training")
    assert not {name for name in found if name.startswith("training_")} - {"training"}


def test_another_augmentation_makes_augmented_clips_alone(study):
    store = study.out / "training" / "store"
    before = {path.stem for path in store.rglob("*.safetensors")}
    rows = read_table(study.out / "training" / "clips.parquet", CLIPS).to_pylist()
    originals = {row["key"] for row in rows if row["kind"] == "original"}
    (study.path / "config/config.yaml").write_text(CONFIG + "  augment: {rotate: {p: 1.0, degrees: 30.0}}\n")
    study.run("results/training/folds.parquet")
    rows = read_table(study.out / "training" / "clips.parquet", CLIPS).to_pylist()
    assert {row["key"] for row in rows if row["kind"] == "original"} == originals
    assert len({row["key"] for row in rows} - before) == VIDEOS


def test_one_more_video_is_read_alone_and_its_own_fold_keeps_its_training(study):
    folds = {row["video"]: row for row in read_table(study.out / "training" / "folds.parquet", FOLDS).to_pylist()}
    # Given back, the folds stay as they were; the new video is of an old group.
    lines = (study.path / "config/training.tsv").read_text().splitlines()
    fold_of = {row["group"]: row["fold"] for row in folds.values()}
    given = [f"{line}\t{fold_of[line.split(chr(9))[3]]}" for line in lines[1:]]
    (study.path / "config/training.tsv").write_text("\n".join([lines[0] + "\tfold", *given]) + "\n")
    study.run("results/training/folds.parquet")
    assert study.jobs("training")["training_fit"] == 0
    new = f"swim-12\tmedia/swim-12.mp4\tleft\tg0\t{fold_of['g0']}\n"
    with (study.path / "config/training.tsv").open("a") as sheet:
        sheet.write(new)
    text = study.run("results/training/folds.parquet")
    # One shard is made again; within it what is known of the other videos is taken as it is (tests/unit/training).
    assert text.count("(Rule: training_clips)") == 1
    assert study.jobs("training")["training_fit"] == 1


def test_undeclared_copies_end_the_run_before_any_training(study):
    shutil.copy(study.path / "media/swim-00.mp4", study.path / "media/copy.mp4")
    with (study.path / "config/training.tsv").open("a") as sheet:
        sheet.write("copy\tmedia/copy.mp4\tleft\tother\n")
    text = study.run("training", fails=True)
    assert "'copy'" in text
    assert "'swim-00'" in text
    assert "training_fit" not in text.partition("Job stats")[2].partition("Error")[2]


def test_a_broken_video_is_left_out_and_the_others_go_on(study):
    (study.path / "media/swim-03.mp4").write_bytes(b"no video")
    study.run("results/training/folds.parquet")
    rows = read_table(study.out / "training" / "folds.parquet", FOLDS).to_pylist()
    assert len(rows) == VIDEOS - 1
    clips = read_table(study.out / "training" / "clips.parquet", CLIPS).to_pylist()
    failed = [row for row in clips if row["status"] == "failed"]
    assert [row["video"] for row in failed] == ["swim-03"]
    assert failed[0]["reason"]
