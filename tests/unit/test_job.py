"""The door from scripts: a record and a log for every end a job can come to."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from longtake import job as job_module
from longtake.errors import DiskFull, SheetError
from longtake.job import job
from longtake.media.windows import Window
from longtake.memory import ledger as ledger_module
from longtake.memory.budget import CONTEXT, MIB
from longtake.memory.ledger import holds, stage
from longtake.memory.meter import Meter
from longtake.supervise.ladder import Rung

SCRIPTS = Path(job_module.__file__).parents[1] / "scripts"


@pytest.fixture
def snakemake(tmp_path):
    return SimpleNamespace(
        rule="annotate_window",
        wildcards={"video": "v", "window": "0001"},
        log=[str(tmp_path / "logs" / "v.0001.log")],
        input=SimpleNamespace(),
        output=SimpleNamespace(),
        params=SimpleNamespace(window=asdict(Window("v", 1, 0, 4, 0, 3, 0.0, 0.3))),
        resources={"mem_mb": 500},
        threads=1,
        scriptdir=str(SCRIPTS),
    )


def record_of(snakemake):
    return json.loads(Path(snakemake.log[0]).with_suffix(".json").read_text())


def test_a_job_that_ends_well(snakemake):
    with job(snakemake) as it:
        assert it.window.emit_stop == 3
        logging.getLogger("longtake.somewhere").info("hello")
        it.record(frames=3, odd=float("nan"))
    record = record_of(snakemake)
    assert (record["status"], record["rule"], record["wildcards"]["window"]) == ("ok", "annotate_window", "0001")
    assert record["facts"] == {"frames": 3, "odd": None}
    assert record["rss_mb"] > 1
    assert record["requested_mem_mb"] == 500
    assert (record["budget_mb"], record["budget_by"]) == (500, "mem_mb of this job")
    assert "host memory: 0.5 GiB (mem_mb of this job)" in Path(snakemake.log[0]).read_text()
    assert "hello" in Path(snakemake.log[0]).read_text()


def test_what_the_plan_said_of_a_job_is_taken_apart_kept_and_overruled_one_by_one(snakemake):
    snakemake.resources |= {"plan": "gpu_class=a100; chunk=8; rung=1; forecast=0123", "chunk": 2, "runtime": 30}
    with job(snakemake) as it:
        assert (it.resources["rung"], it.resources["chunk"]) == (1, 2)
    asked = {"gpu_class": "a100", "chunk": 2, "rung": 1, "forecast": "0123", "runtime": 30}
    assert record_of(snakemake)["asked"] == asked


def test_a_job_that_fails_keeps_the_reason_and_ends_with_status_1(snakemake, capsys):
    with pytest.raises(SystemExit) as caught, job(snakemake):
        raise SheetError("row 7 is bad")
    assert caught.value.code == 1
    assert record_of(snakemake)["status"] == "failed"
    assert "row 7 is bad" in record_of(snakemake)["reason"]
    shown = capsys.readouterr().err
    assert "annotate_window v 0001 failed: row 7 is bad" in shown
    assert "Traceback" not in shown
    assert "Traceback" in Path(snakemake.log[0]).read_text()


def test_an_interrupt_is_recorded_too(snakemake):
    with pytest.raises(SystemExit), job(snakemake):
        raise KeyboardInterrupt
    assert "KeyboardInterrupt" in record_of(snakemake)["reason"]


def test_another_copy_of_longtake_is_refused(snakemake, tmp_path):
    snakemake.scriptdir = str(tmp_path / "workflow" / "scripts")
    with pytest.raises(SystemExit), job(snakemake):
        pass
    assert "Uninstall" in record_of(snakemake)["reason"]


def test_progress_speaks_seldom(snakemake, monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(job_module.time, "monotonic", lambda: now[0])
    with job(snakemake) as it:
        for done in range(1, 101):
            now[0] += 0.5
            it.progress(done, 100)
    lines = [line for line in capsys.readouterr().err.splitlines() if " left" in line]
    assert len(lines) == 5
    assert lines[0] == "annotate_window v 0001: 20 of 100 (20 %), 2.0 per s, 40 s left"


def test_the_meter_sees_what_was_allocated(tmp_path):
    # In a process of its own: the peak of this one was set by whatever test came before.
    code = (
        "from longtake.memory.meter import Meter, peak_rss_mb\n"
        "before = peak_rss_mb()\n"
        "with Meter() as meter:\n"
        "    block = bytearray(64 * 2**20)\n"
        "    block[::4096] = b'x' * len(block[::4096])\n"
        "    del block\n"
        "print(meter.peaks()['rss_mb'] - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS.parent, capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 100


def test_the_meter_logs_while_it_runs(caplog):
    with caplog.at_level(logging.INFO, "longtake"), Meter(interval=0.01):
        while not caplog.records:
            pass
    assert "RSS" in caplog.text


def test_the_meter_warns_once_when_memory_comes_close_to_the_budget(caplog):
    with caplog.at_level(logging.INFO, "longtake"), Meter(interval=0.01, budget=2**20):
        while len(caplog.records) < 6:
            pass
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].endswith("MiB used of the 1 this job may use")


def hungry(size, progress):
    block = b"x" * (size * 2**20)
    progress(1, 1)
    if size > 100:
        raise MemoryError
    return {"answer": len(block) // 2**20}


def test_a_job_survives_what_does_not_fit_and_its_record_tells_how(snakemake):
    rungs = (Rung("large", {"size": 150}), Rung("small", {"size": 50}))
    with job(snakemake) as it:
        it.survive(hungry, lambda _: rungs)
    record = record_of(snakemake)
    assert record["facts"] == {"answer": 50, "rung": "small"}
    assert [(attempt["rung"], attempt["status"]) for attempt in record["attempts"]] == [
        ("large", "out of memory"),
        ("small", "ok"),
    ]
    assert record["rss_mb"] >= max(attempt["rss_mb"] for attempt in record["attempts"]) > 150
    assert "out of memory (the system's allocator)" in Path(snakemake.log[0]).read_text()


def test_a_job_that_fits_nowhere_fails_with_all_its_attempts(snakemake):
    with pytest.raises(SystemExit), job(snakemake) as it:
        it.survive(hungry, lambda _: [Rung("large", {"size": 150})])
    record = record_of(snakemake)
    assert record["status"] == "failed"
    assert record["reason"].startswith("OutOfMemory: No way of running this job fits")
    assert len(record["attempts"]) == 1


def test_a_job_that_failed_before_begins_a_rung_further_down(snakemake):
    rungs = (Rung("large", {"size": 150}), Rung("middle", {"size": 50}), Rung("small", {"size": 5}))
    snakemake.resources = {"mem_mb": 500, "rung": 1}
    with job(snakemake) as it:
        it.survive(hungry, lambda _: rungs)
    record = record_of(snakemake)
    assert record["facts"] == {"answer": 50, "first_rung": "middle", "rung": "middle"}
    assert "try 2 of this job begins on the rung: middle" in Path(snakemake.log[0]).read_text()


def rounded(size, progress, approximate=""):
    if not approximate:
        raise MemoryError
    return {"reason": approximate}


@pytest.mark.parametrize("allowed", [0, 1])
def test_ways_that_are_not_exact_are_for_who_allows_them(snakemake, allowed):
    rungs = (Rung("large", {"size": 1}), Rung("rounded", {"size": 2}, errors=(lambda size: "off by 0.1 %",)))
    snakemake.resources = {"approximate": allowed}
    if allowed:
        with job(snakemake) as it:
            it.survive(rounded, lambda _: rungs)
        assert record_of(snakemake)["facts"]["reason"] == "rounded, as no exact way fits into memory; off by 0.1 %"
    else:
        with pytest.raises(SystemExit), job(snakemake) as it:
            it.survive(rounded, lambda _: rungs)
        assert "memory.allow_approximate: true" in record_of(snakemake)["reason"]


def held(size, progress):
    with stage("track"), holds("state", size * 2**20):
        return hungry(size, progress)


def test_the_record_says_who_held_the_memory_and_how_far_off_the_forecast_was(snakemake):
    snakemake.resources = {"mem_mb": 500, "host_mb": 400, "clean_up_percent": 50}
    with job(snakemake, interval=0.5) as it:
        it.survive(held, lambda _: [Rung("small", {"size": 50})])
        assert it._policy().clean_up_at == 0.5
    record = record_of(snakemake)
    assert record["ledger"]["stages"]["track"]["host"]["state"] == 50
    assert "ledger" not in record["attempts"][0]
    forecast = record["forecast"]["host"]
    assert (forecast["predicted_mb"], forecast["measured_mb"]) == (400, record["rss_mb"])
    assert forecast["error"] == pytest.approx(400 / record["rss_mb"] - 1, abs=1e-3)
    text = Path(snakemake.log[0]).read_text()
    assert text.index("memory before: RSS") < text.index("memory after: RSS")


def test_who_held_the_memory_of_a_failed_attempt_stays_with_it_and_the_forecast_has_no_error(snakemake):
    snakemake.resources = {"host_mb": 400}
    with job(snakemake) as it:
        it.survive(held, lambda _: (Rung("large", {"size": 150}), Rung("small", {"size": 50})))
    record = record_of(snakemake)
    assert record["attempts"][0]["ledger"]["stages"]["track"]["host"]["state"] == 150
    assert record["ledger"]["stages"]["track"]["host"]["state"] == 50
    assert not record["attempts"][0]["ledger"]["frugal"]
    assert record["ledger"]["frugal"]
    assert record["forecast"]["host"]["error"] is None


def split(progress, size):
    # What the allocator of a GPU would have said; there is none here.
    ledger_module._KEPT.get()._gpu = {"split_share": 0.3, "ooms": 1}
    if size > 1:
        raise MemoryError
    return {"environment": os.environ.get("PYTORCH_ALLOC_CONF", "")}


@pytest.mark.parametrize(("choice", "expected"), [("auto", True), ("never", False), (None, True)])
def test_after_a_fragmented_attempt_the_next_one_has_expandable_segments(snakemake, choice, expected, monkeypatch):
    monkeypatch.delenv("PYTORCH_ALLOC_CONF", raising=False)
    snakemake.resources = {} if choice is None else {"expandable_segments": choice}
    with job(snakemake) as it:
        it.survive(split, lambda _: (Rung("large", {"size": 2}), Rung("small", {"size": 1})))
    record = record_of(snakemake)
    assert ("expandable_segments:True" in record["facts"]["environment"]) == expected
    assert ("30 % of the GPU memory" in record["ledger"]["expandable_segments"]) == expected
    assert record["attempts"][0]["ledger"]["expandable_segments"] == ""
    assert "PYTORCH_ALLOC_CONF" not in os.environ


def test_the_forecast_of_a_gpu_is_held_against_what_pytorch_took_of_it_and_the_driver(snakemake):
    snakemake.resources = {"gpu_mb": 1500}
    with job(snakemake) as it:
        told = job_module._accounted(
            it, {"rss_mb": 1.0, "gpu_allocated_mb": 600.0, "gpu_reserved_mb": 1000.0}, alone=True
        )
    assert told["forecast"] == {"gpu": {"predicted_mb": 1500, "measured_mb": 1000 + CONTEXT / MIB, "error": 0.0}}


def missing():
    raise RuntimeError("The NVIDIA driver on your system is too old")


@pytest.mark.parametrize(
    ("built", "name", "device", "words"),
    [
        (False, lambda: "H100", "cpu", "this PyTorch is built without CUDA"),
        (True, lambda: "H100", "cuda", "device cuda: H100"),
        (True, missing, "cpu", "the GPU cannot be used (The NVIDIA driver on your system is too old)"),
    ],
)
def test_a_gpu_is_used_that_a_child_can_use_and_the_driver_does_not_begin_here(
    snakemake, monkeypatch, built, name, device, words
):
    asked = []
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(1) or True)
    monkeypatch.setattr(torch.cuda, "get_device_name", name)
    snakemake.resources = {"gpu_class": "H100"}
    with job(snakemake) as it:
        assert it.device(False) == device
        assert it.device(True) == "cpu"
    assert not asked, "only a child may ask"
    text = Path(snakemake.log[0]).read_text()
    assert words in text
    assert ("was to run on a GPU (H100)" in text) == (device == "cpu")


def on_gpu(progress, device, approximate=""):
    kept = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.deterministic)
    if not approximate:
        raise MemoryError
    return {"kept": kept}


def off(device):
    return f"TF32 {torch.backends.cudnn.allow_tf32}"


def test_on_a_gpu_numbers_are_float32s_and_the_limit_holds_for_what_measures_errors_too(snakemake, monkeypatch):
    def held_to(limit):
        with told.open("a") as file:
            file.write(f"{limit} ")

    told = Path(snakemake.log[0]).with_name("limits")
    monkeypatch.setattr(job_module, "hold_to_gpu_limit", held_to)
    snakemake.resources = {"approximate": 1, "gpu_limit_mb": 3000}
    with job(snakemake) as it:
        it.survive(on_gpu, lambda _: (Rung("exact"), Rung("lossy", errors=(off,))), device="cuda")
    record = record_of(snakemake)
    assert record["facts"]["kept"] == [False, False, True]
    assert told.read_text() == "3000 " * 3, "the exact way, the error's measure, and the way that is not"
    assert torch.backends.cudnn.allow_tf32, "as it was: children alone have it set"


def cancelled(progress):
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)


def test_a_cancelled_job_says_so_in_its_record(snakemake):
    with pytest.raises(SystemExit), job(snakemake) as it:
        it.survive(cancelled)
    assert record_of(snakemake)["reason"] == (
        "SystemExit: ended by SIGTERM: cancelled, or at the scheduler's time limit"
    )
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_memory_that_runs_out_outside_an_attempt_is_told_with_a_remedy(snakemake, capsys):
    with pytest.raises(SystemExit), job(snakemake):
        raise MemoryError
    reason = record_of(snakemake)["reason"]
    assert reason.startswith("OutOfMemory: annotate_window v 0001 ran out of memory (MemoryError")
    assert "0.5 GiB (mem_mb of this job)" in reason
    assert "Raise mem_mb" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_hides_no_reason(snakemake, monkeypatch, capsys):
    def full(path, facts):
        raise DiskFull(f"{path} cannot be written")

    monkeypatch.setattr(job_module, "write_json", full)
    with pytest.raises(SystemExit) as caught, job(snakemake):
        raise SheetError("row 7 is bad")
    assert caught.value.code == 1
    assert "failed: row 7 is bad" in capsys.readouterr().err
    assert "cannot be written" in Path(snakemake.log[0]).read_text()
    with pytest.raises(SystemExit), job(snakemake):
        pass
