"""What the benchmarks of latents measured, as Markdown for docs/measured.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def latent_tables() -> Iterator[str]:
    """Speed against the goals, agreement, memory, the level of tests, readers, and a typical study."""
    found = json.loads((RESULTS / "latents.json").read_text(encoding="utf-8"))
    goals, families = found["goals"], found["families"]
    yield (
        f"**Latents** of {found['shape']} (channels, frames, rows, columns), milliseconds of CPU time each, one thread "
        f"({found['date']}). The reference is the plain float64 code beside each metric, one map, pair and histogram "
        f"at a time, not another system; all families of a latent take {families['whole latent']['batched_ms']:.0f} ms:"
    )
    rows = [
        (name, *(f"{row[key]:.1f}" for key in ("reference_ms", "batched_ms", "ratio")), _goal(goals.get(name)))
        for name, row in families.items()
        if name != "whole latent"
    ]
    yield _table(("family", "reference", "batched", "ratio", "goal"), rows)
    kinds = list(next(iter(found["agreement"].values())))
    yield (
        "Largest difference of batched metrics from float64 references, relative (absolute below 1e-3), by family and "
        "kind of input; bits of information in the same way:"
    )
    yield _table(("family", *kinds), [(name, *map(_small, row.values())) for name, row in found["agreement"].items()])
    peaks = found["memory"]
    yield (
        f"Peak RSS of a job that measures {' / '.join(peaks)} latents: "
        f"{' / '.join(format(row['peak_mb'], '.0f') for row in peaks.values())} MB. Reading one latent from the page "
        f"cache takes {', '.join(f'{ms:.1f} ms as {kind}' for kind, ms in found['readers_ms'].items())}."
    )
    yield from _inference(found["inference"])
    yield from _typical()


def _inference(found: dict[str, Any]) -> Iterator[str]:
    yield (
        f"**Tests between groups of latents**, {found['studies']} seeded studies of {found['seeds']} pairs of seeds "
        f"and {found['measures']} measures that go together. Without a difference: the share of studies with a "
        f"finding; with one measure that differs (d_z {found['effect_dz']:g}): how often it is found. Bands of 95 % "
        f"held the whole curve of 20 steps in {found['band_coverage']:.1%} of studies."
    )
    words = {"p_maxt": "max-T (p_maxt)", "p_holm": "Holm (p_holm)"}
    rows = [(text, f"{found['false_findings'][p]:.1%}", f"{found['power'][p]:.1%}") for p, text in words.items()]
    yield _table(("adjusted by", "false findings", "power"), rows)


def _typical() -> Iterator[str]:
    path = RESULTS / "latents_typical.json"
    if not path.is_file():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    yield (
        f"**A typical study of latents** through the workflow: {found['videos']} videos of {found['steps']} steps, "
        f"{found['gb']} GB, made for it and removed ({found['date']}, {found['cores']} cores that others used, too, "
        f"load {found['load']:g} before): {found['wall_s'] / 60:.1f} min, no job over {found['peak_mb']:.0f} MB."
    )
    rows = [
        (rule, run["jobs"], f"{run['cpu_s']:.0f}", f"{run['rss_mb']:.0f}")
        for rule, run in found["jobs"].items()
        if rule.startswith("latents_")
    ]
    yield _table(("jobs of", "number", "CPU s, all", "peak RSS, MB"), rows)


def _goal(goal: dict[str, Any] | None) -> str:
    return "" if goal is None else f"{goal['goal']:g}{'' if goal['met'] else ', missed'}"


def _small(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in (heads, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(heads)}", *lines[1:]])
