"""What a job may use: every limit that is set on it, found where its system keeps it."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.memory.budget import (
    CONTEXT,
    GIB,
    MIB,
    gpu_budget,
    gpu_fraction,
    hold_to_gpu_limit,
    host_budget,
    local_gpus,
)

ROOT = Path(__file__).parents[3]


def test_gpus_are_counted_by_their_device_files(tmp_path):
    assert local_gpus(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia0-modeset"):
        (tmp_path / name).touch()
    assert local_gpus(tmp_path) == 2
    (tmp_path / "windows").mkdir()
    (tmp_path / "windows/dxg").touch()
    assert local_gpus(tmp_path / "windows") == 1


@pytest.fixture
def machine(tmp_path):
    """A machine of 64 GiB, 60 of them free, whose process is in no control group; files are added by name."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", f"MemTotal: {64 * 2**20} kB\nMemFree: 5 kB\nMemAvailable: {60 * 2**20} kB\n")
    write("proc/self/cgroup", "")
    return write


def smallest(root, requested_mb=None, environment=None, gpus=0):
    budget = host_budget(requested_mb, root=root, environment=environment or {}, gpus=gpus)
    assert [limit.nbytes for limit in budget.limits] == sorted(limit.nbytes for limit in budget.limits)
    return budget.nbytes, budget.limits[0].source


def test_without_any_other_limit_what_is_free_counts(tmp_path, machine):
    assert smallest(tmp_path) == (60 * GIB, "what other processes leave free now")


def test_what_this_process_holds_itself_is_no_longer_free_but_its_own(tmp_path, machine):
    machine("proc/self/status", f"Name:\tpython\nVmRSS:\t{3 * 2**20} kB\nRssAnon:\t{2 * 2**20} kB\nThreads:\t1\n")
    assert smallest(tmp_path) == (62 * GIB, "what other processes leave free now")


def test_the_request_of_the_job_counts(tmp_path, machine):
    assert smallest(tmp_path, 4000) == (4000 * MIB, "mem_mb of this job")


@pytest.mark.parametrize(
    ("environment", "nbytes", "source"),
    [
        ({"SLURM_MEM_PER_NODE": "3000"}, 3000 * MIB, "SLURM_MEM_PER_NODE"),
        ({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"}, 2000 * MIB, "SLURM_MEM_PER_CPU x 4"),
        ({"SLURM_MEM_PER_GPU": "8000", "SLURM_GPUS_ON_NODE": "2"}, 16000 * MIB, "SLURM_MEM_PER_GPU x 2"),
        ({"SLURM_MEM_PER_NODE": "0"}, 60 * GIB, "what other processes leave free now"),
    ],
)
def test_the_scheduler_counts(tmp_path, machine, environment, nbytes, source):
    assert smallest(tmp_path, environment=environment) == (nbytes, source)


def test_a_control_group_of_version_2_counts_and_so_does_each_above_it(tmp_path, machine):
    machine("proc/self/cgroup", "0::/slurm/job_7/step_0\n")
    machine("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n")
    machine("sys/fs/cgroup/slurm/job_7/memory.max", f"{2 * GIB}\n")
    machine("sys/fs/cgroup/slurm/memory.max", f"{9 * GIB}\n")
    assert smallest(tmp_path) == (2 * GIB, "memory.max of cgroup /slurm/job_7")


def test_a_control_group_of_version_1_counts_beside_version_2(tmp_path, machine):
    machine("proc/self/cgroup", "9:cpuset:/other\n4:memory:/slurm/job_7\n0::/\n")
    machine("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", f"{GIB}\n")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert smallest(tmp_path) == (GIB, "memory.limit_in_bytes of cgroup /slurm/job_7")


def test_all_limits_are_told(tmp_path, machine):
    machine("proc/self/cgroup", "0::/job\n")
    machine("sys/fs/cgroup/job/memory.max", f"{8 * GIB}\n")
    assert host_budget(2048, root=tmp_path, environment={}).describe() == (
        "host memory: 2.0 GiB (mem_mb of this job); larger: 8.0 GiB (memory.max of cgroup /job), "
        "60.0 GiB (what other processes leave free now), 64.0 GiB (the machine's memory)"
    )


def test_a_limit_on_address_space_counts():
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({3 * GIB // 4}, {resource.RLIM_INFINITY}));"
        "from longtake.memory.budget import host_budget; print(host_budget(environment={}).limits[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.startswith(f"Limit(nbytes={3 * GIB // 4}, source='RLIMIT_AS")


def test_this_machine_has_a_budget_and_its_gpus_are_the_drivers():
    torch = pytest.importorskip("torch")
    assert host_budget().nbytes > 64 * MIB
    assert (gpu_budget() is not None) == torch.cuda.is_available()


def test_the_users_share_of_a_gpu_leaves_pytorch_what_the_driver_does_not_take():
    total = 16 * GIB
    assert gpu_fraction(8 * 1024, total) * total == 8 * GIB - CONTEXT
    assert gpu_fraction(64 * 1024, total) == 1
    assert gpu_fraction(100, total) == 0


def test_pytorch_keeps_to_the_users_share():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        (pytest.fail if os.environ.get("LONGTAKE_REQUIRE_CUDA") == "1" else pytest.skip)("no GPU")
    try:
        budget = hold_to_gpu_limit(CONTEXT // MIB + 256)
        assert budget.nbytes <= 256 * MIB
        assert "device.gpu_memory_gb" in budget.describe()
        torch.empty(128 * MIB, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
