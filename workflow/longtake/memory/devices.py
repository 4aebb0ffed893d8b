"""The GPUs of this machine, as their driver tells; no library of it is loaded, and no context is begun."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

_QUERY = "index,uuid,name,memory.total,memory.free"
_SECONDS = 60


@dataclass(frozen=True)
class Device:
    """A GPU: its model's name, and MiB in all and free now."""

    name: str
    total_mb: int
    free_mb: int


def installed_gpus(environment: Mapping[str, str] | None = None) -> list[Device]:
    """Ask ``nvidia-smi`` for the GPUs that this process may use; none where there is no driver, or it does not answer.

    A list in ``CUDA_VISIBLE_DEVICES`` leaves out the others, and gives the order.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    environment = os.environ if environment is None else environment
    return visible(told, environment.get("CUDA_VISIBLE_DEVICES"))


def visible(told: str, chosen: str | None) -> list[Device]:
    """Read what ``nvidia-smi`` told, of the devices in `chosen` (indices or beginnings of UUIDs; None: of all)."""
    found: dict[str, tuple[str, Device]] = {}
    for row in csv.reader(told.splitlines(), skipinitialspace=True):
        if len(row) == len(_QUERY.split(",")) and row[3].isdigit() and row[4].isdigit():
            found[row[0]] = (row[1], Device(row[2], int(row[3]), int(row[4])))
    if chosen is None:
        return [device for _, device in found.values()]
    devices: list[Device] = []
    for each in filter(None, map(str.strip, chosen.split(","))):
        match = [device for index, (uuid, device) in found.items() if each == index or uuid.startswith(each)]
        if not match:
            break  # as CUDA does: what stands behind an unknown one is not seen either
        devices += match[:1]
    return devices
