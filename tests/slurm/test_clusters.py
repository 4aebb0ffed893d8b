"""Each example in config/clusters, as the scheduler understands what jobs ask for by it."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from longtake.planning.classes import read_classes

ROOT = Path(__file__).parents[2]
# What a job of each class becomes in the scheduler, and the nodes on which it can run.
TARGETS = [f"results/annotate/{video}/window-0000.parquet" for video in ("pond-a", "pond-b")]
SMALL, LARGE = {"small-1", "small-2"}, {"large"}
EXPECTED = {
    "by-model": {
        "T4": ({"TresPerJob": "gres:gpu:t4:1", "Partition": "batch"}, SMALL),
        "A100": ({"TresPerJob": "gres:gpu:a100:1", "Partition": "batch"}, LARGE),
    },
    "by-gres": {
        "T4": ({"TresPerNode": "gres:gpu:t4:1", "Partition": "gpu-small"}, SMALL),
        "A100": ({"TresPerNode": "gres:gpu:a100:1", "Partition": "gpu-large"}, LARGE),
    },
    "by-feature": {
        "16 GB or more": ({"TresPerJob": "gres:gpu:1", "Features": "gpu_mem_16gb|gpu_mem_40gb"}, SMALL | LARGE),
        "40 GB": ({"TresPerJob": "gres:gpu:1", "Features": "gpu_mem_40gb"}, LARGE),
    },
    "by-share": {
        "8 GB of a GPU": ({"TresPerJob": "gres:gpu:1", "TresPerNode": "gres:vram:8G"}, SMALL | LARGE),
        "half a GPU": ({"TresPerNode": "gres:shard:4"}, SMALL | LARGE),
    },
}
# In place of following objects: says which GPU its step sees.
STUB = """import os
from pathlib import Path
for path in snakemake.output:
    Path(path).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""


def test_every_example_is_tried():
    files = {path.stem: read_classes(path) for path in ROOT.glob("config/clusters/*.yaml")}
    assert files.keys() == EXPECTED.keys()
    for name, classes in files.items():
        assert EXPECTED[name].keys() <= {each.name for each in classes}


@pytest.fixture(scope="module")
def asked(through_slurm, tmp_path_factory):
    """A project for each example, in whose plan pond-a takes the smaller class and pond-b the larger, after one window
    of each has run as a stub."""
    projects, drivers = {}, {}
    for name, classes in EXPECTED.items():
        project = through_slurm.copy(tmp_path_factory.mktemp(name) / "checkout")
        config = project.path / "config/config.yaml"
        config.write_text(config.read_text().replace("by-model.yaml", f"{name}.yaml"))
        (project.path / "workflow/scripts/annotate_window.py").write_text(STUB)
        replace(project, options=("--cores=1", "--nocolor")).run("plan")
        plan_classes(project, dict(zip(("pond-a", "pond-b"), classes, strict=True)))
        project.forget("annotate/*/window-0000*")
        projects[name], drivers[name] = project, project.start(*TARGETS, said=project.path / "driver.log")
    for name, driver in drivers.items():
        assert driver.wait(timeout=900) == 0, (projects[name].path / "driver.log").read_text()[-3000:]
    return projects


def plan_classes(project, classes):
    path = project.out / "plan/jobs.tsv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    looked_at = path.stat()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "device": "cuda", "gpu_class": classes[row["subject"]]} for row in rows)
    os.utime(path, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "video", "place"), [(name, f"pond-{'ab'[at]}", at) for name in EXPECTED for at in (0, 1)]
)
def test_a_request_reaches_the_scheduler_and_its_step_gets_the_gpu(asked, cluster, window, name, video, place):
    said = (asked[name].path / "driver.log").read_text()
    submitted = re.findall(r"SLURM jobid (\d+) \(log: \S*/(pond-.)_0000/", said)
    (number,) = [job for job, of in submitted if of == video]
    (job,) = [job for job in cluster.submissions() if job["JobId"] == number]
    request, nodes = list(EXPECTED[name].values())[place]
    assert {key: job.get(key) for key in request} == request
    assert job["NodeList"] in nodes
    assert (asked[name].out / f"annotate/{video}/window-0000.parquet").read_text().isdigit()
