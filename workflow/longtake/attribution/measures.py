"""Numbers of one map: its range, its share in regions, how well it finds a mask. All are summed slice by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 1 << 14
ELSEWHERE = "elsewhere"
"""Name of label 0 where the settings give it none."""
NOTHING = "nothing speaks for the class: the map is zero everywhere"


def numbers(values: np.ndarray) -> dict[str, Any]:
    """Minimum, maximum, mean, sum and the place of the maximum of a map in the file's order."""
    peak = np.unravel_index(int(values.argmax()), values.shape)
    total = sum(float(plane.sum(dtype=np.float64)) for plane in values)
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": total / values.size,
        "sum": total,
        "peak_voxel": [int(at) for at in peak],
    }


def region_rows(values: np.ndarray, regions: np.ndarray, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What of a map's evidence, its values above 0, lies in each labelled region; label 0 is the rest.

    Parameters
    ----------
    values, regions : (d0, d1, d2), in one order
    """
    labels = np.unique(regions)
    index = np.searchsorted(labels, regions.ravel()).reshape(regions.shape)
    count, evidence = np.zeros(len(labels), np.int64), np.zeros(len(labels))
    total, most = np.zeros(len(labels)), np.full(len(labels), -np.inf)
    for plane, at in zip(values, index, strict=True):
        flat, inside = plane.ravel().astype(np.float64), at.ravel()
        count += np.bincount(inside, minlength=len(labels))
        evidence += np.bincount(inside, weights=np.maximum(flat, 0), minlength=len(labels))
        total += np.bincount(inside, weights=flat, minlength=len(labels))
        np.maximum.at(most, inside, flat)
    whole = evidence.sum()
    for number, label in enumerate(labels):
        yield {
            "region": int(label),
            "name": names.get(str(label), ELSEWHERE if label == 0 else f"region {label}"),
            "voxels": int(count[number]),
            "voxel_share": float(count[number] / values.size),
            "evidence": float(evidence[number]) if whole else None,
            "evidence_share": float(evidence[number] / whole) if whole else None,
            "mean": float(total[number] / count[number]),
            "max": float(most[number]),
        }


def profiles(values: np.ndarray, letters: str) -> Iterator[dict[str, Any]]:
    """Share of the evidence in each slice along each axis; none of a map without evidence."""
    sums = [np.zeros(size) for size in values.shape]
    for at, plane in enumerate(values):
        kept = np.maximum(plane, 0).astype(np.float64)
        sums[0][at] = kept.sum()
        sums[1] += kept.sum(1)
        sums[2] += kept.sum(0)
    whole = sums[0].sum()
    if not whole:
        return
    for letter, along in zip(letters, sums, strict=True):
        for step, value in enumerate(along):
            place = (step + 0.5) / len(along)
            yield {"kind": "profile", "order": letter, "step": step, "at": place, "value": float(value / whole)}


@dataclass(frozen=True)
class Histogram:
    """Counts of a map's values in `BINS` equal bins from its minimum to its maximum, inside a mask and outside."""

    low: float
    high: float
    inside: np.ndarray
    outside: np.ndarray


def binned(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Bins 0 ... BINS - 1 of values between `low` and `high`."""
    if high <= low:
        return np.zeros(values.shape, np.int64)
    scaled = (values.astype(np.float64) - low) * (BINS / (high - low))
    return np.minimum(scaled.astype(np.int64), BINS - 1)


def histogram(values: np.ndarray, mask: np.ndarray | None = None) -> Histogram:
    """The histogram of a map, plane by plane."""
    low, high = float(values.min()), float(values.max())
    inside, outside = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for at, plane in enumerate(values):
        found = binned(plane, low, high)
        if mask is None:
            outside += np.bincount(found.ravel(), minlength=BINS)
        else:
            inside += np.bincount(found[mask[at]], minlength=BINS)
            outside += np.bincount(found[~mask[at]], minlength=BINS)
    return Histogram(low, high, inside, outside)


def localisation(values: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """How well a map finds a mask, both (d0, d1, d2) in one order; chance is `mask_share` for all but the overlap.

    pointing : 1 where the largest value lies in the mask, else 0
    mask_evidence : share of the evidence in it
    mask_auprc : area under precision over recall (average precision)
    mask_iou : overlap of the mask with as many of the largest values as it has voxels
    """
    size = int(mask.sum())
    share = size / mask.size
    if not size or not float(values.max()) > float(values.min()):
        return {"mask_share": share, "pointing": None, "mask_evidence": None, "mask_auprc": None, "mask_iou": None}
    counts = histogram(values, mask)
    hits, falls = counts.inside[::-1].cumsum(), counts.outside[::-1].cumsum()
    seen = np.maximum(hits + falls, 1)
    recall_steps = np.diff(hits, prepend=0) / size
    whole, within = 0.0, 0.0
    for plane, inside in zip(values, mask, strict=True):
        kept = np.maximum(plane, 0).astype(np.float64)
        whole += float(kept.sum())
        within += float(kept[inside].sum())
    at = int(np.searchsorted(hits + falls, size))
    before = (int(hits[at - 1]), int((hits + falls)[at - 1])) if at else (0, 0)
    # Of the bin in which the count is reached, as large a part as is missing.
    part = (size - before[1]) / max((hits + falls)[at] - before[1], 1)
    both = float(before[0] + part * (hits[at] - before[0]))
    return {
        "mask_share": share,
        "pointing": float(mask[np.unravel_index(int(values.argmax()), values.shape)]),
        "mask_evidence": within / whole if whole else None,
        "mask_auprc": float((recall_steps * hits / seen).sum()),
        "mask_iou": both / (2 * size - both),
    }
