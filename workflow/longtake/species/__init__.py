"""Presence, counts, dwell, size, speed, importance and dependency: per object, per video, and per species
over videos."""

from longtake.species.study import species_statistics
from longtake.species.video import video_statistics

__all__ = ["species_statistics", "video_statistics"]
