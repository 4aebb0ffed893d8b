"""A SLURM for the tests, and the small project taken through it once."""

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

REQUIRED = os.environ.get("LONGTAKE_REQUIRE_SLURM") == "1"
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


def pytest_collection_modifyitems(config, items):
    asked_for = REQUIRED or "slurm" in (config.getoption("markexpr") or "")
    skip = pytest.mark.skip(reason="starts a SLURM as root: run `make test-slurm`, or pytest -m slurm")
    for item in items:
        if "tests/slurm" in str(item.path):
            item.add_marker(pytest.mark.slurm)
            if not asked_for:
                item.add_marker(skip)


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
    """Turn a project into one whose `run` and `jobs` go through the cluster."""

    def turned(project):
        return replace(project, options=FOR_TESTS, variables=tuple(cluster.environment.items()))

    return turned


@pytest.fixture(scope="session")
def locally(fresh, tmp_path_factory):
    """The project after `annotate` on this machine."""
    project = fresh.copy(tmp_path_factory.mktemp("locally") / "checkout")
    project.run("annotate")
    return project


@pytest.fixture(scope="session")
def through_slurm(fresh, on, tmp_path_factory):
    """The project after `annotate` through the cluster, and what Snakemake said."""
    project = on(fresh.copy(tmp_path_factory.mktemp("slurm") / "checkout"))
    return project, project.run("annotate")
