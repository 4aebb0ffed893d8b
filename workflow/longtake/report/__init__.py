"""Figures as files, and the page that holds them.

Nothing is imported here: the Snakefile reads `longtake.report.failures` in every job.
"""
