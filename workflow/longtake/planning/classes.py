"""The kinds of GPU that jobs may ask for: how much memory each has, and how the site wants to be asked.

A cluster's classes stand in a YAML file (``config/clusters/``), which the setting `cluster` names. The Snakefile reads
it in every job, so only the standard library and PyYAML are imported.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from longtake.errors import ConfigError, nearest
from longtake.memory.budget import local_gpus

RESERVE = 0.08
"""The share of a class's memory that no job counts on.

What a GPU is sold with is more than what a driver gives: error correction takes a sixteenth of some (a T4 of 16 GB
shows 15.0 GiB, an L40S of 48 GB 45.0), firmware some hundred MiB of all.
"""
# As Snakemake's plugin for SLURM has them; it would refuse others when it submits the first job.
_GRES = re.compile(r"[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?(:\d+[TGM]?)?")
_MODEL = re.compile(r"[A-Za-z0-9_.]+")
_EXAMPLE = "{name: a100, memory_gb: 40, gpu_model: a100}"


@dataclass(frozen=True)
class GpuClass:
    """A kind of GPU, and what a job says to get one.

    Attributes
    ----------
    name : what people call it, in tables and logs
    memory_gb : GiB of one of its GPUs; None where that is not known
    gpu : how many GPUs a job gets, as ``--gpus``; without `gres` 1, else 0, unless that only counts memory
    gpu_model : the name that the scheduler gives the model: ``--gpus=a100:1``
    gres : the request in the words of ``--gres``, as ``gpu:a100:1``
    constraint : a feature of the node, as ``--constraint``
    partition : where such nodes are, if not where all jobs go
    """

    name: str
    memory_gb: float | None
    gpu: int = 1
    gpu_model: str = ""
    gres: str = ""
    constraint: str = ""
    partition: str = ""

    @property
    def shared(self) -> bool:
        """Whether other jobs may use the same GPU: what is asked for is a count, and nobody keeps a job to it."""
        return self.gres.partition(":")[0] not in ("", "gpu")

    @property
    def usable_mb(self) -> int | None:
        """MiB that a job may count on; None where nobody knows."""
        return None if self.memory_gb is None else int(self.memory_gb * 1024 * (1 - RESERVE))

    def resources(self) -> dict[str, int | str | None]:
        """Return what a job asks for, in the names of Snakemake's resources; None for what it does not ask."""
        asked: dict[str, int | str] = {
            "gpu": self.gpu,
            "gpu_model": self.gpu_model,
            "gres": self.gres,
            "constraint": self.constraint,
            "slurm_partition": self.partition,
        }
        return {name: value or None for name, value in asked.items()}


ANY = GpuClass("any GPU", None)
"""One GPU of whatever kind the scheduler gives: for a cluster whose classes nobody wrote down."""
OWN = GpuClass("this machine's GPU", None)
"""The GPU of the machine on which everything runs; the plan asks its driver for the memory."""


def offered_classes(cluster: str | Path, *, force_cpu: bool) -> tuple[GpuClass, ...]:
    """Return the GPUs that may be asked for, smallest first: of the cluster's file, any of a SLURM, or this machine's.

    `cluster` is empty where no file was named. The Snakefile asks this in every job.
    """
    if force_cpu:
        return ()
    if cluster:
        return read_classes(cluster)
    if shutil.which("sbatch"):
        return (ANY,)
    return (OWN,) if local_gpus() else ()


