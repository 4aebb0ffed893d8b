"""Intervals, tests and aggregates whose unit is the subject: a video, a case, a seed pair. It knows no analysis."""
