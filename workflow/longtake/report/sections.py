"""The report's sections, each a function from the run's facts to markup."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from longtake.errors import SchemaError
from longtake.figures import looks, timeline
from longtake.figures.style import clock
from longtake.figures.timelines import NO_OBJECTS
from longtake.report.markup import Markup, definitions, details, element, number, picture, status, table
from longtake.report.prompts import prompts_tile, video_prompts
from longtake.report.records import Run, prompts_of, window_states
from longtake.report.survey import Survey
from longtake.species import tables
from longtake.store.tables import read_table
from longtake.verdicts import UNDECIDED

Row = Mapping[str, Any]
MOST_ROWS = 400
MOST_VIDEOS = 50


def rows_of(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read a small table, or nothing where it is missing or of another version."""
    try:
        return read_table(path, schema).to_pylist()
    except SchemaError:
        return []


def summary(found: Survey, species: Sequence[str]) -> Markup:
    """Counts of everything, so that the first glance tells whether to worry."""
    clips = ", ".join(f"{n} {name}" for name, n in found.clips.items() if n)
    tiles = [
        ("Videos", str(found.n_videos), f"{found.readable} readable, {clock(found.seconds)} in all"),
        ("Windows", str(found.windows.total()), _counts(found.windows)),
        ("Clips", str(found.clips.total()), clips),
        prompts_tile(found.prompts),
        ("Species", str(len(species)), ", ".join(species[:6]) + (" …" if len(species) > 6 else "")),
        ("To look at", str(found.n_troubles), "unreadable, failed, missing or approximate"),
    ]
    return element(
        "div",
        *(
            element("div", element("small", name), element("b", value), element("small", words), class_="tile")
            for name, value, words in tiles
        ),
        class_="tiles",
    )


def _counts(states: Mapping[str, int]) -> str:
    return ", ".join(
        f"{states[name]} {name}" for name in ("ok", "approximate", "failed", "missing") if states.get(name)
    )


