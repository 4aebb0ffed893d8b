"""A fit in a process of its own, as a job runs it: TERM, USR1 and KILL at several steps, and the same bytes after."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.training.conftest import config

from longtake.models.networks.build import build, save_network

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
CODE = """
import sys
from longtake.supervise.ladder import climb_down
from tests.unit.training.test_signals import work

folder, note, slow = sys.argv[1:]
climb_down(work, {"folder": folder, "note": note, "slow": float(slow)}, attempts=[])
"""


def work(folder, note, slow):
    """Fit a small network; note each step, and wait a little after it."""
    from tests.unit.training.conftest import CLASSES, clips

    from longtake.training.dataset import FoldData
    from longtake.training.fit import fit_network
    from longtake.training.recipe import Recipe

    def told(done, _):
        with Path(note).open("a") as file:
            file.write(f"{done}\n")
        time.sleep(slow)

    data = FoldData(clips(range(10)), clips(range(10, 14)), clips(range(14, 16)), [], CLASSES, 0)
    recipe = Recipe(config(), batch=4, micro_batch=2, epochs=3)
    target = Path(folder)
    return fit_network(
        data, recipe, unit="u", folder=target, state=target / "state.safetensors", save_every_s=0.0, progress=told
    )


def started(folder, note, slow=0.0):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, str(folder), str(note), str(slow)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    assert started(folder, folder / "note").wait() == 0
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_a_fit_that_was_ended_three_times_gives_the_same_bytes(tmp_path, uninterrupted, number):
    note = tmp_path / "note"
    for step in (1, 4, 7):
        process = started(tmp_path, note, slow=0.15)
        while not (note.exists() and f"{step}\n" in note.read_text()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait() != 0
        assert not (tmp_path / "model.safetensors").exists()
    done = started(tmp_path, note)
    assert done.wait() == 0, done.stderr.read()
    assert (tmp_path / "model.safetensors").read_bytes() == uninterrupted
    assert not (tmp_path / "state.safetensors").exists()
    # Nothing was begun anew: of nine steps, those after the last end were done by the last process.
    assert int(note.read_text().split()[-1]) == 9
    assert len(note.read_text().split()) <= 9 + 3


def test_the_folder_is_that_of_a_network(tmp_path):
    save_network(build(config(), 0), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
