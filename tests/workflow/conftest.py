"""Projects after their first whole run."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/workflow" in str(item.path):
            item.add_marker(pytest.mark.workflow)


@pytest.fixture(scope="session")
def finished(fresh, tmp_path_factory):
    """The project after one whole run, and what Snakemake said."""
    project = fresh.copy(tmp_path_factory.mktemp("finished") / "checkout")
    return project, project.run("all")


@pytest.fixture
def project(finished, tmp_path):
    """A finished project to change."""
    return finished[0].copy(tmp_path / "checkout")
