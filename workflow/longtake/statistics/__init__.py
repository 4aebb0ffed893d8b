"""Presence, counts, dwell, size, speed, importance and dependency: per object, per video, and per species
over videos."""

from longtake.statistics.species import species_statistics
from longtake.statistics.video import video_statistics

__all__ = ["species_statistics", "video_statistics"]
