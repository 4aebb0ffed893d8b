"""What the report shows of a study of latents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake.latents import tables
from longtake.store.tables import read_table

_MOST = 40
FIGURES = (
    ("curves", "Means of the groups over the denoising steps"),
    ("effects", "The largest differences between groups"),
    ("slopes", "Videos of one seed, side by side"),
    ("spectra", "Spatial spectra by step"),
    ("channels", "Correlation of channels"),
    ("corridors", "Corridors and divergence"),
    ("map", "Maps of all videos"),
    ("separability", "Whether groups can be told apart"),
)


def shown(results: Path) -> Mapping[str, Any] | None:
    """Variables of the section's template; None before the statistics are written."""
    folder = results / "latents"
    if not (folder / "tests.parquet").is_file():
        return None
    videos = read_table(folder / "videos.parquet", tables.VIDEOS).to_pylist()
    tests = [row for row in read_table(folder / "tests.parquet", tables.TESTS).to_pylist() if row["p"] is not None]
    tests.sort(key=lambda row: min(row["p_maxt"] or 1.0, row["p_holm"] or 1.0))
    told = [
        row for row in read_table(folder / "separability.parquet", tables.SEPARABILITY).to_pylist()
        if row["features"] == "all"
    ]  # fmt: skip
    held = json.loads((results / "reports" / "structure_aware_analysis_results.json").read_text(encoding="utf-8"))
    compared = [row for row in videos if row["compared"]]
    bad = [(row["video"], row["status"], row["reason"]) for row in videos if row["reason"]]
    noticed = [(row["video"], notice) for row in videos for notice in row["notices"] or ()]
    return {
        "n_videos": len(videos), "n_compared": len(compared), "n_groups": len({row["group"] for row in compared}),
        "n_latents": sum(row["n_steps"] for row in compared),
        "across": held["study"]["across_videos"]["reason"],
        "bad": bad[:_MOST], "n_bad": len(bad), "noticed": noticed[:_MOST],
        "tests": [
            (row["test"], row["group"], row["metric"], row["summary"], row["difference"], row["hedges_g"], row["p"],
             row["p_maxt"], row["p_holm"])
            for row in tests[:_MOST]
        ],
        "n_tests": len(tests), "told": told[0] if told else None,
        "figures": [(words, results / "figures" / "latents" / f"{name}.png") for name, words in FIGURES
                    if (results / "figures" / "latents" / f"{name}.png").is_file()],
    }  # fmt: skip
