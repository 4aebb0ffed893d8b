"""What longtake knows of the study of species without loading it: no job of it uses a model."""

from __future__ import annotations

from longtake.unit import Analysis

ANALYSIS = Analysis(
    name="species",
    targets={
        "video_statistics": "statistics/videos/{video}/species.parquet",
        "species_statistics": "statistics/species.parquet",
        "model_comparison": "statistics/models.parquet",
        "video_figures": "figures/{video}/timeline.png",
        "study_figures": "figures/species.png",
    },
)
