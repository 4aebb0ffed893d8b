"""The memory curves: every curve named with its last value, units on the axes, nothing off the page."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from longtake.figures import memory_curves

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
