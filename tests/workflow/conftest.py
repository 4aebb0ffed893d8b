"""Projects after their first whole run."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/workflow" in str(item.path):
            item.add_marker(pytest.mark.workflow)


@pytest.fixture
def project(finished, tmp_path):
    """A finished project to change."""
    return finished.copy(tmp_path / "checkout")
