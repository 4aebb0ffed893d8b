"""Memory of jobs and over time: what is drawn is what was given, units on the axes, nothing off the page."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from longtake.figures import memory
from longtake.figures.memory import memory_curves, memory_figure
from longtake.memory.ledger import UNATTRIBUTED
from longtake.memory.owners import OWNERS

STOCK = [(1, 3.0), (60, 130.0), (600, 1300.0)]
FLAT = [(1, 1.2), (60, 4.5), (600, 4.5)]


def test_curves_are_named_with_their_last_value_and_lie_on_the_page():
    made = memory_curves(
        "Memory against frames", {"stock": STOCK, "longtake": FLAT}, {"stock": STOCK, "longtake": FLAT}, terms="a model"
    )
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    words = [text.get_text() for text in made.findobj(Text) if text.get_visible() and text.get_text()]
    for expected in ("Frames", "Session (MB)", "Peak RSS (MB)", "stock: 1,300 MB", "longtake: 4.5 MB", "a model"):
        assert expected in words
    drawn, page = made.get_tightbbox(canvas.get_renderer()), made.bbox_inches
    assert min(drawn.x0, drawn.y0) >= -0.02
    assert drawn.x1 <= page.x1 + 0.02
    assert drawn.y1 <= page.y1 + 0.02
    for axes in made.axes:
        assert [line.get_xydata().tolist() for line in axes.lines] == [list(map(list, STOCK)), list(map(list, FLAT))]
        assert len({line.get_color() for line in axes.lines}) == 2


def test_without_curves():
    made = memory_curves("Memory against frames", {}, {})
    FigureCanvasAgg(made).draw()
    assert len(made.axes) == 2


POINTS = {("annotate_window", "host"): [(700.0, 690.0), (1000.0, 1300.0)], ("annotate_window", "gpu"): [(5e3, 4.9e3)]}
HELD = {
    ("annotate_window", "host"): {"base": 300.0, "activations": 310.0, "unattributed": 90.0},
    ("annotate_window", "gpu"): {"context": 400.0, "parameters": 800.0, "activations": 3700.0},
    ("gradients_window", "host"): {"base": 290.0, "state": 10.0},
}


def words_of(made):
    FigureCanvasAgg(made).draw()
    return [text.get_text() for text in made.findobj(Text) if text.get_visible() and text.get_text()]


def test_forecasts_lie_about_the_identity_and_bars_sum_up_to_what_was_held():
    made = memory_figure(POINTS, HELD, words="2 of 3 forecasts within 10%")
    words = words_of(made)
    for expected in ("Forecast (MiB)", "Measured (MiB)", "as forecast", "within 10%", "annotate_window (GPU)", "700"):
        assert expected in words
    left, right = made.axes
    identity = next(line for line in left.lines if line.get_label() == "as forecast").get_xydata()
    assert (identity[:, 0] == identity[:, 1]).all()
    drawn = sorted(tuple(pair) for line in left.lines if line.get_marker() != "None" for pair in line.get_xydata())
    assert drawn == sorted(pair for pairs in POINTS.values() for pair in pairs)
    widths = {}
    for bar in right.patches:
        widths[round(bar.get_y(), 3)] = widths.get(round(bar.get_y(), 3), 0.0) + bar.get_width()
    assert sorted(filter(None, widths.values())) == [300.0, 700.0, 4900.0]
    canvas = FigureCanvasAgg(made)
    drawn, page = made.get_tightbbox(canvas.get_renderer()), made.bbox_inches
    assert drawn.x1 <= page.x1 + 0.02
    assert drawn.y0 >= -0.02


def test_every_owner_has_a_colour_of_its_own():
    assert set(memory._OWNERS) == {*OWNERS, UNATTRIBUTED}
    assert len(set(memory._OWNERS.values())) == len(memory._OWNERS)


def test_a_run_without_forecasts_or_ledgers_says_so():
    assert any("no job of this run has accounted" in word for word in words_of(memory_figure({}, {})))
    assert any("No job ran with a forecast" in word for word in words_of(memory_figure({}, HELD)))
    assert words_of(memory_figure(POINTS, {}))