def read_classes(path: str | Path) -> tuple[GpuClass, ...]:
    """Read the classes of a cluster from a YAML file, smallest memory first.

    Raises
    ------
    ConfigError
        The file is missing or no YAML, has no classes or two of one name, or a class has an unknown key, no number of
        memory, or a request that no scheduler would understand.
    """
    path = Path(path)
    found = _read(path)
    unknown = sorted(map(str, set(found) - {"classes"}))
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r}.{nearest(unknown[0], ['classes'])} It holds one list, `classes`."
        )
    listed = found.get("classes")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(
            f"{path}: `classes` is {listed!r}, which is no list of GPU classes. Give at least one, as {_EXAMPLE}; "
            "where there is no GPU, set device.force_cpu."
        )
    classes = [_class(given, f"{path}, class {number}") for number, given in enumerate(listed, start=1)]
    names = [each.name for each in classes]
    for each in classes:
        if names.count(each.name) > 1:
            raise ConfigError(
                f"{path}: {names.count(each.name)} classes are called {each.name!r}. Give each a name of its own."
            )
    if 0 < sum(1 for each in classes if each.partition) < len(classes):
        missing = next(each.name for each in classes if not each.partition)
        raise ConfigError(
            f"{path}: class {missing!r} names no partition, but others do, and jobs that name none would not go where "
            "all others go. Give every class its partition (sinfo -o '%P %G' lists them)."
        )
    return tuple(sorted(classes, key=lambda each: each.memory_gb or 0))


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cluster is {str(path)!r}, which cannot be read ({error}). Name a file like those in config/clusters, or "
            "leave it empty."
        ) from None
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}. Correct it.") from None
    if not isinstance(found, Mapping):
        raise ConfigError(f"{path} holds {found!r}, and not a list `classes`. config/clusters has examples.")
    return found


def _class(given: Any, where: str) -> GpuClass:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}, and no class. Write it as {_EXAMPLE}.")
    known = [field.name for field in fields(GpuClass)]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{where}: unknown key {key!r}.{nearest(str(key), known)} A class has {', '.join(known)}."
            )
    name = _text(given, "name", where)
    if not name:
        raise ConfigError(f"{where} has no name. Give it one, as {_EXAMPLE}.")
    where = f"{where} ({name})"
    made = GpuClass(
        name=name,
        memory_gb=_memory(given, where),
        gpu=_count(given, where),
        gpu_model=_text(given, "gpu_model", where),
        gres=_text(given, "gres", where),
        constraint=_text(given, "constraint", where),
        partition=_text(given, "partition", where),
    )
    _check_request(made, where)
    return made


def _text(given: Mapping[Any, Any], key: str, where: str) -> str:
    value = given.get(key, "")
    # A model such as 4090 is a number to YAML.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or value != value.strip() or any(mark in value for mark in "'\";\n\t"):
        raise ConfigError(f"{where}: {key} is {value!r}, which is no plain word. Write it without marks around it.")
    return value


def _memory(given: Mapping[Any, Any], where: str) -> float:
    value = given.get("memory_gb")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10_000:
        raise ConfigError(
            f"{where}: memory_gb is {value!r}, which is no memory of a GPU. Give a plain number of GiB, without a "
            "unit, as memory_gb: 40."
        )
    return float(value)


def _count(given: Mapping[Any, Any], where: str) -> int:
    value = given.get("gpu", 0 if given.get("gres") else 1)
    if isinstance(value, bool) or not isinstance(value, int) or value not in (0, 1):
        raise ConfigError(f"{where}: gpu is {value!r}, but a job uses one GPU. Give 1, or leave it out.")
    return value


def _check_request(made: GpuClass, where: str) -> None:
    if made.gres and not _GRES.fullmatch(made.gres):
        raise ConfigError(
            f"{where}: gres is {made.gres!r}, which is no request. Write it as name, name:number or name:model:number: "
            "gres: gpu:a100:1."
        )
    what, _, rest = made.gres.partition(":")
    number = rest.rpartition(":")[2]
    if what == "gpu" and number.isdigit() and int(number) != 1:
        raise ConfigError(
            f"{where}: gres is {made.gres!r}, but a job uses one GPU; sinfo says how many a node has. Write "
            f"gres: {made.gres.rpartition(':')[0]}:1."
        )
    if made.gpu_model and not _MODEL.fullmatch(made.gpu_model):
        raise ConfigError(
            f"{where}: gpu_model is {made.gpu_model!r}, which is no name of a model. Take it from "
            "sinfo -o %G, which says gpu:MODEL:number; one with other signs than letters, digits, _ and . is asked for "
            "by constraint or partition."
        )
    # A count of memory says nothing of a device, so a GPU is asked for beside it; a shard is of one.
    if made.gres.partition(":")[0] in ("gpu", "shard") and (made.gpu or made.gpu_model):
        raise ConfigError(f"{where} asks for a GPU twice, by gres and by gpu or gpu_model. Keep the way of your site.")
    if not made.gres and not made.gpu:
        raise ConfigError(f"{where}: gpu is 0 and there is no gres, so that no GPU is asked for. Leave out gpu.")
