"""Maps of volumes through a real scheduler: the bytes of one machine, by jobs that ask for what the plan says."""

import csv
from dataclasses import replace

import pyarrow.parquet as pq

TABLES = ("results", "regions", "curves")
WANTED = ("results/attribution/one/results.parquet", "results/attribution/two/results.parquet")
# Of what a job was granted, not of what it computed.
OF_THE_RUN = ("measured_bytes",)


def numbers(project):
    """The maps' bytes and the tables' rows, but for what is told of the run."""
    maps = {name: digest for name, digest in project.digests("attribution").items() if name.endswith(".npy")}
    rows = {
        (volume, table): pq.read_table(project.out / f"attribution/{volume}/{table}.parquet")
        .drop_columns(OF_THE_RUN if table == "results" else [])
        .to_pylist()
        for volume in ("one", "two")
        for table in TABLES
    }
    return maps, rows


def test_maps_of_volumes_are_the_same_bytes_by_jobs_that_ask_for_a_class(on, volumes_study, cluster, tmp_path):
    here = volumes_study.copy(tmp_path / "here")
    here = replace(here, variables=(("PYTHONPATH", str(here.path)),))
    here.run(*WANTED)
    there = on(volumes_study.copy(tmp_path / "there"))
    with (there.path / "config/config.yaml").open("a") as config:
        config.write("cluster: config/clusters/by-model.yaml\n")
    there = replace(there, variables=(*there.variables, ("PYTHONPATH", str(there.path))))
    there.run(*WANTED)
    maps, rows = numbers(here)
    assert len(maps) == 6  # two volumes: gradcam, its layer's, smoothgrad
    assert (maps, rows) == numbers(there)
    with (there.out / "plan/jobs.tsv").open(newline="") as file:
        plan = {row["unit"]: row for row in csv.DictReader(file, delimiter="\t")}
    for volume in ("one", "two"):
        job, row = cluster.jobs()[f"rule_attribution_volume_wildcards_{volume}"], plan[volume]
        assert (job["JobState"], job["TresPerJob"], row["gpu_class"]) == ("COMPLETED", "gres:gpu:t4:1", "T4")
        assert job["MinMemoryNode"] == cluster.megabytes(row["mem_mb"])
    assert "gpu" not in cluster.jobs()["rule_attribution_probe_wildcards_one"]["TRES"]
