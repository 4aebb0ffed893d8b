"""A folder of results belongs to one run at a time, and a run that died does not keep it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.errors import ConfigError
from longtake.store import lock

LIBRARY = Path(__file__).parents[3] / "workflow"
HOLDER = """
import sys
from pathlib import Path
from longtake.store.lock import acquire
acquire(Path(sys.argv[1]))
sys.stdout.write("held")
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "results")],
        cwd=LIBRARY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.read(4) == "held"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_is_taken_and_given_back(tmp_path):
    path = lock.acquire(tmp_path / "results")
    assert path.parent == tmp_path / "results"
    lock.release(path)
    assert list((tmp_path / "results").iterdir()) == []


def test_a_second_run_is_refused_and_told_who_holds_it(tmp_path, holder):
    with pytest.raises(ConfigError, match=rf"process {holder.pid} on .*, from {LIBRARY}.*name another output_dir"):
        lock.acquire(tmp_path / "results")
    path = tmp_path / "results" / lock.NAME
    lock.release(path)
    assert path.exists(), "it is not ours to remove"


def test_a_run_that_was_killed_does_not_keep_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    path = lock.acquire(tmp_path / "results")
    assert json.loads(path.read_text())["pid"] != holder.pid
    assert [each.name for each in path.parent.iterdir()] == [lock.NAME]


@pytest.mark.parametrize(
    ("changed", "free"),
    [
        ({"started": "1"}, True),  # another process has its number now
        ({"machine": "another-boot pid:[1]"}, True),  # the machine was started anew
        ({"host": "node-7"}, False),
    ],
)
def test_whether_a_holder_lives_is_told_where_it_can_be(tmp_path, holder, changed, free):
    path = tmp_path / "results" / lock.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    if free:
        lock.acquire(path.parent)
        return
    with pytest.raises(ConfigError, match=rf"on node-7.*If it has ended, remove {path}"):
        lock.acquire(path.parent)


def test_a_lock_in_another_container_of_this_machine_is_believed(tmp_path, holder):
    path = tmp_path / "results" / lock.NAME
    held = json.loads(path.read_text())
    boot = held["machine"].partition(" ")[0]
    path.write_text(json.dumps(held | {"machine": f"{boot} pid:[1]", "started": "1"}))
    with pytest.raises(ConfigError, match="in use by another run"):
        lock.acquire(path.parent)


@pytest.mark.parametrize("torn", ["", '{"pid": 1', "[]"])
def test_a_torn_lock_is_nobodys(tmp_path, torn):
    path = tmp_path / lock.NAME
    path.write_text(torn)
    assert lock.acquire(tmp_path) == path


def test_where_nothing_can_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="a run cannot be begun there"):
        lock.acquire(tmp_path / "file")
