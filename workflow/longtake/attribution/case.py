"""One volume in the course of its job: what is explained of it, and what its maps' rows say."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.attribution import measures
from longtake.attribution.exact import Exact, room_for_tensors
from longtake.attribution.faithfulness import probabilities
from longtake.attribution.layers import layers_of
from longtake.attribution.options import CAMS, Options
from longtake.attribution.sheet import VolumeRow
from longtake.attribution.target import Target, check_scores, chosen_targets, label_index
from longtake.errors import ConfigError, ModelError, UnreadableVolume
from longtake.memory.ledger import owns
from longtake.models import VolumeModel
from longtake.models.volumes import coarser, load_volume_model, named
from longtake.supervise.child import out_of_memory
from longtake.volumes.axes import Axes
from longtake.volumes.probe import probe_volume
from longtake.volumes.reading import read_labels, read_volume
from longtake.volumes.writer import write_npy

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@dataclass
class Map:
    """One map of a volume: where it came from, its values in the model's order of axes, and what its row says.

    `values` is at the volume's size; `cells` at the layer's, of maps that are made there.
    """

    method: str
    layer: str
    target: Target
    row: dict[str, Any] = field(default_factory=dict)
    values: np.ndarray | None = None
    cells: np.ndarray | None = None


@dataclass
class Case:
    """A volume in the course of its job."""

    row: VolumeRow
    axes: Axes
    options: Options
    seed: int
    exact: Exact
    given: Tensor
    names: tuple[str, ...]
    scores: Tensor
    true: int | None
    targets: list[Target]
    layers: list[str]
    work: Path
    rung: str = ""
    told: Progress | None = None
    controls: dict[Any, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def predicted(self) -> int:
        """The class with the highest score."""
        return int(self.scores.argmax())

    def key(self, *facts: object) -> str:
        """What running sums depend on: the voxels, the weights, and `facts`."""
        whole = hashlib.sha256(repr((self.seed, self.row.volume, *facts)).encode())
        for plane in self.given[0].transpose(0, 1):
            whole.update(np.ascontiguousarray(plane.cpu().numpy()).tobytes())
        for weight in self.exact.model.module.state_dict().values():
            whole.update(np.ascontiguousarray(weight.detach().cpu().numpy()).tobytes())
        return whole.hexdigest()


def opened(
    line: VolumeRow,
    options: Options,
    seed: int,
    device: str,
    work: Path,
    *,
    part: float,
    requested_mb: float | None,
    lossy: Sequence[str] = (),
) -> Case:
    """The volume, the model's answer to it, and what is to be explained."""
    model = coarser(load_volume_model(options.model, options.checkpoint, device), lossy)
    axes = Axes(line.axes or options.axes, options.model_axes)
    divide_by = options.divide_by
    raw = read_volume(line.path, axes, variable=line.variable or options.variable, divide_by=divide_by)
    given = _prepared(model, torch.from_numpy(raw).to(device))
    del raw
    if not bool(torch.isfinite(given).all()):
        variable = line.variable or options.variable
        said = probe_volume(line.path, axes, variable=variable)["reason"]
        raise UnreadableVolume(said or f"{line.path}: the model's prepare() makes numbers of it that are not finite.")
    owns("parameters", sum(each.nbytes for each in model.module.state_dict().values()), gpu=device.startswith("cuda"))
    owns("frames", given.nbytes, gpu=device.startswith("cuda"))
    budget = room_for_tensors(options.memory_gb, device, part=part, requested_mb=requested_mb)
    work.mkdir(parents=True, exist_ok=True)
    exact = Exact(model, budget, options.tile, work)
    what = f"volume {line.volume!r}"
    scores = check_scores(_asked(exact, given, what), what).detach().cpu()
    names = named(model, len(scores))
    true = label_index(line.label, names, line.volume)
    targets = chosen_targets(
        options.targets, options.contrast, names, predicted=int(scores.argmax()), true=true, volume=line.volume
    )
    layers = layers_of(model, given, options.layers) if set(options.asked) & set(CAMS) else []
    return Case(line, axes, options, seed, exact, given, names, scores, true, targets, layers, work)


def _asked(exact: Exact, given: Tensor, what: str) -> Any:
    """The model's answer; what a model cannot take is told with the shape that it was given."""
    try:
        return exact.scores(given)
    except torch.OutOfMemoryError:
        raise
    except TypeError as error:
        raise ModelError(
            f"{what}: the model cannot be called with a volume alone ({error}). Does it want a second input? Then bind "
            "it in your factory, so that scores(x) takes one."
        ) from error
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise ModelError(
            f"{what}: the model cannot be called with {tuple(given.shape)} ({' '.join(str(error).split())[:300]}). Is "
            "the volume too small for the model's strides, or attribution.model_axes not the order that it wants?"
        ) from error


