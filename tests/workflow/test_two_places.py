"""One folder of results, and two working directories, or one that has lost Snakemake's records."""

import json
import os
import shutil

import pytest

from longtake.store import lock

TARGET = "results/plan/windows.tsv"
OTHER = ("--config", "frame_interval=10")


@pytest.fixture
def cut(once, fresh):
    """The project after its videos were cut."""

    def make(folder):
        fresh.copy(folder / "checkout").run(TARGET)

    return type(fresh)(once("cut", make) / "checkout")


def test_without_snakemakes_records_other_settings_are_refused_and_the_same_go_on(cut, tmp_path):
    project = cut.copy(tmp_path / "checkout")
    assert project.jobs(TARGET, *OTHER) == {"windows": 1}, "what Snakemake knows of, it redoes"
    shutil.rmtree(project.path / ".snakemake")
    assert not project.jobs(TARGET)
    for dry in (["-n"], []):
        said = project.run(*dry, TARGET, *OTHER, fails=True)
        assert "frame_interval is 10 here and was 5" in said
        assert "or remove results" in said


def test_another_directory_may_go_on_with_the_same_settings_only(cut, tmp_path):
    project, other = cut.copy(tmp_path / "checkout"), cut.copy(tmp_path / "other")
    shutil.rmtree(other.path / ".snakemake")
    shutil.rmtree(other.out)
    there = ("--config", f"output_dir={project.out}")
    target = str(project.out / "plan/windows.tsv")
    (project.out / "plan/windows.tsv").unlink()
    other.run(target, *there)
    assert (project.out / "plan/windows.tsv").read_text() == (cut.out / "plan/windows.tsv").read_text()
    made = json.loads((project.out / "made.json").read_text())
    assert sorted(made["made_by"].values())[-1] == str(other.path)
    for place, options in ((other, (*there, "frame_interval=10")), (project, OTHER)):
        said = place.run("-n", target if place is other else TARGET, *options, fails=True)
        assert "frame_interval is 10 here and was 5" in said


def test_a_run_from_another_directory_is_refused_while_one_is_at_work(cut, tmp_path):
    project = cut.copy(tmp_path / "checkout")
    (project.path / TARGET).unlink()
    lock.acquire(project.out)  # by the process that runs the tests
    held = (project.out / lock.NAME).read_text()
    said = project.run(TARGET, fails=True)
    assert f"is in use by another run: process {os.getpid()}" in said
    assert not (project.path / TARGET).exists()
    assert project.jobs(TARGET) == {"windows": 1}, "a dry run writes nothing, and is not kept from it"
    (project.out / lock.NAME).write_text(json.dumps(json.loads(held) | {"started": "1"}))
    project.run(TARGET)
    assert not (project.out / lock.NAME).exists(), "taken over from one that has died, and given back"
