"""The comparison of two models as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtake.figures.save import save
from longtake.figures.style import looks
from longtake.species import tables
from longtake.species.model_figure import model_comparison
from longtake.species.models import compare_models
from longtake.store.tables import read_table


def compare_and_draw(
    *,
    run_a: Path,
    run_b: Path,
    videos: Sequence[str],
    species: Sequence[str],
    table_out: Path,
    figure_out: Path,
    seed: int,
    level: float,
    draws: int,
) -> dict[str, Any]:
    """Compare the models of two runs, see `compare_models`, and draw the table; models are called by their folders."""
    facts = compare_models(run_a=run_a, run_b=run_b, videos=videos, out=table_out, seed=seed, level=level, draws=draws)
    rows = read_table(table_out, tables.MODELS).to_pylist()
    save(model_comparison(rows, looks(species), a=str(run_a), b=str(run_b)), figure_out)
    return facts
