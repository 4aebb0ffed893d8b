"""A study of latents through the workflow: without a video, with bad ones, killed, extended, and told what is wrong."""

import json
import os
import signal
import time

import numpy as np
import pytest

from longtake.latents.demo import write_latent
from longtake.streams import stream

OPTIONS = {"folder": "latents", "latents_per_job": 8, "permutations": 100, "separability": False,
           "families": ["spatial", "temporal"]}  # fmt: skip
TABLES = ("videos", "metrics", "channels", "spectra", "trajectories", "trajectory_steps", "groups", "group_steps",
          "tests", "separability")  # fmt: skip


def add_video(project, group, seed, steps=2):
    for step in range(steps):
        latent = stream(seed, f"{group} {step}", "test").standard_normal((1, 2, 4, 16, 16)).astype(np.float16)
        write_latent(project.path / "latents" / group / f"v{seed}", step, latent, {"seed": seed, "step": step})


@pytest.fixture
def study(bare):
    for group in ("calm", "wild"):
        for seed in range(3):
            add_video(bare, group, seed)
    (bare.path / "latents/calm/v0/step_001.npy").write_bytes(b"")
    settings = {"device": {"force_cpu": True}, "latents": OPTIONS}
    (bare.path / "config/config.yaml").write_text(json.dumps(settings))
    return bare


def facts(project):
    records = [json.loads(path.read_text()) for path in sorted((project.out / "logs/latents_shard").glob("*.json"))]
    return [(record["facts"]["latents_measured"], record["facts"]["latents_kept"]) for record in records]


def test_a_study_goes_from_files_to_the_report_and_an_added_video_is_measured_alone(study):
    study.run("all")
    for name in TABLES:
        assert (study.out / f"latents/{name}.parquet").is_file()
    assert (study.out / "latents/grams/step-001.npy").is_file()
    assert json.loads((study.out / "reports/structure_aware_analysis_results.json").read_text())["study"]["groups"]
    assert {path.suffix for path in (study.out / "figures/latents").iterdir()} == {".png", ".pdf"}
    page = (study.out / "report.html").read_text()
    assert "Structure of latents" in page
    assert "step_001.npy is empty" in page
    assert sum(measured for measured, _ in facts(study)) == 10
    assert not study.jobs("latents")
    before = study.digests("latents/grams")
    add_video(study, "calm", 9)
    study.run("latents")
    assert sum(measured for measured, _ in facts(study)) == 2
    assert before != study.digests("latents/grams")


def test_a_job_that_was_killed_goes_on_to_the_same_bytes(study):
    target = "results/latents/shards/0000/videos.parquet"
    settings = {"device": {"force_cpu": True}, "latents": OPTIONS}
    tight = {**settings, "latents": OPTIONS | {"memory_gb": 0.05}}
    (study.path / "config/config.yaml").write_text(json.dumps(tight))
    assert "latents.memory_gb is 0.05, but measuring" in study.run(target, fails=True)
    assert not list((study.out / "latents").glob("work/*/*.json"))
    # A limit that holds it changes nothing.
    settings["latents"] = OPTIONS | {"memory_gb": 64}
    (study.path / "config/config.yaml").write_text(json.dumps(settings))
    running = study.start(target, said=study.path / "said.txt")
    first = study.out / "latents/work/calm/v1.json"
    began = time.monotonic()
    while not first.exists() and running.poll() is None and time.monotonic() - began < 120:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    study.run("--unlock")
    study.run(target, "--rerun-incomplete")
    assert facts(study)[0][1] > 0
    whole = study.digests("latents/shards")
    (study.path / "config/config.yaml").write_text(json.dumps({**settings, "latents": OPTIONS | {"read_ahead": 0}}))
    study.forget("latents/work/*/*.json", "latents/shards/0000/*.parquet")
    study.run(target)
    assert facts(study)[0][1] == 0
    assert study.digests("latents/shards") == whole


def test_what_is_wrong_with_the_settings_is_said_before_a_job_starts(study):
    for settings, words in (
        ({"folder": "nowhere"}, "<group>/<video>/step_000"),
        ({"folder": "latents", "baseline": "clam"}, "Did you mean 'calm'"),
        ({"folder": "latents", "order": ["wild", "x"]}, "no group of the study"),
        ({"folder": "latents", "axes": "BCWH"}, "each of B, C, F, H and W"),
        ({"folder": "latents", "sheet": "a.tsv"}, "Give one of them"),
    ):
        (study.path / "config/config.yaml").write_text(json.dumps({"latents": settings}))
        assert words in study.run("-n", fails=True)


def test_a_large_study_is_planned_without_opening_a_file(study):
    for seed in range(10, 40):
        folder = study.path / "latents/wild" / f"v{seed}"
        folder.mkdir()
        for step in range(2):
            os.link(study.path / "latents/wild/v0" / f"step_{step:03d}.npy", folder / f"step_{step:03d}.npy")
    jobs = study.jobs("latents")
    assert jobs["latents_index"] == jobs["latents_shard"] == 9
