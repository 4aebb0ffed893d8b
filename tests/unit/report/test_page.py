"""The page: self-contained, escaped, and possible at any time."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jinja2.exceptions import UndefinedError
from matplotlib.figure import Figure
from PIL import Image

from longtake.figures.markup import Markup, element, number, picture, table, text
from longtake.report.page import write_report
from longtake.report.sections import section_of
from longtake.species import tables
from longtake.unit import Section, Study

VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def report(run: Any, **other: Any) -> tuple[Outline, str, dict[str, Any]]:
    out, pages = run.results / "report.html", other.pop("pages", {})
    facts = write_report(results=run.results, out=out, studies=run.studies(**pages), **other)
    page = out.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline, page, facts


def test_what_the_page_says(run: Any) -> None:
    outline, _, facts = report(run, settings={"seed": 7}, command="snakemake --cores 2", title="My pond")
    said = " ".join(outline.words)
    redo = "snakemake --cores 2 --profile profiles/laptop --force -- results/annotate/late/window-0001.parquet"
    for words in ("My pond", "no video stream", "3 frames lie behind a decoding error", "annotate, bad one.0000",
                  redo, '"seed": 7', "node-1", "25 %"):  # fmt: skip
        assert words in said, words
    assert facts["units"] == 6
    assert facts["to_look_at"] == 4
    assert outline.tags.count("img") == 3  # a timeline for each readable video


def test_nothing_from_strangers_is_markup(run: Any) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&"
    run.video(f"v{evil}", n_windows=1)
    run.job("annotate_window", {"video": f"v{evil}".replace("/", ""), "window": "0000"}, status="failed", reason=evil)
    outline, page, _ = report(run, settings={"key": evil, evil: 1}, title=evil)
    assert "script" not in outline.tags
    assert not any(name.startswith("on") for name, _ in outline.attributes)
    assert all((value or "").startswith("data:image/") for name, value in outline.attributes if name == "src")
    assert "alert('x')" in " ".join(outline.words)
    assert "<script" not in page


def test_nothing_is_loaded_from_elsewhere(run: Any) -> None:
    outline, page, _ = report(run)
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=\"(?!data:image/|#)", page)
    assert "link" not in outline.tags


def test_pictures_and_tables_that_exist_are_shown(run: Any) -> None:
    figure = Figure(figsize=(1, 1))
    for name in ("species.png", "good/stills.png", "good/heatmap.png", "species/carp.png"):
        path = run.results / "figures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    key = {"species": "carp", "unit": "s", "family": "annotation", "method": "none", "n_ok": 1}
    rows = [
        {**key, "measure": "dwell_s", "n_videos": 2, "mean": 12.5, "status": "undecided", "reason": "2 videos"},
        {**key, "measure": "presence", "n_videos": 5, "mean": 0.5, "low": 0.25, "high": 0.75, "status": "ok",
         "reason": ""},
    ]  # fmt: skip
    tables.write_rows(run.results / "statistics/species.parquet", rows, tables.SPECIES)
    pages = {"carp": str(run.results / "figures/species/carp.png"), "perch": "nowhere.png"}
    outline, _, _ = report(run, pages=pages)
    assert outline.tags.count("img") == 3 + 4
    said = " ".join(outline.words)
    assert "0.25 to 0.75" in said
    assert "undecided" in outline.words


@pytest.mark.parametrize("planned", [True, False])
def test_a_report_of_almost_nothing(empty_run: Callable[[], Any], planned: bool) -> None:
    run = empty_run()
    run.results.mkdir()
    if planned:
        run.video("v")
    outline, _, facts = report(run)
    assert facts["units"] == (2 if planned else 0)
    assert "No job has left a record." in outline.words
    assert ("No video was planned yet." in outline.words) == (not planned)


def test_large_pictures_become_webp(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    tag = picture(tmp_path / "noise.png", 'say "noise"')
    found = re.search(r'src="data:image/(\w+);base64,([^"]+)" alt="([^"]+)"', tag)
    assert found is not None
    assert found[1] == "webp"
    assert found[3] == "say &quot;noise&quot;"
    with Image.open(io.BytesIO(base64.b64decode(found[2]))) as image:
        assert image.size == (400, 400)


def test_markup_escapes_once() -> None:
    assert text("a<b") == "a&lt;b"
    assert text(Markup("<b>")) == "<b>"
    assert element("p", element("b", "<"), "&", class_='x"y') == '<p class="x&quot;y"><b>&lt;</b>&amp;</p>'
    assert "quiet" in table(("a",), [], empty="none")
    assert table(("a", "b"), [(1, "<")], numeric=(0,)).count('class="number"') == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (3.0, "3"), (12345, "12\u202f345"), (1234.56, "1235")],
)
def test_numbers(value: Any, expected: str) -> None:
    assert number(value) == expected


def test_an_analysis_adds_a_section_by_a_template_that_escapes(run: Any, tmp_path: Path) -> None:
    (tmp_path / "own.html.j2").write_text("<p>{{ words }}</p>{{ table(('A',), rows, numeric=(0,)) }}{{ status('ok') }}")
    section = Section("own", "Own & more", lambda study: {"words": "<b>", "rows": [(1,)]}, "own.html.j2")
    analysis = SimpleNamespace(folder=tmp_path)
    made = "".join(section_of(section, analysis, Study(run.results)))
    assert made.startswith('<section id="own"><h2>Own &amp; more</h2><p>&lt;b&gt;</p><div class="wide"><table>')
    assert '<span class="status ok">ok</span>' in made
    assert "".join(section_of(replace(section, data=lambda study: None), analysis, Study(run.results))) == ""
    with pytest.raises(UndefinedError):
        "".join(section_of(replace(section, data=lambda study: {}), analysis, Study(run.results)))
