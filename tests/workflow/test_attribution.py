"""A study of volumes without any video: end to end, one volume more, one method more, a volume that cannot be read."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.workflow
NETWORK = '''
import torch
from torch import nn


class Net(nn.Module):
    """The brighter, the more it is class 1."""

    class_names = ("dark", "bright")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU())
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.features(x).mean((2, 3, 4)))


def make(device):
    return Net().to(device).eval()
'''
SETTINGS = """
device: {force_cpu: true}
attribution:
  volumes: volumes.tsv
  model: net_of_study:make
  axes: HWB
  model_axes: BHW
  methods: [gradcam, smoothgrad]
  n_samples: 2
  steps: 2
  overlay_slices: 2
"""


def volume(folder, name, bright):
    values = np.random.default_rng(len(name)).random((10, 12, 8)).astype(np.float32)
    values[2:5, 3:6, 2:5] += 2 * bright
    np.save(folder / f"{name}.npy", values)
    return f"{name}\t{name}.npy\t{'bright' if bright else 'dark'}\ttest\ts-{name}\n"


@pytest.fixture
def study(fresh, tmp_path):
    """Two volumes and a file that is none; no video."""
    made = fresh.copy(tmp_path / "study")
    (made.path / "net_of_study.py").write_text(NETWORK)
    (made.path / "broken.npy").write_bytes(b"no array")
    for name in ("videos", "prompts"):
        sheet = made.path / f"config/{name}.tsv"
        sheet.write_text(sheet.read_text().splitlines()[0] + "\n")
    (made.path / "config/config.yaml").write_text(SETTINGS)
    rows = [volume(made.path, "one", 0), volume(made.path, "two", 1), "broken\tbroken.npy\tdark\ttest\ts\n"]
    (made.path / "volumes.tsv").write_text("volume\tpath\tlabel\tsplit\tsubject\n" + "".join(rows))
    return replace(made, variables=(("PYTHONPATH", str(made.path)),))


def test_a_study_of_volumes(study):
    study.run("attribution")
    with (study.out / "attribution/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["volume"], row["status"]) for row in rows} == {("one", "ok"), ("two", "ok"), ("broken", "failed")}
    assert all("no NumPy array" in row["reason"] for row in rows if row["volume"] == "broken")
    assert np.load(study.out / "attribution/one/gradcam.npy").shape == (10, 12, 8)
    assert (study.out / "export/one.gradcam.overlay.tif").exists()
    findings = json.loads((study.out / "reports/attribution_results.json").read_text())
    assert findings["subjects"] == 3
    # What changes no number reruns nothing; nor does asking again.
    (study.path / "config/config.yaml").write_text(f"{SETTINGS}  tile: 4\n  memory_gb: 1\n")
    assert not study.jobs("attribution")
    # One volume more is one more job of a model: what was computed stays as it is.
    before = study.digests("attribution/one", "attribution/two")
    written = (study.out / "attribution/one/results.parquet").stat().st_mtime_ns
    with (study.path / "volumes.tsv").open("a") as sheet:
        sheet.write(volume(study.path, "three", 1))
    said = study.run("attribution")
    assert len(re.findall(r"Explain three", said)) == len(re.findall(r"Explain \w+", said)) == 1
    assert (study.out / "attribution/one/results.parquet").stat().st_mtime_ns == written
    assert study.digests("attribution/one", "attribution/two") == before
    assert (study.out / "attribution/three/gradcam.npy").exists()
