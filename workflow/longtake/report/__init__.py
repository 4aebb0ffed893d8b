"""Figures as files, and the page that holds them."""

from longtake.report.page import write_report

__all__ = ["write_report"]
