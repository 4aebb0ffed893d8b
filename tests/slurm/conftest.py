"""A SLURM for the tests, and the small project taken through it once. Skipped where none can be started."""

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

REQUIRED = os.environ.get("LONGTAKE_REQUIRE_SLURM") == "1"
LAST_TWO_OF_A = tuple(
    f"{where}{number}{ending}"
    for number in ("0001", "0002")
    for where, ending in (("annotate/pond-a/window-", "*"), ("logs/annotate_window/pond-a.", ".*"))
)
# What a test changes of the profile: it asks every 2 s instead of every 20, and a failed job is not tried again.
FOR_TESTS = (
    "--profile=profiles/slurm",
    "--jobs=4",
    "--retries=0",
    "--nocolor",
    "--latency-wait=10",
    "--slurm-init-seconds-before-status-checks=2",
)


def load(name):
    """A module beside this file; tests are no packages, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(f"slurm_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cluster_of = load("cluster")


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/slurm" in str(item.path):
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster():
    reason = cluster_of.missing()
    if reason:
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    with cluster_of.running_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def window():
    """The comment of a window's job."""
    return "rule_annotate_window_wildcards_{}_{:04d}".format


@pytest.fixture(scope="session")
def on(cluster):
    """Turn a project into one whose `run` and `jobs` go through the cluster, where GPUs are asked for."""

    def turned(project, *options):
        config = project.path / "config/config.yaml"
        config.write_text(config.read_text().replace("force_cpu: true", "force_cpu: false"))
        return replace(project, options=(*FOR_TESTS, *options), variables=tuple(cluster.environment.items()))

    return turned


@pytest.fixture(scope="session")
def ran(on, fresh, finished, cluster, tmp_path_factory):
    """The project after `species` through the cluster, its jobs asking for kinds of GPU; and these jobs by comment."""
    project = on(fresh.copy(tmp_path_factory.mktemp("slurm") / "checkout").knowing(finished))
    with (project.path / "config/config.yaml").open("a") as config:
        config.write("cluster: config/clusters/by-model.yaml\n")
    project.run("species")
    # Asked at once: later tests submit jobs with the same comments.
    return project, cluster.jobs()


@pytest.fixture(scope="session")
def through_slurm(ran):
    """The project of that run."""
    return ran[0]


@pytest.fixture(scope="session")
def submitted(ran):
    """The jobs of that run."""
    return ran[1]


@pytest.fixture
def project(through_slurm, tmp_path):
    """That project, to change."""
    return through_slurm.copy(tmp_path / "checkout")


@pytest.fixture
def begin(project, cluster, window, tmp_path):
    """Start a driver that is to do the two last windows of pond-a again, and `also`, and wait for its first to work.

    Returns the driver, the job, and the file of what the driver says.
    """
    drivers = []

    def started(*also):
        project.forget(*LAST_TWO_OF_A, "detections/pond-a*", *also)
        before, said = cluster.jobs(), tmp_path / f"driver-{len(drivers)}.log"
        drivers.append(project.start("annotate", said=said))
        job = cluster.working(window("pond-a", 1), before, project.out / "logs/annotate_window/pond-a.0001.log")
        return drivers[-1], job, said

    yield started
    for driver in drivers:
        if driver.poll() is None:
            driver.kill()
            driver.wait()
