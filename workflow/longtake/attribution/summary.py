"""The study's tables and findings: accuracy, evidence by region, right against wrong, faithfulness, by subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from longtake.attribution.tables import CURVES, REGIONS, RESULTS
from longtake.statistics import inference
from longtake.store.atomic import atomic_path, write_json
from longtake.store.tables import read_table
from longtake.streams import stream

PURPOSE = "attribution statistics"
CONTROLS = ("random", "edges")
SCALE_BINS = 1 << 14


def summarise(
    folders: Sequence[str | Path],
    *,
    results_out: str | Path,
    regions_out: str | Path,
    findings_out: str | Path,
    percentile: float,
    seed: int,
    level: float,
) -> dict[str, Any]:
    """Write `results.csv` and `regions.csv` over the study, and the findings as JSON.

    Memory: the rows of all volumes, some hundred bytes each; one map at a time for the scale of colours.
    """
    results = [row for folder in folders for row in read_table(Path(folder) / "results.parquet", RESULTS).to_pylist()]
    regions = [row for folder in folders for row in read_table(Path(folder) / "regions.parquet", REGIONS).to_pylist()]
    curves = [row for folder in folders for row in read_table(Path(folder) / "curves.parquet", CURVES).to_pylist()]
    _write_csv(results_out, results, RESULTS)
    _write_csv(regions_out, regions, REGIONS)
    kept = [row for row in results if row["status"] != "failed"]
    findings = {
        "volumes": len({row["volume"] for row in results}),
        "subjects": len({row["subject"] for row in results}),
        "maps": _counted(row["status"] for row in results),
        "failed": [
            {name: row[name] for name in ("volume", "method", "layer", "target", "reason")}
            for row in results
            if row["status"] == "failed"
        ],
        "accuracy": list(_accuracy(results, level)),
        "confusion": _confusion(results),
        "regions": _regions(regions, seed, level),
        "right_and_wrong": _right_and_wrong(kept, regions, seed, level),
        "faithfulness": _faithfulness(kept, seed, level),
        "localisation": list(_localisation(kept, level)),
        "agreement": list(_agreement(folders, kept, level)),
        "profiles": _profiles(curves, seed, level),
        "randomisation": _cascade(curves, level),
        "scale": _scale(folders, kept, percentile),
    }
    write_json(findings_out, findings)
    return {"maps": findings["maps"], "volumes": findings["volumes"]}


def _write_csv(path: str | Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Lists become text, as a cell holds one value."""
    plain = [
        {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in row.items()}
        for row in rows
    ]
    fields = [pa.field(field.name, pa.string() if pa.types.is_list(field.type) else field.type) for field in schema]
    with atomic_path(path) as temporary:
        pacsv.write_csv(pa.Table.from_pylist(plain, pa.schema(fields)), temporary)


