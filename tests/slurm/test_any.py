"""Where nothing is said of the cluster, jobs ask for any GPU, and their steps get it."""


def test_a_job_of_a_model_runs_where_no_cluster_is_described(on, fresh, finished, cluster, tmp_path):
    project = on(fresh.copy(tmp_path / "checkout").knowing(finished))
    target = "results/annotate/pond-b/window-0000.parquet"
    project.run(target)
    (job,) = [job for name, job in cluster.jobs().items() if "annotate_window" in name]
    assert job["TresPerJob"] == "gres:gpu:1"
    assert job["JobState"] == "COMPLETED"
    assert (project.path / target).read_bytes() == (finished.path / target).read_bytes()
