"""Read the tables, draw the figures, save them: the files behind `longtake.figures`, which touches none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from longtake.figures import band, correlation, heatmap, looks, species_comparison, species_page, timeline
from longtake.report.records import told_by_rows
from longtake.statistics import tables
from longtake.store.atomic import atomic_path
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import read_table
from longtake.windows import Window

DPI = 144
MOST_CLIPS = 3000
Rows = list[dict[str, Any]]


def draw_video(
    *,
    video: str,
    windows: Sequence[Window],
    detections: Path,
    curves: Path | None,
    statistics: Path,
    species: Sequence[str],
    timeline_out: Path,
    heatmap_out: Path,
) -> dict[str, Any]:
    """Draw the timeline and the temporal heatmap of a video.

    Parameters
    ----------
    windows
        The planned windows of the video.
    detections, curves
        Its merged tables; None for the curves of a video that was not drawn for gradients.
    statistics
        The folder that ``video_statistics`` wrote.
    species
        All species of the study, so that each looks the same in every figure.
    """
    known = looks(species)
    states = band(windows, told_by_rows(detections))
    visits = _rows(statistics / "visits.parquet", tables.VISITS)
    prompts = _rows(statistics / "prompts.parquet", tables.PROMPTS)
    save(timeline(video, states, visits, prompts, known), timeline_out)
    why = "no clip was analysed" if curves else "the video was not drawn for gradients (gradients.max_videos)"
    save(heatmap(video, _rows(curves, CURVES) if curves else [], why_empty=why), heatmap_out)
    return {"windows": {state.window: state.status for state in states}}


def draw_study(
    *,
    statistics: Path,
    curves: Sequence[Path],
    clips: Sequence[Path],
    species: Sequence[str],
    correlation_out: Path,
    comparison_out: Path,
    pages: Mapping[str, Path],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw what is about all videos: correlation of importance and motion, species side by side, species pages.

    Parameters
    ----------
    statistics
        The folder that ``species_statistics`` wrote.
    curves, clips
        The merged gradient tables of each video, in one order.
    pages
        Where the page of each species goes.

    Memory: the tables of one video, and `MOST_CLIPS` clips; of more, every n-th is drawn, and the title says so.
    """
    known = looks(species)
    summary = _rows(statistics / "species.parquet", tables.SPECIES)
    videos = _rows(statistics / "videos.parquet", tables.VIDEO_SPECIES)
    verdicts = _rows(statistics / "verdicts.parquet", tables.VERDICTS)
    bands = _rows(statistics / "curves.parquet", tables.SPECIES_CURVES)
    some_curves, some_clips, step = _every_nth(curves, clips)
    words = "all videos" if step == 1 else f"all videos, one clip of every {step}"
    save(correlation(words, some_curves, some_clips, known, species=summary), correlation_out)
    save(species_comparison(summary, known), comparison_out)
    for done, (name, path) in enumerate(pages.items(), start=1):
        save(species_page(name, videos, summary, bands, known, verdicts=verdicts), path)
        if progress is not None:
            progress(done, len(pages))
    return {"clips": len(some_clips)}


def _every_nth(curves: Sequence[Path], clips: Sequence[Path]) -> tuple[Rows, Rows, int]:
    """Rows of CURVES and CLIPS of at most `MOST_CLIPS` clips, evenly over all videos, and how many one stands for."""
    total = sum(pq.read_metadata(path).num_rows for path in clips)
    step = max(1, -(-total // MOST_CLIPS))
    some_curves: Rows = []
    some_clips: Rows = []
    seen = 0
    for curve_path, clip_path in zip(curves, clips, strict=True):
        rows = _rows(clip_path, CLIPS)
        kept = [row for number, row in enumerate(rows, start=seen) if number % step == 0]
        names = {(row["window"], row["object"], row["clip"]) for row in kept}
        some_clips += kept
        some_curves += [r for r in _rows(curve_path, CURVES) if (r["window"], r["object"], r["clip"]) in names]
        seen += len(rows)
    return some_curves, some_clips, step


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG, atomically; the same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})


def _rows(path: Path, schema: pa.Schema) -> Rows:
    return read_table(path, schema).to_pylist()
