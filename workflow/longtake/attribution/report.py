"""The variables of the report's section on volumes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

HITS = ("mask_share", "mask_evidence", "pointing", "mask_auprc")
MOST = 8
"""Overlays that the page shows, at most; all of them lie in figures/attribution."""


def variables(results: Path) -> dict[str, Any] | None:
    """What the template shows of a study; None where there is none yet."""
    try:
        found = json.loads((results / "reports" / "attribution_results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    pictures = results / "figures" / "attribution"
    said = _captions(results / "attribution" / "results.csv")
    overlays = []
    for path in sorted((results / "attribution" / "pictures").glob("*.json")):
        overlays += [pictures / name for name in json.loads(path.read_text(encoding="utf-8"))["pictures"][:1]]
    counts = found["maps"]
    words = ", ".join(f"{counts[name]} {name}" for name in ("ok", "approximate", "failed") if counts.get(name))
    return {
        "words": f"{found['volumes']} volumes of {found['subjects']} subjects; maps: {words or 'none'}.",
        **_tables(found),
        "figures": [
            (name, pictures / f"{name}.png")
            for name in ("summary", "randomisation", "profiles", "classes")
            if (pictures / f"{name}.png").exists()
        ],
        "overlays": [(said.get(path.stem, path.stem), path) for path in overlays[:MOST] if path.exists()],
    }


def _captions(table: Path) -> dict[str, str]:
    """A map's name -> whose it is, and what the model said of the volume."""
    if not table.exists():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"]]
    return {
        f"{row['volume']}.{row['file'].removesuffix('.npy')}": f"{row['volume']}, {row['method']} for {row['target']}; "
        f"predicted {row['predicted']}" + (f", true {row['true']}." if row["true"] else ".")
        for row in rows
    }


def _tables(found: dict[str, Any]) -> dict[str, Any]:
    """Rows of each table of the page."""
    confusion = found["confusion"]
    return {
        "accuracy": [(row["split"], row["volumes"], _share(row["mean"]), _span(row)) for row in found["accuracy"]],
        "confusion": [(true, said, count) for true in sorted(confusion) for said, count in confusion[true].items()],
        "faithfulness": [
            (*_words(row, "method kind control"), *_shares(row, "area control_area"), *_test(row))
            for row in found["faithfulness"]
        ],
        "regions": [
            (*_words(row, "method target region"), *_shares(row, "voxel_share evidence_mean"), *_test(row))
            for row in found["regions"]
        ],
        "localisation": [
            (row["method"], *(_share(row[name]["mean"]) for name in HITS)) for row in found["localisation"]
        ],
        "right_and_wrong": [
            (*_words(row, "method region n_a n_b"), *_shares(row, "mean_a mean_b"), row["reason"])
            for row in found["right_and_wrong"]
        ],
        "agreement": [(row["one"], row["other"], _number(row["mean"]), row["n"]) for row in found["agreement"]],
        "failed": [_words(row, "volume method reason") for row in found["failed"]],
    }


def _words(row: dict[str, Any], names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names.split())


def _shares(row: dict[str, Any], names: str) -> tuple[str, ...]:
    return tuple(_share(row[name]) for name in names.split())


def _test(row: dict[str, Any]) -> tuple[str, str]:
    return _number(row["p_holm"]), row["reason"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _span(row: dict[str, Any]) -> str:
    return row["reason"] if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
