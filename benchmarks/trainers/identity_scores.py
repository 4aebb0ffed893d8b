"""How well tracks follow the true animals and keep them apart, by TrackEval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

Row = Mapping[str, Any]
_Frame = dict[str, list[tuple[int, dict[str, Any]]]]


def identity_scores(truth: Iterable[Row], found: Iterable[Row]) -> dict[str, float]:
    """Score the tracks of one video against the true ones, by the IoU of their masks.

    Memory: the visible masks of all rows as run lengths, and an IoU per pair and frame.

    Parameters
    ----------
    truth, found
        Rows with `frame`, `object`, `visible`, `mask` (COCO RLE counts), `height`, `width`, in any order. Rows that
        are not visible are not scored.

    Returns
    -------
    dict
        HOTA, DetA and AssA (means over the thresholds 0.05, 0.1, ... 0.95; Luiten et al. 2021), IDF1 (at IoU 0.5;
        Ristani et al. 2016), the number of identity switches and MOTA by CLEAR MOT, all by TrackEval; and `mean_iou`
        over all true rows, each with the track that is its object's under the one-to-one mapping of whole tracks
        with the largest sum.
    """
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = _arrays(truth, found)
    if not data["num_gt_dets"]:
        raise ValueError("no animal is visible in the truth: there is nothing to score.")
    quiet = {"PRINT_CONFIG": False}
    hota = HOTA().eval_sequence(data)
    clear = CLEAR(quiet).eval_sequence(data)
    scores = {name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")}
    scores["IDF1"] = float(Identity(quiet).eval_sequence(data)["IDF1"])
    scores |= {"MOTA": float(clear["MOTA"]), "identity_switches": float(clear["IDSW"])}
    return scores | {"mean_iou": _mean_iou(data)}


def _arrays(truth: Iterable[Row], found: Iterable[Row]) -> dict[str, Any]:
    """Put rows into the arrays that TrackEval's metrics take: per frame the ids of both sides and their IoUs."""
    frames: dict[int, _Frame] = {}
    ids: dict[str, dict[str, int]] = {"truth": {}, "found": {}}
    for side, rows in (("truth", truth), ("found", found)):
        for row in rows:
            if row["visible"]:
                rle = {"size": [row["height"], row["width"]], "counts": row["mask"].encode("ascii")}
                number = ids[side].setdefault(row["object"], len(ids[side]))
                frames.setdefault(row["frame"], {"truth": [], "found": []})[side].append((number, rle))
    order = [frames[frame] for frame in sorted(frames)]
    numbers = {side: [np.array([n for n, _ in each[side]], dtype=int) for each in order] for side in ids}
    return {
        "num_timesteps": len(order),
        "num_gt_ids": len(ids["truth"]),
        "num_tracker_ids": len(ids["found"]),
        "num_gt_dets": sum(map(len, numbers["truth"])),
        "num_tracker_dets": sum(map(len, numbers["found"])),
        "gt_ids": numbers["truth"],
        "tracker_ids": numbers["found"],
        "similarity_scores": [_ious(each) for each in order],
    }


def _ious(frame: _Frame) -> npt.NDArray[np.float64]:
    true, found = ([rle for _, rle in frame[side]] for side in ("truth", "found"))
    if not true or not found:
        return np.zeros((len(true), len(found)))
    return np.asarray(coco.iou(true, found, [False] * len(found)), dtype=np.float64)


def _mean_iou(data: Mapping[str, Any]) -> float:
    total = np.zeros((data["num_gt_ids"], data["num_tracker_ids"]))
    for true, found, iou in zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True):
        np.add.at(total, (true[:, None], found[None, :]), iou)
    rows, columns = linear_sum_assignment(total, maximize=True)
    return float(total[rows, columns].sum() / data["num_gt_dets"])
