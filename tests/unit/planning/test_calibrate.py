"""Lines through measured peaks, and what a fresh process takes."""

import numpy as np
import pytest

from longtake.planning.calibrate import Line, fit, measure

MIB = 2**20


def test_a_line_goes_through_its_points():
    line = fit([(10, 120), (30, 160)])
    assert line == Line(100, 2)
    assert line.at(25) == 150


def test_least_squares_of_more_than_two():
    line = fit([(0, 0), (1, 3), (2, 3)])
    assert (line.base, line.slope) == pytest.approx((0.5, 1.5))


def test_a_slope_that_cannot_be_is_brought_back_and_the_base_with_it():
    assert fit([(10, 100), (20, 101)], least=1.0) == Line(85.5, 1)
    assert fit([(10, 100), (20, 150)], most=2.0) == Line(95, 2)


def test_one_point_tells_the_base():
    assert fit([(10, 110)]) == Line(100, 1)
    assert fit([(10, 110)], usual=1.5) == Line(95, 1.5)
    with pytest.raises(ValueError, match="needs a point"):
        fit([])


def test_a_fresh_process_is_measured_with_what_it_was_given():
    small, large = (measure(np.ones, {"shape": shape}) for shape in (1, 8 * MIB))
    assert small.result == [1]
    assert len(large.result) == 8 * MIB
    # 64 MiB of ones, which are copied twice on their way back: into a pickle, and into the pipe.
    assert 60 * MIB < large.rss - small.rss < 200 * MIB
    assert small.rss > 20 * MIB
    assert small.wall_s > 0


def test_what_the_work_raises_is_raised_here():
    with pytest.raises(ValueError, match="negative dimensions"):
        measure(np.ones, {"shape": -1})
