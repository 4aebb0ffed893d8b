"""What figures say: labels with units, distinct looks, words instead of empty axes, and nothing off the page."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from longtake.annotate.overviews import filmstrip, overview
from longtake.annotate.timelines import timeline
from longtake.figures import style
from longtake.gradients.figures import correlation, heatmap
from longtake.species import measures
from longtake.species import study as statistics
from longtake.species.figures import species_comparison, species_page
from longtake.species.gather import collect, collect_curves
from longtake.species.judgement import judge
from longtake.species.model_figure import model_comparison

LONG = ("Oncorhynchus tshawytscha (Chinook salmon, juvenile)", "Salvelinus × hybrid", "C$a$rp & <b>")


def words(figure: Figure) -> list[str]:
    """All texts that are drawn."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def assert_on_page(figure: Figure) -> None:
    """Draw the figure; nothing that is drawn may reach over its edge."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn, page = figure.get_tightbbox(canvas.get_renderer()), figure.bbox_inches
    assert drawn.x0 >= -0.02
    assert drawn.y0 >= -0.02
    assert drawn.x1 <= page.x1 + 0.02
    assert drawn.y1 <= page.y1 + 0.02


def test_looks_are_fixed_by_the_sorted_names() -> None:
    known = style.looks(["perch", "carp", "tench"])
    assert known == style.looks(["tench", "perch", "carp", "perch"])
    assert known["carp"].color == style.OKABE_ITO[0]
    many = style.looks(f"species {i:03d}" for i in range(64))
    assert len(set(many.values())) == 64


def test_status_marks_differ_without_colour() -> None:
    assert len({mark.hatch for mark in style.STATUS.values()}) == len(style.STATUS)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_clock(seconds: float, expected: str) -> None:
    assert style.clock(seconds) == expected


def test_shorten_keeps_the_end() -> None:
    assert style.shorten("camera 12", 20) == "camera 12"
    cut = style.shorten("a very long name of a camera 12", 15)
    assert len(cut) == 15
    assert cut.endswith("12")


@pytest.mark.parametrize(("n_windows", "n_objects"), [(1, 1), (4, 8), (1, 0), (18, 60)])
def test_timeline(tables: Any, n_windows: int, n_objects: int) -> None:
    windows = tables.windows(n_windows)
    visits, prompts = tables.visits(n_objects, windows[-1].stop_s)
    figure = timeline("pond", windows, visits, prompts, style.looks(("carp", "perch")))
    assert_on_page(figure)
    said = words(figure)
    assert "Time (h:min:s)" in said or "Time (min:s)" in said
    assert ("window failed" in said) == (n_windows > 3)
    assert ("seam" in said) == (n_windows > 1)
    if n_objects == 0:
        assert any("No object was prompted or seen" in text for text in said)
    elif n_objects <= 40:
        assert {f"animal {k + 1}" for k in range(n_objects)} <= set(said)


def test_timeline_with_names_from_strangers(tables: Any) -> None:
    visits, prompts = tables.visits(3, 50, LONG)
    figure = timeline("x" * 300, tables.windows(1), visits, prompts, style.looks(LONG))
    assert_on_page(figure)
    assert "C$a$rp & <b>" in words(figure)


@pytest.mark.parametrize("n_clips", [1, 12, 300])
def test_heatmap(tables: Any, n_clips: int) -> None:
    curves, _ = tables.curves(n_clips)
    figure = heatmap("pond", curves)
    assert_on_page(figure)
    upper, lower = (axes for axes in figure.axes if axes.images)
    assert upper.images[0].get_array().shape == (min(n_clips, 200), 31)
    assert any("200 of 300" in text for text in words(figure)) == (n_clips == 300)
    # No motion is known into the first frame: masked, and not drawn as zero.
    assert np.ma.getmaskarray(lower.images[0].get_array())[:, 0].all()
    assert {"Importance / clip mean", "Motion (px per frame)"} <= set(words(figure))


def test_heatmap_divides_by_the_clip_mean_only(tables: Any) -> None:
    curves, _ = tables.curves(2)
    louder = [{**row, "magnitude": row["magnitude"] * (1000 if row["clip"] else 1)} for row in curves]
    first, second = (
        next(axes for axes in heatmap("x", rows).axes if axes.images).images[0].get_array() for rows in (curves, louder)
    )
    assert np.allclose(first, second)
    assert np.allclose(first.mean(axis=1), 1.0)


def test_correlation(tables: Any) -> None:
    curves, clips = tables.curves(12)
    rows = [
        {"species": "carp", "measure": "pearson_crop", "mean": 0.8, "low": 0.7, "high": 0.9, "n_videos": 5},
        {"species": "perch", "measure": "pearson_crop", "mean": 0.0, "low": None, "high": None, "n_videos": 2},
    ]
    figure = correlation("all videos", curves, clips, style.looks(["carp"]), species=rows)
    assert_on_page(figure)
    assert "n = 2: no interval" in words(figure)


def study(names: tuple[str, ...], n_videos: int, gradients: bool) -> tuple[list[Any], list[Any], list[Any]]:
    generator = np.random.default_rng(0)
    videos, curves = [], []
    for name, video in itertools.product(names, range(n_videos)):
        row: dict[str, Any] = {measure.name: None for measure in measures.MEASURES}
        row |= {"video": f"v{video}", "species": name, "uses": None}
        row |= {f"{p}_{s}": 1 for p in ("n", "clips") for s in ("ok", "approximate", "failed")}
        row |= {m: float(generator.uniform(1, 2)) for m in ("max_count", "dwell_s", "area_px", "speed_bl_s")}
        row |= {"presence": 0.5} | dict.fromkeys(("clips_wrong", "clips_animal", "clips_crop"), 0)
        if gradients:
            row |= {"pearson_crop": 0.5, "size_crop": 0.5, "uses": "appearance"}
            row |= {"kept_static": 0.9, "kept_shuffle": 0.95, "ratio_static": 1.2, "agrees_static": 1.0}
            curves += [
                {"video": f"v{video}", "species": name, "offset": t, "importance": 1.0}
                | {"motion_crop": t or None, "motion_animal": None}
                for t in range(31)
            ]
        videos.append(row)
    summary = statistics.summarise(collect(videos), level=0.95)
    options: dict[str, Any] = {"seed": 1, "level": 0.95, "draws": 200}
    return videos, summary, statistics.curve_bands(collect_curves(curves), **options)


@pytest.mark.parametrize(("names", "n_videos", "gradients"), [(("carp", "perch"), 5, True), (LONG, 1, False)])
def test_species_pages(names: tuple[str, ...], n_videos: int, gradients: bool) -> None:
    videos, summary, curves = study(names, n_videos, gradients)
    known = style.looks(names)
    page = species_page(names[0], videos, summary, curves, known, verdicts=judge(summary, []))
    assert_on_page(page)
    said = words(page)
    assert any("The model uses: " in text and ("The model uses: undecided" in text) == (n_videos < 5) for text in said)
    assert any("windows: " in text and "approximate" in text for text in said)
    assert ("no clip was analysed" in said) == (not gradients)
    assert (f"n = {n_videos} videos" in said) == gradients
    assert_on_page(species_comparison(summary, known))


def test_overview_and_filmstrip(tables: Any) -> None:
    stills = [(float(t), np.full((90, 160, 3), 40 * t, dtype=np.uint8)) for t in range(4)]
    visits, prompts = tables.visits(3, 50)
    known = style.looks(("carp",))
    windows = tables.windows(1)
    assert_on_page(overview("pond", stills, windows, visits=visits, prompts=prompts, known=known))
    strip = filmstrip("pond", stills)
    assert_on_page(strip)
    assert {"0:00", "0:03"} <= set(words(strip))


@pytest.mark.parametrize(
    "build",
    [
        lambda: timeline("v", [], [], [], {}, why_empty="because"),
        lambda: heatmap("v", [], why_empty="because"),
        lambda: correlation("v", [], [], {}, why_empty="because"),
        lambda: filmstrip("v", [], why_empty="because"),
        lambda: species_page("because", [], [], [], {}),
        lambda: species_comparison([], {}),
        lambda: overview("because", [], [], visits=[], prompts=[], known={}),
    ],
)
def test_nothing_to_show_is_said_in_words(build: Callable[[], Figure]) -> None:
    figure = build()
    assert_on_page(figure)
    assert any(text.startswith("Nothing to show: ") for text in words(figure))
    assert any("because" in text or "no species" in text for text in words(figure))


def test_the_callers_settings_neither_matter_nor_change(tables: Any) -> None:
    with matplotlib.rc_context({"font.size": 30.0, "axes.spines.top": True}):
        figure = timeline("pond", tables.windows(1), [], [], {})
        assert matplotlib.rcParams["font.size"] == 30.0
    assert not figure.axes[0].spines["top"].get_visible()


@pytest.mark.parametrize("decided", [True, False])
def test_two_models(decided: bool) -> None:
    rows = [
        {"species": species, "measure": measure, "difference": 0.1, "low": 0.05 if decided else None,
         "high": 0.2 if decided else None, "value_a": 0.9, "value_b": 0.2, "p_holm": 0.031 if decided else None}
        for species in (*LONG, "all species")
        for measure in ("importance_divergence", "kept_static", "pearson_crop")
    ]  # fmt: skip
    figure = model_comparison(rows, style.looks(LONG), a="results/" + "x" * 90, b="other")
    assert_on_page(figure)
    said = words(figure)
    assert ("p = 0.031" in said) == decided
    assert ("undecided" in said) == (not decided)
    assert "not measured" in said
