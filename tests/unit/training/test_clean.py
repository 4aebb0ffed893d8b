"""Clean-up lists before it removes, and touches nothing else."""

import pytest

from longtake.training.clean import main, removable


@pytest.fixture
def run(tmp_path):
    """A folder of results with a clip that no table names, a state, and things of other people."""
    base = tmp_path / "results" / "training"
    for name in ("store/ab/abc.safetensors", "work/small_cnn.0.state.safetensors", "work/clips/a.json", "mine.mp4"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(b"12345")
    outside = tmp_path / "elsewhere.safetensors"
    outside.write_bytes(b"x")
    (base / "store" / "ab" / "link.safetensors").symlink_to(outside)
    return tmp_path / "results"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_goes_without_yes(run, capsys):
    before = files(run)
    assert main([str(run)]) == 0
    told = capsys.readouterr().out
    assert "unused clips: 1 files" in told
    assert "states of fits: 1 files" in told
    assert files(run) == before


def test_yes_removes_what_was_listed_and_no_more(run):
    assert main([str(run), "--yes"]) == 0
    assert files(run) == ["training/mine.mp4", "training/store/ab/link.safetensors", "training/work/clips/a.json"]
    assert (run.parent / "elsewhere.safetensors").exists()


def test_a_lock_is_respected(run, monkeypatch, capsys):
    monkeypatch.chdir(run.parent)
    (run.parent / ".snakemake" / "locks").mkdir(parents=True)
    (run.parent / ".snakemake" / "locks" / "0.output.lock").touch()
    assert main([str(run), "--yes"]) == 1
    assert "works in this folder" in capsys.readouterr().err
    assert len(removable(run)) == 2


def test_a_folder_of_no_run_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), "--yes"]) == 1
    assert "holds no folder" in capsys.readouterr().err