def attention(found: Survey, command: str) -> Markup:
    """What was approximate, failed or unreadable, why, and the command that redoes just that."""
    rows = [
        (status(item.status), item.what, item.reason or "no reason was recorded", element("code", item.command))
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


def videos(run: Run, found: Survey, species: Sequence[str]) -> Iterator[Markup]:
    """Every video: its facts, timeline, stills, heatmap, windows, objects and prompts; of many, `MOST_VIDEOS`."""
    yield Markup('<section id="videos"><h2>Videos</h2>')
    if not found.videos:
        yield element("p", "No video was planned yet.", class_="quiet")
    shown = found.videos[:MOST_VIDEOS]
    if found.n_videos > len(shown):
        words = (
            f"{len(shown)} of {found.n_videos} videos are shown: those that need a look, worst first, and then the "
            "first ones of the sheet. The others are listed below; figures of each lie in figures/{video}."
        )
        yield element("p", words, class_="quiet")
    else:
        shown = sorted(shown, key=lambda glance: glance.place)
    for glance in shown:
        yield element("h3", glance.row.get("video", ""))
        yield definitions(_facts(glance.row))
        if glance.row.get("status") == "ok":
            yield from _video(run, glance.row.get("video", ""), species)
    yield _others(found)
    yield Markup("</section>")


def _others(found: Survey) -> Markup:
    """The videos that have no pictures here, as a table."""
    rows = [
        (
            glance.row.get("video", ""), status(glance.row.get("status", "")),
            clock(float(glance.row.get("duration_s") or 0)), _counts(glance.windows), glance.prompts,
            glance.lost,
        )
        for glance in found.videos[MOST_VIDEOS:]
    ]  # fmt: skip
    if not rows:
        return Markup("")
    words = f"{len(rows)} other videos"
    if found.n_videos > len(found.videos):
        words += f" ({found.n_videos - len(found.videos)} more stand in plan/videos.tsv)"
    head = ("Video", "Status", "Length", "Windows", "Prompts", "lost")
    return details(words, table(head, rows, numeric=(2, 4, 5)))


def _facts(row: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": row.get("path", ""), "status": status(row.get("status", ""))}
    if row.get("reason"):
        facts["reason"] = row["reason"]
    if row.get("status") == "ok":
        rate = f"{float(row.get('fps') or 0):.3g} frames/s" + (
            ", variable" if row.get("variable_rate") == "True" else ""
        )
        size = f"{row.get('width')} × {row.get('height')} px"
        length = clock(float(row.get("duration_s") or 0))
        facts["video"] = f"{length}, {row.get('frames')} frames, {rate}, {size}, {row.get('codec')}"
    return facts


def _video(run: Run, video: str, species: Sequence[str]) -> Iterator[Markup]:
    states, folder = window_states(run, video), run.results / "statistics" / "videos" / video
    visits = rows_of(folder / "visits.parquet", tables.VISITS)
    prompts = rows_of(folder / "prompts.parquet", tables.PROMPTS)
    # Drawn here and not read from the figure's file: a run that failed has no file, but needs the timeline most.
    measured = (folder / "visits.parquet").is_file()
    words = NO_OBJECTS if measured else "Nothing has been measured in this video yet"
    made = timeline(video, states, visits, prompts, looks(species), why_no_objects=words)
    yield picture(made, f"Timeline of {video}")
    for name, words in (("stills", "Annotated frames"), ("heatmap", "Temporal importance")):
        path = run.results / "figures" / video / f"{name}.png"
        if path.is_file():
            yield picture(path, f"{words} of {video}")
    yield details(
        f"{len(states)} window{'' if len(states) == 1 else 's'}",
        table(
            ("Window", "From", "To", "Status", "Reason"),
            [(s.window, clock(s.start_s), clock(s.stop_s), status(s.status), s.reason) for s in states],
            numeric=(0, 1, 2),
        ),
    )
    objects = rows_of(folder / "objects.parquet", tables.OBJECTS)
    yield details(f"{len(objects)} objects", _objects(objects))
    yield video_prompts(prompts_of(run, video))


def _objects(rows: Sequence[Row]) -> Markup:
    head = (
        "Object", "Species", "Presence", "Dwell (s)", "Visits", "Entries", "Exits", "Mask area (px²)",
        "Box diagonal (px)", "Speed (px/s)", "Speed (body lengths/s)",
    )  # fmt: skip
    names = (
        "presence", "dwell_s", "n_visits", "entries", "exits", "area_px", "box_diagonal_px", "speed_px_s",
        "speed_bl_s",
    )  # fmt: skip
    body = [(row["object"], row["species"], *(number(row[name]) for name in names)) for row in rows[:MOST_ROWS]]
    return table(head, body, numeric=range(2, 11), empty="No object was tracked.")


def species_section(run: Run, species: Sequence[str], pages: Mapping[str, Path]) -> Iterator[Markup]:
    """Species side by side, their tables and tests, importance against motion, and a page each."""
    folder, figures = run.results / "statistics", run.results / "figures"
    found = rows_of(folder / "species.parquet", tables.SPECIES)
    tests = rows_of(folder / "comparisons.parquet", tables.COMPARISONS)
    yield Markup('<section id="species"><h2>Species</h2>')
    yield element(
        "p",
        "The video is the unit: objects and clips are averaged within each video first. A species counts in the "
        "videos in which it was annotated; too few videos give a mean but no interval and no test.",
        class_="quiet",
    )
    if not found:
        yield element("p", "No species statistics exist yet.", class_="quiet")
    for name, words in (
        ("species.png", "Species side by side"),
        ("correlation.png", "Importance against motion"),
        ("models.png", "Two models on the same clips"),
    ):
        if (figures / name).is_file():
            yield picture(figures / name, words)
    yield _verdicts(rows_of(folder / "verdicts.parquet", tables.VERDICTS))
    yield details(f"Means and intervals ({len(found)} rows)", _measures(found))
    decided = sum(row["status"] == "ok" for row in tests)
    yield details(f"Tests between species ({decided} of {len(tests)} decided)", _tests(tests))
    for name in species:
        if name in pages and pages[name].is_file():
            yield picture(pages[name], f"Species page of {name}")
    yield Markup("</section>")


def _verdicts(rows: Sequence[Row]) -> Markup:
    """What the model uses for each species; a word only where most videos are sure to bear it out."""
    body = [
        (row["species"], row["n_videos"], _word(row["uses"]), row["uses_reason"], _word(row["relation"]),
         row["motion"] or "–", row["relation_reason"])
        for row in rows
    ]  # fmt: skip
    head = ("Species", "Videos", "The model uses", "Because", "Importance goes", "Motion of", "Because")
    return table(head, body, numeric=(1,), empty="No species was judged yet.")


def _word(word: str) -> Markup | str:
    return status(word) if word == UNDECIDED else word


def _measures(rows: Sequence[Row]) -> Markup:
    body = [
        (
            row["species"], row["measure"], row["unit"], number(row["mean"]),
            f"{number(row['low'])} to {number(row['high'])}" if row["low"] is not None else status("undecided"),
            number(row["sd"]), row["n_videos"], row["n_ok"], row["n_approximate"], row["n_failed"], row["reason"],
        )
        for row in rows
    ]  # fmt: skip
    head = (
        "Species", "Measure", "Unit", "Mean", "Interval", "SD", "Videos", "Units ok", "approximate", "failed",
        "Reason",
    )  # fmt: skip
    return table(head, body, numeric=(3, 4, 5, 6, 7, 8, 9), empty="No species was seen.")


def _tests(rows: Sequence[Row]) -> Markup:
    ordered = sorted(rows, key=lambda row: (row["status"] != "ok", row["p_adjusted"] or 0.0, row["p"] or 0.0))
    body = [
        (
            row["measure"], f"{row['species_a']} – {row['species_b']}", number(row["difference"]),
            number(row["hedges_g"]), number(row["cliffs_delta"]), number(row["p"]), number(row["p_adjusted"]),
            f"{row['n_a']}, {row['n_b']} ({row['n_paired']} paired)", row["adjusted"] if row["status"] == "ok" else
            row["reason"],
        )
        for row in ordered[:MOST_ROWS]
    ]  # fmt: skip
    head = (
        "Measure", "Species", "Difference", "Hedges' g", "Cliff's δ", "p", "p (adjusted)", "Videos",
        "Adjusted over, or reason",
    )  # fmt: skip
    return table(head, body, numeric=range(2, 8), empty="There are fewer than two species to compare.")


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