def _counted(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def by_subject(
    rows: Iterable[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]
) -> dict[str, float]:
    """Subject -> mean over its volumes of what is not None."""
    found: dict[str, list[float]] = {}
    for row in rows:
        number = value(row)
        if number is not None and np.isfinite(number):
            found.setdefault(row["subject"], []).append(float(number))
    return {subject: float(np.mean(values)) for subject, values in sorted(found.items())}


def _volumes(results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One row for each volume."""
    return list({row["volume"]: row for row in results if row["predicted"]}.values())


def _accuracy(results: list[dict[str, Any]], level: float) -> Iterable[dict[str, Any]]:
    answered = [row for row in _volumes(results) if row["correct"] is not None]
    for split in sorted({row["split"] for row in answered}):
        rows = [row for row in answered if row["split"] == split]
        right: dict[str, list[bool]] = {}
        for row in rows:
            right.setdefault(row["subject"], []).append(row["correct"])
        # Two eyes of a subject are not two subjects: where there are several, the interval is over subjects.
        if max(map(len, right.values())) == 1:
            found = inference.wilson(sum(row["correct"] for row in rows), len(rows), level=level, what="subject")
        else:
            parts = [float(sum(each)) for each in right.values()]
            found = inference.ratio_interval(parts, [float(len(each)) for each in right.values()], level=level)
        yield {"split": split, "volumes": len(rows), **_interval(found)}


def _interval(found: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "centre"}


def _confusion(results: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for row in _volumes(results):
        if row["true"]:
            line = table.setdefault(row["true"], {})
            line[row["predicted"]] = line.get(row["predicted"], 0) + 1
    return table


def _regions(regions: list[dict[str, Any]], seed: int, level: float) -> list[dict[str, Any]]:
    """Per class, method and region: the share of evidence, and how far it is above the region's share of voxels."""
    found, tests = [], []
    keys = sorted({(row["method"], row["target"], row["name"]) for row in regions if row["evidence_share"] is not None})
    for method, target, name in keys:
        rows = [
            row
            for row in regions
            if (row["method"], row["target"], row["name"]) == (method, target, name)
            and row["evidence_share"] is not None
        ]
        shares = by_subject(rows, lambda row: row["evidence_share"])
        excess = by_subject(rows, lambda row: row["evidence_share"] - row["voxel_share"])
        test = inference.against_zero(
            excess, stream(seed, f"{method}/{target}/{name}", PURPOSE), level=level, what="subject"
        )
        interval = inference.interval(list(shares.values()), level=level, what="subject")
        voxels = float(np.mean(list(by_subject(rows, lambda row: row["voxel_share"]).values())))
        tests.append(test.p if test.status == "ok" else None)
        found.append(
            {
                "method": method,
                "target": target,
                "region": name,
                "voxel_share": voxels,
                **{f"evidence_{key}": value for key, value in _interval(interval).items()},
                "p": test.p,
                "status": test.status,
                "reason": test.reason,
            }
        )
    for row, adjusted in zip(found, inference.holm(tests), strict=True):
        row["p_holm"] = adjusted
    return found


def _right_and_wrong(
    results: list[dict[str, Any]], regions: list[dict[str, Any]], seed: int, level: float
) -> list[dict[str, Any]]:
    """Evidence in each region, and in the mask, of right against wrong answers."""
    measures: list[tuple[str, str, list[Mapping[str, Any]]]] = []
    for method in sorted({row["method"] for row in results}):
        rows: list[Mapping[str, Any]] = [row for row in results if row["method"] == method]
        measures.append((method, "in the mask", [{**row, "value": row["mask_evidence"]} for row in rows]))
        for name in sorted({row["name"] for row in regions}):
            chosen = [row for row in regions if row["method"] == method and row["name"] == name]
            measures.append((method, name, [{**row, "value": row["evidence_share"]} for row in chosen]))
    found, tests = [], []
    for method, name, measured in measures:
        right = by_subject([row for row in measured if row["correct"]], lambda row: row["value"])
        wrong = by_subject([row for row in measured if row["correct"] is False], lambda row: row["value"])
        if not right or not wrong:
            continue
        # A subject with both is in neither: its difference is that of its volumes.
        both = right.keys() & wrong.keys()
        one, other = ({key: value for key, value in each.items() if key not in both} for each in (right, wrong))
        if not one or not other:
            continue
        test = inference.compare(
            one, other, stream(seed, f"{method}/{name}", "right and wrong"), level=level, what="subject"
        )
        tests.append(test.p if test.status == "ok" else None)
        found.append({"method": method, "region": name, **_plain(test)})
    for row, adjusted in zip(found, inference.holm(tests), strict=True):
        row["p_holm"] = adjusted
    return found


def _plain(test: Any) -> dict[str, Any]:
    names = "n_a n_b mean_a mean_b difference difference_span hedges_g p p_least status reason method"
    return {("test" if name == "method" else name): getattr(test, name) for name in names.split()}


def _faithfulness(results: list[dict[str, Any]], seed: int, level: float) -> list[dict[str, Any]]:
    """Deletion and insertion of each method against the controls: above 0 is better than the control."""
    found, tests = [], []
    for method in sorted({row["method"] for row in results if row["deletion"] is not None}):
        rows = [row for row in results if row["method"] == method and row["deletion"] is not None]
        for kind, sign in (("deletion", -1), ("insertion", 1)):
            for control in CONTROLS:
                gained = [{**row, "gain": sign * (row[kind] - row[f"{kind}_{control}"])} for row in rows]
                gain = by_subject(gained, itemgetter("gain"))
                name = stream(seed, f"{method}/{kind}/{control}", PURPOSE)
                test = inference.against_zero(gain, name, level=level, what="subject")
                tests.append(test.p if test.status == "ok" else None)
                found.append(
                    {
                        "method": method,
                        "kind": kind,
                        "control": control,
                        "area": float(np.mean([row[kind] for row in rows])),
                        "control_area": float(np.mean([row[f"{kind}_{control}"] for row in rows])),
                        **_plain(test),
                    }
                )
    for row, adjusted in zip(found, inference.holm(tests), strict=True):
        row["p_holm"] = adjusted
    return found


def _localisation(results: list[dict[str, Any]], level: float) -> Iterable[dict[str, Any]]:
    """Hits in the mask, beside chance: the mask's share of voxels."""
    for method in sorted({row["method"] for row in results if row["mask_evidence"] is not None}):
        rows = [row for row in results if row["method"] == method]
        line: dict[str, Any] = {"method": method}
        for name in ("pointing", "mask_share", "mask_evidence", "mask_auprc", "mask_iou"):
            values = by_subject(rows, itemgetter(name))
            line[name] = _interval(inference.interval(list(values.values()), level=level, what="subject"))
        yield line


def _agreement(folders: Sequence[str | Path], results: list[dict[str, Any]], level: float) -> Iterable[dict[str, Any]]:
    """Rank correlation of the maps of two methods, in blocks of a few voxels; mean over subjects."""
    from longtake.attribution.faithfulness import rank_correlation

    places = {Path(folder).name: Path(folder) for folder in folders}
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for volume in sorted({row["volume"] for row in results}):
        rows = {row["method"]: row for row in results if row["volume"] == volume and "." not in row["file"][:-4]}
        small = {method: _coarse(places[volume] / row["file"]) for method, row in sorted(rows.items())}
        for one, other in combinations(sorted(small), 2):
            value = rank_correlation(small[one], small[other])
            pairs.setdefault((one, other), []).append({"subject": rows[one]["subject"], "value": value})
    for (one, other), found in sorted(pairs.items()):
        values = by_subject(found, lambda row: row["value"])
        interval = inference.interval(list(values.values()), scale="fisher", level=level, what="subject")
        yield {"one": one, "other": other, **_interval(interval)}


def _coarse(path: Path, most: int = 24) -> np.ndarray:
    """Means of a map over blocks, at most `most` a side, read slice by slice."""
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    steps = [-(-size // most) for size in values.shape]
    edges = [np.arange(0, size, step) for size, step in zip(values.shape, steps, strict=True)]
    total = np.zeros([len(edge) for edge in edges])
    for at in range(values.shape[0]):
        plane = np.add.reduceat(np.asarray(values[at], np.float64), edges[1], axis=0)
        total[at // steps[0]] += np.add.reduceat(plane, edges[2], axis=1)
    return total


def _profiles(curves: list[dict[str, Any]], seed: int, level: float, bins: int = 48) -> list[dict[str, Any]]:
    """Mean share of evidence along each axis by method and class, with a band over subjects."""
    grouped: dict[tuple[str, str, str], dict[str, dict[str, list[dict[str, Any]]]]] = {}
    for row in curves:
        if row["kind"] == "profile":
            key = row["method"], row["label"], row["order"]
            subject = grouped.setdefault(key, {}).setdefault(row["subject"], {})
            subject.setdefault(row["volume"], []).append(row)
    found = []
    for (method, label, axis), subjects in sorted(grouped.items()):
        stacked = np.stack(
            [np.mean([_binned(each, bins) for each in subjects[one].values()], 0) for one in sorted(subjects)]
        )
        generator = stream(seed, f"{method}/{label}/{axis}", "profiles")
        mean, low, high = inference.simultaneous_band(stacked, generator, level=level)
        line = {"method": method, "class": label, "axis": axis, "subjects": len(stacked), "mean": mean.tolist()}
        banded = bool(np.isfinite(low).all())
        found.append({**line, "low": low.tolist() if banded else None, "high": high.tolist() if banded else None})
    return found


def _binned(rows: list[dict[str, Any]], bins: int) -> np.ndarray:
    """Shares of slices in `bins` equal parts of the axis; a slice across a border is divided, so sums stay."""
    ordered = [row["value"] for row in sorted(rows, key=itemgetter("step"))]
    reached = np.concatenate([[0.0], np.cumsum(ordered)])
    return np.diff(np.interp(np.linspace(0, 1, bins + 1), np.linspace(0, 1, len(reached)), reached))


def _cascade(curves: list[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """Rank correlation with the maps of models whose weights were drawn anew, by method and stage."""
    found = []
    rows = [row for row in curves if row["kind"] == "randomisation"]
    for method, step in sorted({(row["method"], row["step"]) for row in rows}):
        chosen = [row for row in rows if (row["method"], row["step"]) == (method, step)]
        values = by_subject(chosen, lambda row: row["value"])
        interval = inference.interval(list(values.values()), level=level, what="subject")
        found.append({**_interval(interval), "method": method, "step": step, "layer": chosen[0]["order"]})
    return found


def _scale(folders: Sequence[str | Path], results: list[dict[str, Any]], percentile: float) -> dict[str, float]:
    """For each method the percentile of its absolute values over the study, by histograms: one scale for all."""
    places = {Path(folder).name: Path(folder) for folder in folders}
    found: dict[str, float] = {}
    for method in sorted({row["method"] for row in results}):
        rows = [row for row in results if row["method"] == method and row["file"]]
        top = max((max(abs(row["min"]), abs(row["max"])) for row in rows), default=0.0)
        counts = np.zeros(SCALE_BINS, np.int64)
        for row in rows if top else []:
            values = np.load(places[row["volume"]] / row["file"], mmap_mode="r", allow_pickle=False)
            for plane in values:
                counts += np.histogram(np.abs(plane), SCALE_BINS, (0, top))[0]
        reached = np.searchsorted(counts.cumsum(), percentile / 100 * counts.sum())
        found[method] = float(top * (reached + 1) / SCALE_BINS) if top else 0.0
    return found
