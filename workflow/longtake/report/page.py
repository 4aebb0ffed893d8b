"""One HTML page about a run, with everything in it: no scripts, no files beside it, nothing from the network."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from longtake import __version__
from longtake.report import sections
from longtake.report.markup import Markup, element
from longtake.report.memory import memory_section, summarise
from longtake.report.prompts import prompts_section
from longtake.report.records import Run, read_run
from longtake.report.survey import Survey, survey
from longtake.store.atomic import atomic_path

# The page shows names and reasons from strangers: even if an escape were forgotten, no script may run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SHOWN = ("av", "matplotlib", "numpy", "opencv-python-headless", "polars", "pyarrow", "snakemake", "torch",
          "transformers")  # fmt: skip
_LINKS = (
    ("attention", "What needs a look"), ("videos", "Videos"), ("prompts", "Prompts"), ("species", "Species"),
    ("memory", "Memory and time"),
    ("provenance", "How it was made"),
)  # fmt: skip


def write_report(
    *,
    results: Path,
    out: Path,
    species: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    pages: Mapping[str, Path] | None = None,
    command: str = "snakemake",
    title: str = "longtake report",
) -> dict[str, Any]:
    """Write the report of a run as one self-contained HTML file.

    Reads what is there and says what is not, so it can be written at any time, also after a failure. The page is
    written piece by piece.

    Memory: one video's small tables and one picture; some 300 bytes a video, 8 a prompt, and the rows that are shown.

    Parameters
    ----------
    results
        The run's output folder, as Snakemake was given it: the commands that redo a unit name its files.
    species
        All species of the study.
    settings
        The run's settings, shown as they are.
    pages
        Species -> the PNG of its page.
    command
        How the run was started, without its targets; where it names no profile, one is appended.

    Returns
    -------
    dict
        JSON-able: videos, windows, units that need a look, bytes.
    """
    run = read_run(results, command)
    found = survey(run)
    with atomic_path(out) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            for piece in _page(run, found, species, settings or {}, pages=pages or {}, title=title):
                file.write(piece)
        size = temporary.stat().st_size
    return {
        "videos": found.n_videos,
        "windows": found.windows.total(),
        "to_look_at": found.n_troubles,
        "bytes": size,
    }


def versions() -> dict[str, str]:
    """Versions of longtake, Python and the libraries that the numbers depend on, without loading any."""
    found = {"longtake": __version__, "python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _page(
    run: Run,
    found: Survey,
    species: Sequence[str],
    settings: Mapping[str, Any],
    *,
    pages: Mapping[str, Path],
    title: str,
) -> Iterator[str]:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield element("title", title) + f"<style>{style}</style></head><body>"
    yield element("header", element("h1", title), _links(), sections.summary(found, species))
    yield "<main>"
    yield sections.attention(found, run.command)
    yield from sections.videos(run, found, species)
    yield prompts_section(found.prompts)
    yield from sections.species_section(run, species, pages)
    yield memory_section(summarise(run.results))
    yield sections.provenance(settings, versions(), run, found.hosts)
    yield "</main></body></html>\n"


def _links() -> Markup:
    return element("nav", *(element("a", words, href=f"#{anchor}") for anchor, words in _LINKS))
