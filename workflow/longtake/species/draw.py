"""Read the tables, draw the figures of videos and of the study, save them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from longtake.annotate.states import told_by_rows
from longtake.annotate.timelines import band, timeline
from longtake.figures.save import save
from longtake.figures.style import looks
from longtake.gradients.figures import MOST_ROWS, correlation, heatmap
from longtake.gradients.shown import Rows, study_clips, video_curves
from longtake.media.windows import Window
from longtake.species import tables
from longtake.species.figures import PAGE_COLUMNS, species_comparison, species_page
from longtake.store.tables import scan_batches


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

    Memory: the visits of the video, the rows of the clips that a heatmap shows, and a key for each other clip.
    """
    known = looks(species)
    states = band(windows, told_by_rows(detections))
    save(timeline(video, states, *seen(statistics), known), timeline_out)
    why = "no clip was analysed" if curves else "the video was not drawn for gradients (gradients.max_videos)"
    rows, total = video_curves(curves, MOST_ROWS) if curves else ([], 0)
    save(heatmap(video, rows, total=total, why_empty=why), heatmap_out)
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
    seed: int = 0,
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
    seed
        Of the draw of clips, where there are more than a figure shows.

    Memory: the clips of one video, `MOST_CLIPS` clips of all, which the title tells, and the rows of one species.
    """
    known = looks(species)
    summary = _rows(statistics / "species.parquet", tables.SPECIES)
    verdicts = _rows(statistics / "verdicts.parquet", tables.VERDICTS)
    relations = _rows(statistics / "relations.parquet", tables.RELATIONS)
    bands = _rows(statistics / "curves.parquet", tables.SPECIES_CURVES)
    some = study_clips(clips, seed)
    words = (
        "all videos" if len(some.clips) == some.total else f"all videos, {len(some.clips)} of {some.total} clips drawn"
    )
    made = correlation(words, some.curves(curves), some.clips, known, species=summary, means=some.means)
    save(made, correlation_out)
    save(species_comparison(summary, known), comparison_out)
    for done, (name, path) in enumerate(pages.items(), start=1):
        videos = _rows(statistics / "videos.parquet", tables.VIDEO_SPECIES, PAGE_COLUMNS, species=name)
        save(species_page(name, videos, summary, bands, known, verdicts=verdicts, relations=relations), path)
        if progress is not None:
            progress(done, len(pages))
    return {"clips": some.total, "clips_drawn": len(some.clips)}


def seen(statistics: Path) -> tuple[Rows, Rows]:
    """Read what a timeline shows of a video's statistics: rows of ``VISITS`` and ``PROMPTS``, in part."""
    visits = _rows(statistics / "visits.parquet", tables.VISITS, ("object", "species", "start_s", "stop_s"))
    prompts = _rows(statistics / "prompts.parquet", tables.PROMPTS, ("object", "species", "time_s"))
    return visits, prompts


def _rows(path: Path, schema: pa.Schema, columns: Sequence[str] = (), species: str | None = None) -> Rows:
    """Rows of a small table; the columns named, and those of one species, a batch at a time."""
    found: Rows = []
    for batch in scan_batches(path, schema, 4096, columns or None):
        kept = batch if species is None else batch.filter(pc.equal(batch.column("species"), species))
        found += kept.to_pylist()
    return found
