"""Presence, counts, dwell, size, speed, importance and dependency: per object, per video, per species over videos."""
