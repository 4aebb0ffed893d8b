"""What killed processes left is removed; what belongs to anyone else is not. And a disk that is full is called so."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import longtake
from longtake.errors import DiskFull
from longtake.store import atomic, leftovers
from longtake.store.atomic import atomic_path, write_text

WRITE = """
import sys, time
from longtake.store.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    print(temporary.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer():
    """A function: a process that is writing a file, and the name of its temporary one."""
    begun = []

    def begin(path):
        environment = {**os.environ, "PYTHONPATH": str(Path(longtake.__file__).parents[1])}
        command = [sys.executable, "-c", WRITE, str(path)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return begun[-1], path.parent / begun[-1].stdout.readline().strip()

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path, writer):
    killed, left = writer(tmp_path / "a.parquet")
    _, written = writer(tmp_path / "b.parquet")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.exists()
    others = [tmp_path / ".hidden.parquet", tmp_path / ".a.abcdefgh.parquet", tmp_path / "longtake-notes.txt"]
    for path in others:
        path.touch()
    write_text(tmp_path / "c.txt", "x")
    assert not left.exists()
    assert written.exists()
    assert all(path.exists() for path in others)


def test_a_number_that_was_given_to_another_process(tmp_path):
    place, process, began = leftovers.mark().split("-")
    reused, own = (tmp_path / f".a.{place}-{process}-{ticks}-abcdefgh.txt" for ticks in (int(began) - 1, began))
    reused.touch()
    own.touch()
    assert leftovers.sweep(tmp_path) == [reused]
    assert own.exists()


def test_files_of_another_machine_are_left_until_they_are_old(tmp_path):
    young, old = (tmp_path / f".a.0123abcd-1-{ticks}-abcdefgh.txt" for ticks in (1, 2))
    young.touch()
    old.touch()
    weeks_ago = time.time() - 14 * 24 * 3600
    os.utime(old, (weeks_ago, weeks_ago))
    assert leftovers.sweep(tmp_path) == [old]


def test_folders_of_scratch_and_links(tmp_path):
    place = leftovers.mark().split("-")[0]
    scratch, link = tmp_path / f"longtake-{place}-4194304-5-abcdefgh", tmp_path / f".a.{place}-4194304-5-abcdefgh.txt"
    kept = tmp_path / "kept"
    for folder in (scratch, kept):
        folder.mkdir()
        (folder / "file").touch()
    link.symlink_to(kept)
    assert set(leftovers.sweep(tmp_path)) == {scratch, link}
    assert (kept / "file").exists()


def test_a_folder_that_cannot_be_looked_at_is_nobodys_trouble(tmp_path):
    assert leftovers.sweep(tmp_path / "nowhere") == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so_with_a_remedy(tmp_path, number):
    said = r"a\.txt cannot be written: its disk.* is full.*Make room, or set output_dir"
    with pytest.raises(DiskFull, match=said), atomic_path(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_writers_that_say_it_in_their_own_way(tmp_path, monkeypatch):
    """torch and safetensors raise errors of their own kinds; whether there is room tells the disk."""
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(DiskFull), atomic_path(tmp_path / "a.txt"):
        raise RuntimeError("stream failed")
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="stream failed"), atomic_path(tmp_path / "a.txt"):
        raise RuntimeError("stream failed")


def test_on_a_disk_that_is_really_full(tmp_path):
    """/dev/full takes nothing."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(DiskFull), atomic_path(tmp_path / "a.txt"), Path("/dev/full").open("w") as file:
        file.write("x" * 100_000)
