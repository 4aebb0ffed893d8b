"""The study's statistics written: tables of groups, steps, tests and separability, and a JSON by section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longtake.latents import tables
from longtake.latents.comparisons import bands, contrasts, intervals, trends
from longtake.latents.layout import too_many
from longtake.latents.names import TRAJECTORY, metrics, texts
from longtake.latents.options import Options
from longtake.latents.separability import separate
from longtake.latents.values import CROSSED, Values, read_values
from longtake.store.atomic import write_csv, write_json
from longtake.store.tables import read_table, write_table

TABLES = {
    "groups": tables.GROUPS, "group_steps": tables.GROUP_STEPS, "tests": tables.TESTS,
    "separability": tables.SEPARABILITY,
}  # fmt: skip


def study_statistics(
    *,
    given: Mapping[str, Any],
    out: Mapping[str, str],
    options: Options | Mapping[str, Any],
    seed: int,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write all statistics of a study. Memory: 16 bytes for each video, step and metric.

    Parameters
    ----------
    given
        Paths of ``videos``, ``metrics``, ``trajectories``, and lists of ``step_videos`` and ``step_groups``.
    out
        Paths of each of `TABLES`, of ``{name}_csv``, and of ``results``.
    """
    del progress
    options = options if isinstance(options, Options) else Options(**options)
    names = metrics(options.families, options.patch_sizes)
    values = read_values(
        given["videos"], given["metrics"], given["trajectories"], given["step_videos"], names,
        pair_by_seed=options.pair_by_seed,
    )  # fmt: skip
    baseline = options.baseline or next(iter(values.groups), "")
    drawn: dict[str, Any] = {"seed": seed, "draws": options.permutations, "level": level}
    crossed = [row for path in given["step_groups"] for row in read_table(path, tables.STEP_GROUPS).to_pylist()]
    order = [name for name in options.order if name in values.groups]
    found = {
        "groups": intervals(values, level),
        "group_steps": bands(values, crossed, **drawn),
        "tests": contrasts(values, baseline=baseline, which=options.contrasts, **drawn) + trends(values, order),
        "separability": separate(values, seed=seed, permutations=options.permutations) if options.separability else [],
    }
    for name, schema in TABLES.items():
        rows = [dict.fromkeys(schema.names) | row for row in found[name]]
        write_table(out[name], rows, schema)
        write_csv(out[f"{name}_csv"], schema.names, rows)
    write_json(out["results"], by_section(values, found, baseline, options))
    significant = sum((row.get("p_maxt") or 1.0) < 1.0 - level for row in found["tests"])
    return {"videos": len(values.videos), "groups": len(values.groups), "tests": len(found["tests"]),
            "significant": significant}  # fmt: skip


def by_section(
    values: Values, found: Mapping[str, Sequence[Mapping[str, Any]]], baseline: str, options: Options
) -> dict[str, Any]:
    """Means and intervals of every family, group and metric, what differs, and how well groups are told apart."""
    sections: dict[str, Any] = {}
    about: dict[str, tuple[str, ...]] = {
        str(family): tuple(texts([family], options.patch_sizes)) for family in options.families
    }
    about |= {"trajectory": TRAJECTORY, "across_videos": CROSSED}
    for family, named in about.items():
        part: dict[str, Any] = {}
        for row in found["groups"]:
            of_way = row["summary"] == "trajectory"
            if row["metric"] not in named or of_way != (family == "trajectory"):
                continue
            numbers = {key: row[key] for key in ("mean", "low", "high", "n")}
            part.setdefault(row["group"], {}).setdefault(row["metric"], {})[row["summary"]] = numbers
        sections[family] = part
    shown = ("test", "group", "baseline", "metric", "summary", "difference", "low", "high", "hedges_g", "p", "p_maxt",
             "p_holm")  # fmt: skip
    differs = [row for row in found["tests"] if min(row.get("p_maxt") or 1.0, row.get("p_holm") or 1.0) < 0.05]
    told = [row for row in found["separability"] if row["features"] != "confusion"]
    return {
        "study": {"groups": {g: len(values.members(g)) for g in values.groups}, "baseline": baseline,
                  "steps": values.steps, "shape": values.videos[0]["shape"] if values.videos else None,
                  "across_videos": _across(len(values.videos), options.most_compared)},
        "sections": sections,
        "tests": {"made": len(found["tests"]), "significant": [{k: row.get(k) for k in shown} for row in differs]},
        "separability": [{k: v for k, v in row.items() if v is not None} for row in told],
    }  # fmt: skip


def _across(videos: int, most: int) -> dict[str, str]:
    """Whether videos were compared with each other at each step."""
    return {"status": "left out", "reason": too_many(videos, most)} if videos > most else {"status": "ok", "reason": ""}
