"""Deletion, insertion, drawn weights and repeats of one map, in the course of its volume's job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from longtake.attribution.cams import cam
from longtake.attribution.exact import Exact
from longtake.attribution.faithfulness import area, cascade, curves, edges, randomly, rank_correlation
from longtake.attribution.options import CAMS
from longtake.attribution.target import Target

if TYPE_CHECKING:
    from longtake.attribution.case import Case, Map

CHEAP = (*CAMS, "saliency")
"""Methods of one gradient, whose maps are computed again for the tests that need it."""


def checked(case: Case, found: Map, *, deep: bool) -> list[dict[str, Any]]:
    """Rows of the map's curves; areas and correlations are put into the map's own row.

    Parameters
    ----------
    deep : whether it is also tested with drawn weights and by a second computation, where its method is cheap
    """
    name = {"method": found.method, "layer": found.layer, "target": found.row["target"]}
    line = case.row
    about = {"volume": line.volume, "subject": line.unit, "split": line.split, "label": line.label, "eye": line.eye}
    about |= name
    rows = [{**about, **row} for row in _orders(case, found)]
    if deep and found.method in CHEAP:
        rows += [{**about, **row} for row in _drawn(case, found)]
        found.row["repeatability"] = _repeated(case, found)
    return rows


def _orders(case: Case, found: Map) -> Iterator[dict[str, Any]]:
    """Curves in the order of the map and of the controls; those of controls are computed once for a volume and size."""
    ranks = found.cells if found.cells is not None else found.values
    if ranks is None:
        return
    size = tuple(ranks.shape)
    for order in ("map", "random", "edges"):
        key = (order, size, found.target)
        if order == "map" or key not in case.controls:
            rows = list(_curves(case, found.target, _ranked(case, order, ranks)))
            if order != "map":
                case.controls[key] = rows
        else:
            rows = case.controls[key]
        suffix = "" if order == "map" else f"_{order}"
        for kind in ("deletion", "insertion"):
            found.row[f"{kind}{suffix}"] = area(rows, kind)
        yield from ({**row, "order": order} for row in rows)


def _ranked(case: Case, order: str, ranks: np.ndarray) -> np.ndarray:
    if order == "map":
        return ranks
    size = tuple(ranks.shape)
    if order == "random":
        return randomly(size, case.seed, case.row.volume)
    fine = torch.from_numpy(edges(case.given))[None, None]
    return torch.nn.functional.adaptive_avg_pool3d(fine, size)[0, 0].numpy()


def _curves(case: Case, target: Target, ranks: np.ndarray) -> Iterator[dict[str, Any]]:
    def ask(volume: Tensor) -> Tensor:
        return case.exact.scores(volume).detach().cpu()

    yield from curves(
        ask,
        case.given,
        ranks,
        target=target,
        index=target.index,
        steps=case.options.steps,
        fill=case.options.fill,
        seed=case.seed,
        volume=case.row.volume,
    )


def _map_of(case: Case, exact: Exact, found: Map) -> np.ndarray:
    """The map of a cheap method by another model, or once more, at its own size."""
    if found.method == "saliency":
        got = exact.gradient(case.given, found.target, measure=False)
        return got.gradient[0].abs().sum(0).float().cpu().numpy()
    got = exact.gradient(case.given, found.target, layer=found.layer, measure=False)
    return cam(found.method, got.at[0], got.gradient[0]).values.cpu().numpy()


def _drawn(case: Case, found: Map) -> Iterator[dict[str, Any]]:
    """Rank correlation with the maps of models whose weights are drawn anew from the output on."""
    own = found.cells if found.cells is not None else found.values
    if own is None:
        return
    last = None
    for step, (name, share, model) in enumerate(cascade(case.exact.model, case.seed)):
        other = Exact(model, case.exact.budget, case.exact.tile, case.work, case.exact.fronts, case.exact.ways)
        last = rank_correlation(own, _map_of(case, other, found))
        if last is not None:
            yield {"kind": "randomisation", "order": name, "step": step, "at": share, "value": last}
    found.row["randomisation"] = last


def _repeated(case: Case, found: Map) -> float | None:
    """Largest difference of a second computation."""
    own = found.cells if found.cells is not None else found.values
    return None if own is None else float(np.abs(_map_of(case, case.exact, found) - own).max())
