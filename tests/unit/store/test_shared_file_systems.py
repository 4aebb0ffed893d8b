"""What a parallel file system must not be asked: renames between folders, locks, databases, files in places unasked."""

import ast
import os
from pathlib import Path

import pytest

from longtake.store.atomic import atomic_path

LIBRARY = Path(__file__).parents[3] / "workflow" / "longtake"
# Locks are slow or missing there, and a database of many writers comes to harm.
REFUSED = {"sqlite3", "fcntl", "dbm", "shelve", "filelock"}
# Folders made without a place lie in TMPDIR. What these put there is small: what a child returns, a few frames.
WITHOUT_A_PLACE = {"annotate/trial.py", "gradients/resident.py", "supervise/child.py"}


def calls(path, name):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            found = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if found == name:
                yield node


def test_a_file_is_on_disk_before_it_has_its_name_and_never_leaves_its_folder(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(str(Path(f"/proc/self/fd/{number}").readlink())), sync(number))
    )
    monkeypatch.setattr(Path, "replace", lambda old, new: (done.append((str(old), str(new))), replace(old, new)))
    with atomic_path(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"whole")
    assert done == [str(temporary), (str(temporary), str(tmp_path / "x.bin"))]
    assert temporary.parent == tmp_path


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_locks_no_database_and_no_files_in_places_unasked(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not imported & REFUSED
    named = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [value for value in named if value.startswith("/tmp/")]
    for maker in (
        "mkstemp",
        "mkdtemp",
        "NamedTemporaryFile",
        "TemporaryFile",
        "SpooledTemporaryFile",
        "TemporaryDirectory",
    ):
        for call in calls(path, maker):
            placed = any(word.arg == "dir" for word in call.keywords)
            assert placed or str(path.relative_to(LIBRARY)) in WITHOUT_A_PLACE, f"{path}:{call.lineno}: {maker}"
