from types import SimpleNamespace

from longtake.report.failures import again, failures, settings_from, started


def job(rule, *wildcards, output="results/x", log="results/x.log"):
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=list(wildcards), log=[log], output=[output, "y"])


def test_a_failed_job_is_named_with_its_log_and_the_command_that_redoes_it():
    failed = job("annotate_window", "pond-a", "0001", output="results/window one.parquet", log="results/logs/a.log")
    assert failures([failed], "snakemake --profile p --config seed=7") == (
        "Failed: annotate_window pond-a 0001\n"
        "  its log: results/logs/a.log\n"
        "  to redo it alone: snakemake --profile p --config seed=7 -- 'results/window one.parquet'"
    )


def test_the_jobs_of_a_group_are_told_one_by_one_and_only_so_many_in_all():
    group = SimpleNamespace(jobs=[job("b", "2"), job("b", "1")])
    told = failures([group, job("a")], "snakemake", shown=2)
    assert [line for line in told.splitlines() if line[0] != " "] == ["Failed: a", "Failed: b 1", "and 1 more"]


def test_a_run_is_started_again_by_the_same_program_under_the_same_profiles():
    words = ["/somewhere/bin/python", "-n", "all"]
    assert started(words, "snakemake --config a=1") == "snakemake --config a=1 --profile profiles/laptop"
    words = [".venv/bin/snakemake", "all", "--profile=profiles/slurm", "--config", "a=1", "--profile", "my own"]
    expected = ".venv/bin/snakemake --config a=1 --profile profiles/slurm --profile 'my own'"
    assert started(words, "snakemake --config a=1") == expected


def test_a_program_is_named_as_a_shell_here_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside, outside = tmp_path / ".venv/bin/snakemake", "/elsewhere/bin/snakemake"
    assert started([str(inside)], "snakemake").startswith(".venv/bin/snakemake --profile")
    assert started([outside], "snakemake").startswith(f"{outside} --profile")
    monkeypatch.setattr("shutil.which", lambda name: outside)
    assert started([outside], "snakemake").startswith("snakemake --profile")


def test_a_run_in_its_own_folder_is_started_again_by_what_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ["config/config.yaml", str(tmp_path / "config/my own.yaml")]
    told = again(files, ["seed=7", "gradients={target: a b}"], str(tmp_path / "Snakefile"))
    assert told == "snakemake --configfile 'config/my own.yaml' --config seed=7 'gradients={target: a b}'"
    assert again(files[:1], [], str(tmp_path / "Snakefile")) == "snakemake"


def test_a_run_in_another_folder_names_it_and_all_files_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = again(["config/config.yaml", "../more.yaml"], [], "/checkout/Snakefile")
    where = f"--snakefile /checkout/Snakefile --directory {tmp_path}"
    assert told == f"snakemake {where} --configfile {tmp_path.parent}/more.yaml"


def test_settings_are_from_all_files_and_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings_from(["config/config.yaml"], []) == "config/config.yaml"
    told = settings_from([str(tmp_path / "a.yaml"), "config/config.yaml", "a.yaml"], ["seed=x"])
    assert told == "a.yaml, config/config.yaml, --config seed=x"
