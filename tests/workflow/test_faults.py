"""What goes wrong on disks: nothing is lost, the failed unit alone is redone, and the bytes are the same."""

import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def annotated(fresh, tmp_path_factory):
    """The project after `annotate`."""
    project = fresh.copy(tmp_path_factory.mktemp("annotated") / "checkout")
    project.run("annotate")
    return project


def test_a_damaged_state_is_refused_by_name_and_remade(annotated, tmp_path):
    project = annotated.copy(tmp_path / "checkout")
    state = project.out / "annotate/pond-a/window-0000.state.safetensors"
    looked_at = state.stat()
    state.write_bytes(state.read_bytes()[:-100])
    os.utime(state, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))
    for name in ("annotate/pond-a/window-0001.parquet", "detections/pond-a.parquet"):
        (project.out / name).unlink()
    said = project.run("annotate", fails=True)
    assert "annotate_window pond-a 0001 failed" in said
    assert "window-0000.state.safetensors is no whole state file" in said
    assert "delete it and rerun the window that wrote it" in said
    assert "logs/annotate_window/pond-a.0001.log" in said

    state.unlink()
    jobs = project.jobs("annotate")
    assert (jobs["annotate_window"], jobs["merge_detections"]) == (3, 1), "pond-a alone, from the damage on"
    project.run("annotate")
    assert project.digests() == annotated.digests()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_fails_what_does_not_fit_and_loses_nothing(fresh, annotated, tmp_path):
    project = fresh.copy(tmp_path / "checkout")
    project.out.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", project.out], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr}")
    try:
        said = project.run("annotate", fails=True)
        assert "No space left on device" in said
        kept = project.digests()
        assert 0 < len(kept) < len(annotated.digests())
        subprocess.run(["mount", "-o", "remount,size=100m", project.out], check=True)
        project.run("annotate")
        assert project.digests() == annotated.digests()
        assert kept.items() <= project.digests().items()
    finally:
        subprocess.run(["umount", "--lazy", project.out], check=True)
