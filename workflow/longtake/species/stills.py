"""Annotated frames of a video as a picture: for the report, and for whoever wants one figure of it all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longtake.annotate.overviews import filmstrip, overview
from longtake.annotate.states import told_by_rows
from longtake.annotate.timelines import band
from longtake.export.overlay import overlay_stills
from longtake.figures.save import save
from longtake.figures.style import looks
from longtake.media.windows import Window
from longtake.species.draw import seen


def draw_stills(
    *,
    video: str,
    video_path: Path,
    index_path: Path,
    windows: Sequence[Window],
    detections: Path,
    statistics: Path,
    species: Sequence[str],
    stills_out: Path,
    overview_out: Path | None = None,
    n: int = 3,
) -> dict[str, Any]:
    """Draw a filmstrip of annotated frames, and the same above the video's timeline.

    Parameters
    ----------
    statistics
        The folder that ``video_statistics`` wrote.
    species
        All species of the study.
    n
        Frames in the strip.
    """
    stills = overlay_stills(
        video_path=video_path, index_path=index_path, detections=detections, windows=windows, species=species, n=n,
        width=480,
    )  # fmt: skip
    save(filmstrip(f"Annotated frames of {video}", stills), stills_out)
    if overview_out is not None:
        visits, prompts = seen(statistics)
        states = band(windows, told_by_rows(detections))
        made = overview(video, stills, states, visits=visits, prompts=prompts, known=looks(species))
        save(made, overview_out)
    return {"stills": [time_s for time_s, _ in stills]}
