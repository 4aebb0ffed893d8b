"""Names that a shell would run: nobody runs them, and their jobs do what they are asked to."""

import json

import pytest


def renamed(project, name):
    """The project with the video pond-b called by `name`."""
    (project.path / "media/pond-b.mp4").rename(project.path / "media" / name)
    sheet = project.path / "config/videos.tsv"
    sheet.write_text(sheet.read_text().replace("pond-b.mp4", name))
    return project


def test_a_shell_runs_nothing_of_a_path(on, fresh, tmp_path):
    project = renamed(on(fresh.copy(tmp_path / "my $here $(touch ran-1)")), "a$(touch ran-2) `touch ran-3` &;.mp4")
    project.run("results/probe/pond-b.json")
    found = json.loads((project.out / "probe/pond-b.json").read_text())
    assert (found["status"], found["frames"] > 0) == ("ok", True)
    assert not list(tmp_path.rglob("ran-*"))


@pytest.mark.parametrize("where", ["folder", "sheet"])
def test_what_snakemake_would_quote_wrong_is_refused_before_a_job_is_submitted(on, fresh, tmp_path, cluster, where):
    name = "it's $(touch ran-1)"
    project = on(fresh.copy(tmp_path / (name if where == "folder" else "here")))
    if where == "sheet":
        renamed(project, f"{name}.mp4")
    before = len(cluster.submissions())
    said = project.run("results/probe/pond-b.json", fails=True)
    assert "ConfigError: The path" in said
    assert "link to it by another name" in said
    assert len(cluster.submissions()) == before
    assert not list(tmp_path.rglob("ran-*"))
