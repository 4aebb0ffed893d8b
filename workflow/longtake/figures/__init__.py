"""Figures: tables in, ``matplotlib.figure.Figure`` out; no files, no pyplot, one style."""

from longtake.figures.gradients import correlation, heatmap
from longtake.figures.memory import memory_curves, memory_figure
from longtake.figures.overviews import filmstrip, overview
from longtake.figures.species import species_comparison, species_page
from longtake.figures.style import looks
from longtake.figures.timelines import WindowState, band, timeline

__all__ = [
    "WindowState",
    "band",
    "correlation",
    "filmstrip",
    "heatmap",
    "looks",
    "memory_curves",
    "memory_figure",
    "overview",
    "species_comparison",
    "species_page",
    "timeline",
]
