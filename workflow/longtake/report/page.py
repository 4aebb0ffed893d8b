"""One HTML page about a run, with everything in it: no scripts, no files beside it, nothing from the network."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from longtake import __version__
from longtake.figures.markup import element
from longtake.report import sections
from longtake.report.memory import memory_section, summarise
from longtake.report.records import Run, read_run
from longtake.report.survey import Survey, survey
from longtake.store.atomic import atomic_path
from longtake.unit import Facts

# The page shows names and reasons from strangers: even if an escape were forgotten, no script may run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SHOWN = ("av", "matplotlib", "numpy", "opencv-python-headless", "polars", "pyarrow", "snakemake", "torch",
          "transformers")  # fmt: skip
_LINKS = (
    ("memory", "Memory and time"), ("provenance", "How it was made"),
)  # fmt: skip


def write_report(
    *,
    results: Path,
    out: Path,
    studies: Mapping[str, Facts],
    settings: Mapping[str, Any] | None = None,
    command: str = "snakemake",
    title: str = "longtake report",
) -> dict[str, Any]:
    """Write the report of a run as one self-contained HTML file.

    Reads what is there and says what is not, so it can be written at any time, also after a failure. The page is
    written piece by piece.

    Memory: what a section of an analysis holds at a time, and the rows that are shown.

    Parameters
    ----------
    results
        The run's output folder, as Snakemake was given it: the commands that redo a unit name its files.
    studies
        Of each analysis that takes part, what the rules say of it (`longtake.unit.Study.facts`).
    settings
        The run's settings, shown as they are.
    command
        How the run was started, without its targets; where it names no profile, one is appended.

    Returns
    -------
    dict
        JSON-able: units, units that need a look, bytes.
    """
    run = read_run(results, command, studies)
    found = survey(run)
    with atomic_path(out) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(_page(run, found, settings or {}, title))
        size = temporary.stat().st_size
    units = sum(counted.total() for counted in found.units.values())
    return {"units": units, "to_look_at": found.n_troubles, "bytes": size}


def versions() -> dict[str, str]:
    """Versions of longtake, Python and the libraries that the numbers depend on, without loading any."""
    found = {"longtake": __version__, "python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _page(run: Run, found: Survey, settings: Mapping[str, Any], title: str) -> Iterator[str]:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    listed = sections.sections_of(run, found)
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield element("title", title) + f"<style>{style}</style></head><body>"
    links = [("attention", "What needs a look"), *((each.anchor, each.heading) for each, *_ in listed), *_LINKS]
    nav = element("nav", *(element("a", words, href=f"#{anchor}") for anchor, words in links))
    yield element("header", element("h1", title), nav, sections.summary(run, found))
    yield "<main>"
    yield sections.attention(found, run.command)
    for each in listed:
        yield from sections.section_of(*each)
    yield memory_section(summarise(run.results))
    yield sections.provenance(settings, versions(), run, found.hosts)
    yield "</main></body></html>\n"
