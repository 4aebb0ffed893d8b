"""Figures become files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from longtake.store.atomic import atomic_path

DPI = 144


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG, atomically; the same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
