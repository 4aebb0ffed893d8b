"""What needs a GPU. Skipped where there is none; with LONGTAKE_REQUIRE_CUDA=1 it fails instead.

Everything on the GPU happens in forked children, as in a job: in this process the driver must not start.
"""

import importlib.util
import os
from pathlib import Path

import pytest

os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
REQUIRED = os.environ.get("LONGTAKE_REQUIRE_CUDA") == "1"
TRACKERS = Path(__file__).parents[1] / "unit/annotate/conftest.py"


@pytest.fixture(autouse=True, scope="session")
def _gpu():
    import torch

    if not torch.cuda.is_available():
        (pytest.fail if REQUIRED else pytest.skip)("there is no GPU")
    if torch.cuda.is_initialized():
        (pytest.fail if REQUIRED else pytest.skip)("another test has started the driver here; run tests/gpu by itself")


@pytest.fixture(scope="session")
def trackers():
    """The small random trackers of the unit tests, and their video."""
    spec = importlib.util.spec_from_file_location("small_trackers", TRACKERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
