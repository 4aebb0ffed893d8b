"""What fits where, and why; devices as their driver tells them."""

import pytest

from longtake.memory.budget import GIB, MIB, Budget, Limit
from longtake.memory.devices import Device, installed_gpus, visible
from longtake.planning.check import check, places
from longtake.planning.choice import Terms
from longtake.planning.classes import GpuClass
from longtake.planning.forecast import Forecast
from longtake.planning.history import Measured, Timed

HOST = Budget("host", (Limit(4 * GIB, "SLURM_MEM_PER_NODE"), Limit(9 * GIB, "the machine's memory")))
TERMS = Terms(margin=1.2)


def forecast(device, chunk, mb, video="v"):
    held = {"state": MIB, "activations": (mb - 1) * MIB}
    owners = {"host": held} if device == "cpu" else {"host": {"base": MIB}, "gpu": held}
    return Forecast("annotate", video, device, chunk, f"{chunk} at a time", key=f"{device}{chunk}", **owners)


def rows(offers, **more):
    given = {"devices": [Device("A100", 40960, 5000)], "classes": [GpuClass("t4", 16)], "terms": TERMS, "gpus": True}
    where = places(HOST, **(given | more))
    return list(check(offers, where, TERMS.margin, {}))


def test_every_way_stands_against_every_place_of_its_device():
    found = rows([forecast("cpu", 1, 900), forecast("cuda", 8, 9000), forecast("cuda", 1, 900)])
    assert [(row["chunk"], row["where"], row["fits"]) for row in found] == [
        (1, "this machine's CPU", "yes"),
        (8, "this machine's GPU 0, A100", "no"),
        (8, "class t4", "yes"),
        (1, "this machine's GPU 0, A100", "yes"),
        (1, "class t4", "yes"),
    ]
    first, second = found[:2]
    assert "SLURM_MEM_PER_NODE" in first["why"]
    assert (second["forecast_mb"], second["asked_mb"], second["limit_mb"]) == (9000, 10800, 5000)
    assert "free of 40960 MiB: 5800 MiB are missing; activations take 8999" in second["why"]


def test_the_users_limit_is_named_where_it_decides():
    found = rows([forecast("cuda", 1, 3000)], terms=Terms(margin=1.2, gpu_limit_mb=2000))
    assert {row["fits"] for row in found} == {"no"}
    assert all("device.gpu_memory_gb" in row["why"] for row in found)


def test_no_gpu_stands_there_where_none_may_be_used():
    assert [row["where"] for row in rows([forecast("cpu", 1, 9), forecast("cuda", 1, 9)], gpus=False)] == [
        "this machine's CPU"
    ]


def test_a_class_of_unknown_memory_is_not_judged():
    (row,) = rows([forecast("cuda", 1, 9)], devices=[], classes=[GpuClass("any GPU", None)])
    assert (row["fits"], row["limit_mb"]) == ("unknown", None)
    assert "cluster" in row["why"]


def test_videos_alike_stand_once_and_what_was_measured_stands_beside_the_forecast():
    offers = [forecast("cpu", 1, 900, video) for video in "abc"]
    where = places(HOST, [], [], TERMS, gpus=False)
    (row,) = check(offers, where, 1.2, {"cpu1": Measured({frozenset(): Timed(2)}, host_mb=1000)})
    assert (row["cases"], row["forecast_mb"], row["measured_mb"]) == ("a and 2 more", 900, 1000)


TOLD = """0, GPU-aaaa-1, NVIDIA A100-PCIE-40GB, 40960, 40500
1, GPU-bbbb-2, NVIDIA T4, 15360, 1000
2, GPU-cccc-3, Broken, [N/A], [N/A]
"""


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, ["NVIDIA A100-PCIE-40GB", "NVIDIA T4"]),
        ("1,0", ["NVIDIA T4", "NVIDIA A100-PCIE-40GB"]),
        ("GPU-bbbb", ["NVIDIA T4"]),
        ("7,1", []),
        ("", []),
    ],
)
def test_the_driver_tells_the_gpus_that_a_process_sees(chosen, names):
    assert [device.name for device in visible(TOLD, chosen)] == names
    assert visible(TOLD, "1") == [Device("NVIDIA T4", 15360, 1000)]


def test_a_driver_that_fails_tells_of_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_gpus() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert installed_gpus() == []
    program.write_text("#!/bin/sh\necho '0, GPU-a, T4, 15360, 15000'\n")
    assert installed_gpus({}) == [Device("T4", 15360, 15000)]
    assert installed_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
