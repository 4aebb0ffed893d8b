"""The tables of docs/statistics.md, from what `level.py` measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results/level.json"


def level_tables() -> str:
    """Coverage, false alarms and words, before and after, as Markdown."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    parts = [
        f"Measured {found['date']} by `benchmarks/level.py` ({found['cpu_s']} s of CPU time).",
        "Coverage of intervals that say 95 %, by subjects:",
        _table(("distribution", "n", "before", "after"), found["intervals"]),
        "Bands of 20 points that hold the whole curve (95 % meant):",
        _table(("n", "before", "after"), found["bands"]),
        "False alarms at 5 % of a test of two groups without a difference, by sizes and spreads:",
        _table(("n_a", "n_b", "sd", "before", "after"), found["alarms"]),
        "False alarms of two unrelated series of 30 frames, and coverage of the interval of r:",
        _table(("autocorrelation", "before", "after", "interval"), found["series"]),
        "Tests between species, 10 videos each. Before: the least p that Holm could come to. After: studies with a "
        "false finding, and tests that find species that are wholly apart:",
        _table(("species", "before_least_p", "after_false", "after_found"), found["families"]),
        "Words on models of which it is known what they use: share of studies with a wrong word, and with a word at "
        "all (the power), by videos and clips a video:",
        _table(("model", "videos", "clips", "before_wrong", "after_wrong", "after_decided"), found["words"]),
        "Words on importance and motion. Before, a species was called static where the mean r was small, though |r| "
        "was .85 in every clip (both ways):",
        _table(("relation", "videos", "clips", "before", "after"), map(_told, found["relations"])),
    ]
    return "\n\n".join(parts)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "before": _words(row["before"]), "after": _words(row["after"])}


def _words(told: Mapping[str, int]) -> str:
    total = sum(told.values())
    return ", ".join(f"{word} {_cell(times / total)}" for word, times in sorted(told.items(), key=lambda at: -at[1]))


def _table(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    head = f"| {' | '.join(name.replace('_', ' ') for name in names)} |"
    body = [f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in rows]
    return "\n".join([head, f"|{'---|' * len(names)}", *body])


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    return (
        f"{value:.2f}".removeprefix("0") if isinstance(value, float) and value != 1 else str(value).removesuffix(".0")
    )
