"""What longtake knows of latents without loading them: jobs of whole videos, and the section of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtake.unit import Analysis, Kind, Section, Study, Unit

SHARD = Kind("latents_shard", "latents/shards/{latent_job}/videos.parquet", "latents", work="latents", parts="videos")


def units(study: Study) -> Iterator[Unit]:
    """Yield the jobs of the study; fact ``shards``: how many latents each of them measures, by name."""
    for shard, latents in study.facts["shards"].items():
        yield Unit(SHARD.rule, {"latent_job": shard}, subject=f"latents {shard}", work=latents, case=shard)


def section(study: Study) -> Mapping[str, Any] | None:
    """What the report shows of latents; nothing before the statistics are written."""
    from longtake.latents.shown import shown

    return shown(study.results)


ANALYSIS = Analysis(
    name="latents",
    kinds=(SHARD,),
    units=units,
    targets={"latents_index": "latents/index/{latent_job}.parquet"},
    sections=(Section("latents", "Structure of latents", section, "report.html.j2"),),
)
