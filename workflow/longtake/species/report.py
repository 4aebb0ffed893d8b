"""What the report shows of videos and of species: pieces of HTML, one video at a time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from longtake.annotate.report import prompts_of, video_prompts
from longtake.annotate.states import Plan, window_states
from longtake.annotate.timelines import NO_OBJECTS, timeline
from longtake.errors import SchemaError
from longtake.figures.markup import Markup, definitions, details, element, number, picture, status, table
from longtake.figures.style import clock, looks
from longtake.kinds import Row
from longtake.media.windows import scan_videos
from longtake.species import tables
from longtake.status import Status
from longtake.store.tables import read_table
from longtake.unit import Study, Tile
from longtake.verdicts import UNDECIDED

MOST_ROWS = 400
MOST_VIDEOS = 50
MOST_LISTED = 1000


def tiles(study: Study) -> Iterator[Tile]:
    """Yield how many videos and species there are."""
    seconds, readable, number_of = 0.0, 0, 0
    for row in scan_videos(study.results / "plan" / "videos.tsv"):
        number_of += 1
        readable += row.get("status") == Status.OK
        seconds += float(row.get("duration_s") or 0)
    yield Tile("Videos", str(number_of), f"{readable} readable, {clock(seconds)} in all")
    species = study.facts["species"]
    yield Tile("Species", str(len(species)), ", ".join(species[:6]) + (" …" if len(species) > 6 else ""))


def videos(study: Study) -> Iterator[Markup]:
    """Yield every video: its facts, timeline, stills, heatmap, windows, objects and prompts; of many, `MOST_VIDEOS`."""
    results, plan = study.results, Plan(study.results / "plan" / "windows.tsv")
    ranked = (
        (study.ranks.get(row["video"], len(Status)), place, row)
        for place, row in enumerate(scan_videos(results / "plan" / "videos.tsv"))
    )
    listed = heapq.nsmallest(MOST_LISTED, ranked, key=lambda each: each[:2])
    if not listed:
        yield element("p", "No video was planned yet.", class_="quiet")
    shown = listed[:MOST_VIDEOS]
    if len(listed) > len(shown):
        words = (
            f"{len(shown)} videos are shown: those that need a look, worst first, and then the first ones of the "
            "sheet. Others are listed below; figures of each lie in figures/{video}."
        )
        yield element("p", words, class_="quiet")
    else:
        shown = sorted(shown, key=lambda each: each[1])
    for _, _, row in shown:
        yield element("h3", row.get("video", ""))
        yield definitions(_facts(row))
        if row.get("status") == Status.OK:
            yield from _video(results, plan, row.get("video", ""), study.facts["species"])
    yield _others(results, plan, [row for _, _, row in listed[MOST_VIDEOS:]])


def _others(results: Path, plan: Plan, rows: Sequence[Mapping[str, str]]) -> Markup:
    """The videos that have no pictures here, as a table."""
    if not rows:
        return Markup("")
    head = ("Video", "Status", "Length", "Windows", "Prompts", "lost", "Reason")
    most = f", the first {MOST_LISTED} of plan/videos.tsv" if len(rows) + MOST_VIDEOS >= MOST_LISTED else ""
    words = f"{len(rows)} other videos{most}"
    return details(words, table(head, (_line(results, plan, row) for row in rows), numeric=(2, 4, 5)))


def _line(results: Path, plan: Plan, row: Mapping[str, str]) -> tuple[Any, ...]:
    video, told = row.get("video", ""), row.get("status", "")
    prompts, length = prompts_of(results, video), clock(float(row.get("duration_s") or 0))
    states = Counter(state.status for state in window_states(results, plan, video))
    counted = ", ".join(f"{number_of} {name}" for name, number_of in states.items())
    lost = sum(bool(prompt["lost"]) for prompt in prompts)
    return video, status(told), length, counted, len(prompts), lost, row.get("reason", "")


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


def _video(results: Path, plan: Plan, video: str, species: Sequence[str]) -> Iterator[Markup]:
    states, folder = window_states(results, plan, video), results / "statistics" / "videos" / video
    visits = rows_of(folder / "visits.parquet", tables.VISITS)
    prompts = rows_of(folder / "prompts.parquet", tables.PROMPTS)
    # Drawn here and not read from the figure's file: a run that failed has no file, but needs the timeline most.
    measured = (folder / "visits.parquet").is_file()
    words = NO_OBJECTS if measured else "Nothing has been measured in this video yet"
    made = timeline(video, states, visits, prompts, looks(species), why_no_objects=words)
    yield picture(made, f"Timeline of {video}")
    for name, words in (("stills", "Annotated frames"), ("heatmap", "Temporal importance")):
        path = results / "figures" / video / f"{name}.png"
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
    yield video_prompts(prompts_of(results, video))


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


def species(study: Study) -> Iterator[Markup]:
    """Yield species side by side, their tables and tests, importance against motion, and a page each."""
    yield from _species(study.results, study.facts["species"], study.facts["pages"])


def _species(results: Path, species: Sequence[str], pages: Mapping[str, str]) -> Iterator[Markup]:
    """Species side by side, their tables and tests, importance against motion, and a page each."""
    folder, figures = results / "statistics", results / "figures"
    found = rows_of(folder / "species.parquet", tables.SPECIES)
    tests = rows_of(folder / "comparisons.parquet", tables.COMPARISONS)
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
        if name in pages and Path(pages[name]).is_file():
            yield picture(Path(pages[name]), f"Species page of {name}")


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


def rows_of(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read a small table, or nothing where it is missing or of another version."""
    try:
        return read_table(path, schema).to_pylist()
    except SchemaError:
        return []
