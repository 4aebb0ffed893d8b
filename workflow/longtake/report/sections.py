"""The parts of the page that are about the run as a whole, and the frame around those of the analyses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from longtake.figures import markup
from longtake.figures.markup import Markup, definitions, details, element, status, table
from longtake.figures.style import clock
from longtake.report.records import Run
from longtake.report.survey import Survey
from longtake.unit import Analysis, Section, Study, Tile, analyses

GLOBALS = {
    "clock": clock,
    "definitions": markup.definitions,
    "details": markup.details,
    "element": markup.element,
    "number": markup.number,
    "picture": markup.picture,
    "status": markup.status,
    "table": markup.table,
}
"""What templates can call."""


def sections_of(run: Run, found: Survey) -> list[tuple[Section, Analysis, Study]]:
    """List the sections of all analyses that take part, in order, and whose they are."""
    listed = [
        (section, analyses()[name], replace(study, ranks=found.ranks))
        for name, study in run.studies.items()
        for section in analyses()[name].sections
    ]
    return sorted(listed, key=lambda each: (each[0].place, each[1].name))


def section_of(section: Section, analysis: Analysis, study: Study) -> Iterator[str]:
    """Yield a section of an analysis piece by piece; nothing where it has nothing to show."""
    shown = section.data(study)
    if shown is None:
        return
    yield f'<section id="{markup.text(section.anchor)}">' + element("h2", section.heading)
    if section.template:
        yield from environment(analysis.folder).get_template(section.template).generate(shown)
    else:
        yield from map(markup.text, shown["parts"])
    yield "</section>"


def environment(folder: Path) -> Environment:
    """Return how the templates in a folder are filled in: every text is escaped, and what is missing is an error."""
    made = Environment(autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(folder), trim_blocks=True)
    made.globals.update(GLOBALS)
    return made


def summary(run: Run, found: Survey) -> Markup:
    """Counts of everything, so that the first glance tells whether to worry."""
    tiles = [tile for name, study in run.studies.items() for tile in _tiles(analyses()[name], study, found)]
    tiles.append(Tile("To look at", str(found.n_troubles), "unreadable, failed, missing or approximate"))
    return element(
        "div",
        *(
            element("div", element("small", tile.name), element("b", tile.value), element("small", tile.words),
                    class_="tile")
            for tile in tiles
        ),
        class_="tiles",
    )  # fmt: skip


def _tiles(analysis: Analysis, study: Study, found: Survey) -> Iterator[Tile]:
    """What an analysis counts itself, its units, and their parts."""
    yield from analysis.tiles(study) if analysis.tiles else ()
    for kind in analysis.kinds:
        for name, counted in ((kind.row, found.units.get(kind.row)), (kind.parts, found.parts.get(kind.parts))):
            if counted:
                words = ", ".join(f"{number} {word}" for word, number in counted.items() if number)
                yield Tile(name.capitalize(), str(counted.total()), words)


def attention(found: Survey, command: str) -> Markup:
    """What was approximate, failed or unreadable, why, and the command that redoes just that."""
    rows = [
        (
            status(item.status),
            item.what,
            item.reason or "no reason was recorded",
            element("code", item.command or command),
        )
        for item in found.troubles
    ]
    words = "Everything that was planned has run, and every unit ended as ok."
    parts = [table(("Status", "Unit", "Reason", "Redo just this"), rows, empty=words)]
    if rows:
        after = "Each command redoes one unit, when its cause is gone; what follows from it is made by "
        parts.append(element("p", after, element("code", command), ".", class_="quiet"))
    if found.n_troubles > len(rows):
        parts.append(element("p", f"{found.n_troubles - len(rows)} more are left out here.", class_="quiet"))
    return _section("attention", "What needs a look", *parts)


def _section(anchor: str, heading: str, *inside: Any) -> Markup:
    return element("section", element("h2", heading), *inside, id=anchor)


def provenance(settings: Mapping[str, Any], versions: Mapping[str, str], run: Run, hosts: Collection[str]) -> Markup:
    """Settings, versions and machines: what one needs to run it again."""
    facts = {**versions, "machines": ", ".join(sorted(hosts)) or "–", "folder": str(run.results)}
    return _section(
        "provenance",
        "How it was made",
        definitions(facts),
        element("p", "Run it again: ", element("code", run.command)),
        details(
            "All settings",
            element("pre", json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False, default=str)),
        ),
    )
