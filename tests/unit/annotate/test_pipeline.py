"""Threads before and behind the model: order, bounds, errors, and that every thread ends."""

import threading
import time

import pytest

from longtake.annotate.pipeline import Stopwatch, ahead, behind


class Boom(Exception):
    pass


@pytest.fixture(autouse=True)
def threads_end():
    before = set(threading.enumerate())
    yield
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("longtake")]


def failing(count):
    yield from range(count)
    raise Boom("drawing")


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_items_keep_their_order(count, depth):
    def slow_on_even(item):
        time.sleep(0.002 * (item % 2 == 0))
        return -item

    assert list(ahead(range(count), depth)) == list(range(count))
    assert list(behind(slow_on_even, ahead(range(count), depth), depth)) == [-item for item in range(count)]


@pytest.mark.parametrize("depth", [1, 3])
def test_never_more_than_depth_items_wait(depth):
    drawn = 0

    def count():
        nonlocal drawn
        for item in range(30):
            drawn += 1
            yield item

    for asked, _ in enumerate(ahead(count(), depth), start=1):
        time.sleep(0.001)
        assert drawn - asked <= depth
    assert drawn == 30


@pytest.mark.parametrize("depth", [1, 3])
def test_never_more_than_depth_results_wait(depth):
    given = 0

    def items():
        nonlocal given
        for item in range(30):
            given += 1
            yield item

    results = behind(lambda item: item, items(), depth)
    for taken, _ in enumerate(results, start=1):
        assert given - taken < depth
    assert given == 30


def test_both_really_run_beside_the_consumer():
    main, seen = threading.get_ident(), set()

    def draw():
        for item in range(3):
            seen.add(threading.get_ident())
            yield item

    def work(item):
        seen.add(threading.get_ident())

    list(behind(work, ahead(draw())))
    assert len(seen) == 2
    assert main not in seen


def test_an_error_in_drawing_comes_with_its_own_type_and_in_its_place():
    got = []
    with pytest.raises(Boom, match="drawing"):
        for item in ahead(failing(3)):
            got.append(item)
    assert got == [0, 1, 2]


def test_an_error_in_the_work_comes_with_its_own_type_and_in_its_place():
    def work(item):
        if item == 2:
            raise Boom("working")
        return item

    got = []
    with pytest.raises(Boom, match="working"):
        for item in behind(work, range(100)):
            got.append(item)
    assert got == [0, 1]


def test_an_error_before_the_work_ends_it_too():
    with pytest.raises(Boom, match="drawing"):
        list(behind(lambda item: item, ahead(failing(3))))


def test_a_consumer_that_stops_early_ends_the_thread_and_closes_the_source():
    closed = []

    def draw():
        try:
            yield from range(1_000_000)
        finally:
            closed.append(threading.get_ident())

    worked = []
    results = behind(worked.append, ahead(draw()))
    next(results)
    results.close()
    assert len(worked) < 10
    # Garbage collection closes the inner iterator, which nobody asked to close.
    assert closed
    assert threading.get_ident() not in closed


def test_stopwatch_counts_the_model_alone():
    watch = Stopwatch()
    with watch.model():
        time.sleep(0.02)
    time.sleep(0.02)
    facts = watch.facts()
    assert 0.02 <= facts["model_s"] < facts["wall_s"]
    assert facts["outside_share"] == pytest.approx(1 - facts["model_s"] / facts["wall_s"], abs=0.05)