def _prepared(model: VolumeModel, raw: Tensor) -> Tensor:
    given = model.prepare(raw)
    if not isinstance(given, Tensor) or given.dim() != 5 or given.shape[0] != 1 or not given.is_floating_point():
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ConfigError(
            f"the model's prepare() made {shape} of a volume {tuple(raw.shape)}; it must return one float tensor "
            "(1, C, d0, d1, d2). A model with two inputs: bind the second one in your factory."
        )
    return given.contiguous()


def labels_of(case: Case) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Regions (d0, d1, d2) int32 and mask bool of the sheet, in the model's order."""
    size = tuple(case.given.shape[2:])
    regions = read_labels(case.row.regions, case.axes, size, "regions") if case.row.regions else None
    mask = read_labels(case.row.mask, case.axes, size, "mask") != 0 if case.row.mask else None
    if mask is not None and not mask.any():
        mask = None
    return regions, mask


def about(line: VolumeRow) -> dict[str, Any]:
    return {"volume": line.volume, "subject": line.unit, "split": line.split, "label": line.label, "eye": line.eye}


def describe(
    case: Case,
    found: Map,
    regions: np.ndarray | None,
    mask: np.ndarray | None,
    tables: dict[str, list[dict[str, Any]]],
) -> None:
    """Add to a map's row, and to the tables, what it says by itself."""
    row, values = found.row, found.values
    row |= {
        "target": case.names[found.target.index],
        "contrast": "" if found.target.contrast is None else case.names[found.target.contrast],
        "logits": [float(score) for score in case.scores],
        "probabilities": probabilities(case.scores),
        "score": float(found.target(case.scores)),
        "predicted": case.names[case.predicted],
        "true": "" if case.true is None else case.names[case.true],
        "correct": None if case.true is None else case.true == case.predicted,
        "measured_bytes": case.exact.peak[0] or None,
    }
    if values is None:
        return
    if not np.isfinite(values).all():
        row |= {"status": "failed", "reason": "the map holds numbers that are not finite: the gradient overflows"}
        found.values = found.cells = None
        return
    row |= measures.numbers(case.axes.to_file(values))
    if row["max"] == row["min"] == 0:
        row["reason"] = measures.NOTHING
    named_map = {"method": found.method, "layer": found.layer, "target": row["target"]}
    key = {**about(case.row), **named_map}
    if mask is not None:
        row |= measures.localisation(values, mask)
    if regions is not None:
        more = {"predicted": row["predicted"], "correct": row["correct"]}
        names = case.options.region_names
        tables["regions"] += [{**key, **more, **each} for each in measures.region_rows(values, regions, names)]
    tables["curves"] += [{**key, **each} for each in measures.profiles(values, case.axes.spatial)]


def file_name(case: Case, found: Map) -> str:
    """Name of a map without its ending: the method's; of the second layer or target on, with theirs."""
    parts = [found.method]
    if found.layer and found.layer != case.layers[0]:
        parts.append(found.layer)
    if found.target != case.targets[0]:
        parts.append(case.names[found.target.index].replace("/", "_").replace(" ", "_"))
    return ".".join(parts)


def write_map(case: Case, found: Map, folder: Path) -> None:
    found.row["file"] = ""
    if found.values is None:
        return
    name = file_name(case, found)
    found.row["file"] = f"{name}.npy"
    write_npy(folder / f"{name}.npy", case.axes.to_file(found.values))
    if found.cells is not None:
        write_npy(folder / f"{name}.layer.npy", case.axes.to_file(found.cells))


def row_of(line: VolumeRow, found: Map, rung: str, approximate: str) -> dict[str, Any]:
    row = {**about(line), "method": found.method, "layer": found.layer, "rung": rung, "file": "", **found.row}
    if approximate and row["status"] != "failed":
        row |= {"status": "approximate", "reason": "; ".join(filter(None, [row["reason"], approximate]))}
    return row


def tidy(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Remove maps of methods that are not asked for any more, so that none is taken for one of this run."""
    kept = {row["file"] for row in rows} | {row["file"].replace(".npy", ".layer.npy") for row in rows}
    for path in folder.glob("*.npy"):
        if path.name not in kept:
            path.unlink()
