"""What longtake knows of the study of species without loading it: no job of it uses a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtake.unit import Analysis, Section, Study, Tile


def videos(study: Study) -> Mapping[str, Any]:
    """Show every video; facts ``species``, all of the study, so that each looks the same everywhere."""
    from longtake.species.report import videos as parts

    return {"parts": parts(study)}


def species(study: Study) -> Mapping[str, Any]:
    """Show the species; facts ``species``, and ``pages``, of each the picture of its page."""
    from longtake.species.report import species as parts

    return {"parts": parts(study)}


def tiles(study: Study) -> Iterator[Tile]:
    """Count videos and species."""
    from longtake.species.report import tiles as counted

    yield from counted(study)


ANALYSIS = Analysis(
    name="species",
    tiles=tiles,
    sections=(Section("videos", "Videos", videos, place=10), Section("species", "Species", species, place=30)),
    targets={
        "video_statistics": "statistics/videos/{video}/species.parquet",
        "species_statistics": "statistics/species.parquet",
        "model_comparison": "statistics/models.parquet",
        "video_figures": "figures/{video}/timeline.png",
        "study_figures": "figures/species.png",
    },
)
