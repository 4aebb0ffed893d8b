"""A study of volumes without any video: end to end, one volume more, one method more, a volume that cannot be read."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.workflow


@pytest.fixture
def study(volumes_study, tmp_path):
    made = volumes_study.copy(tmp_path / "study")
    return replace(made, variables=(("PYTHONPATH", str(made.path)),))


def test_a_study_of_volumes(study, new_volume):
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
    config = study.path / "config/config.yaml"
    settings = config.read_text()
    config.write_text(f"{settings}  tile: 4\n  memory_gb: 1\n")
    assert not study.jobs("attribution")
    # One volume more is one more job of a model: what was computed stays as it is.
    before = study.digests("attribution/one", "attribution/two")
    written = (study.out / "attribution/one/results.parquet").stat().st_mtime_ns
    with (study.path / "volumes.tsv").open("a") as sheet:
        sheet.write(new_volume(study.path, "three", 1))
    said = study.run("attribution")
    assert len(re.findall(r"Explain three", said)) == len(re.findall(r"Explain \w+", said)) == 1
    assert (study.out / "attribution/one/results.parquet").stat().st_mtime_ns == written
    assert study.digests("attribution/one", "attribution/two") == before
    assert (study.out / "attribution/three/gradcam.npy").exists()
