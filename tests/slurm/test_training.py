"""A fit that the scheduler ends again and again: the same bytes as one that nobody ended."""

import re
import time

import pytest
from tests.workflow.test_training import prepare

TARGET = "results/training/small_cnn/fold-0/model.safetensors"
COMMENT = "rule_training_fit_wildcards_small_cnn_0"
# Many more epochs than the small study has, so that there is something to end.
LONG = ("epochs: 1\n", "epochs: 150\n"), ("patience: 1\n", "patience: 150\n")


@pytest.fixture(scope="module")
def uninterrupted(fresh, once):
    """A study whose first fit is done, on this machine."""

    def make(folder):
        project = prepare(fresh, folder / "checkout")
        config = project.path / "config/config.yaml"
        text = config.read_text()
        for one, other in LONG:
            assert one in text
            text = text.replace(one, other)
        config.write_text(text)
        project.run(TARGET)

    return fresh.__class__(once("long-fit", make) / "checkout")


def process_of(log):
    """The number of the process that wrote this log; empty where there is none yet."""
    found = re.search(r"training_fit .* process (\d+)", log.read_text()) if log.exists() else None
    return found[1] if found else ""


def test_a_fit_ended_at_nine_steps_by_three_signals_gives_the_same_bytes(uninterrupted, on, cluster, tmp_path):
    whole = (uninterrupted.path / TARGET).read_bytes()
    project = on(uninterrupted.copy(tmp_path / "checkout"), "--retries=9")
    project.run("plan")
    project.forget("training/small_cnn/fold-0/*", "logs/training_fit/*")
    log = project.out / "logs/training_fit/small_cnn.0.log"
    driver = project.start(TARGET, said=tmp_path / "driver.log")
    ended: dict[str, str] = {}
    for number, signal in enumerate(("TERM", "USR1", "KILL") * 3):
        end = time.monotonic() + 300
        # Every try writes a log of its own.
        while (process := process_of(log)) in {"", *ended}:
            assert driver.poll() is None, (tmp_path / "driver.log").read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.2)
        time.sleep(0.5 + 0.2 * number)
        ended[process] = cluster.jobs()[COMMENT]["JobId"]
        cluster.ask("scancel", f"--signal={signal}", ended[process])
    assert driver.wait(timeout=600) == 0, (tmp_path / "driver.log").read_text()[-3000:]
    assert len(set(ended.values())) == 9, "each end was of a job of its own"
    assert (project.path / TARGET).read_bytes() == whole
