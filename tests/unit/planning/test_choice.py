"""The smallest class that holds a job, a smaller chunk where none does, and measurements before forecasts."""

import pytest

from longtake.annotate.cases import cases
from longtake.planning.choice import MEASURED_MARGIN, OVERHEAD_MB, START_MINUTES, Terms, choose, minutes, need
from longtake.planning.classes import GpuClass
from longtake.planning.forecast import MIB, Forecast
from longtake.planning.history import Measured, Timed

# Usable: 920, 1840 and 3680 of these MiB.
CLASSES = [GpuClass(name, gb) for name, gb in (("small", 1000 / 1024), ("middle", 2000 / 1024), ("large", 4000 / 1024))]
TERMS = Terms(margin=1.2)


LOAD = {"objects": 8, "prompted": 1}


def forecast(chunk, gpu_mb=0, host_mb=1000, load=LOAD, **more):
    gpu = {"context": 100 * MIB, "activations": (gpu_mb - 100) * MIB} if gpu_mb else {}
    device = "cuda" if gpu_mb else "cpu"
    given = {"host": {"base": host_mb * MIB}, "gpu": gpu, "key": f"{device}-{chunk}"} | more
    return Forecast("annotate", "v", device, chunk, f"8 objects, {chunk} at a time", load=load, **given)


def measured(jobs=1, load=LOAD, pace=0.0, share=1.0, **more):
    """What was measured of jobs that had so much to do."""
    held = None if load is None else frozenset(load.items())
    return Measured({held: Timed(jobs, (True, pace), share)} if jobs else {}, **more)


@pytest.mark.parametrize(
    ("needs", "chunk", "chosen"),
    [
        ([700, 400], 8, "small"),
        ([767, 400], 8, "middle"),  # x 1.2 is 921
        ([1533, 400], 8, "middle"),
        ([1534, 400], 8, "large"),
        ([3066, 400], 8, "large"),
        ([3067, 400], 4, "small"),
        ([9000, 4000], 4, "large"),
    ],
)
def test_the_smallest_class_for_the_wanted_chunk_and_a_smaller_chunk_only_where_none_holds_it(needs, chunk, chosen):
    offers = [forecast(size, mb) for size, mb in zip((8, 4), needs, strict=True)]
    choice = choose([forecast(8), *offers], CLASSES, TERMS, {})
    assert (choice.need.forecast.chunk, choice.gpu_class.name) == (chunk, chosen)
    assert chosen in choice.why
    assert ("step down the ladder" in choice.why) == (needs[-1] == 4000)
    assert ("8 at a time needs" in choice.why) == (chunk == 4 and needs[-1] != 4000)


def test_the_users_limit_counts_for_every_class():
    choice = choose([forecast(8, 700), forecast(4, 400)], CLASSES, Terms(margin=1.2, gpu_limit_mb=500), {})
    assert (choice.need.forecast.chunk, choice.gpu_class.name) == (4, "small")


def test_a_class_of_unknown_memory_takes_the_wanted_chunk():
    anything = GpuClass("any GPU", None)
    choice = choose([forecast(8, 90000), forecast(4, 400)], [anything], TERMS, {})
    assert (choice.need.forecast.chunk, choice.gpu_class) == (8, anything)
    limited = choose([forecast(8, 90000), forecast(4, 400)], [anything], Terms(margin=1.2, gpu_limit_mb=500), {})
    assert limited.need.forecast.chunk == 4


def test_memory_is_the_forecast_with_its_margin_and_the_processes_beside_it_in_hundreds():
    choice = choose([forecast(8, host_mb=1001)], [], TERMS, {})
    assert 0 <= choice.mem_mb - (1001 * 1.2 + OVERHEAD_MB) < 100
    assert choice.mem_mb % 100 == 0
    assert choice.gpu_class is None


def test_on_the_cpu_the_machines_memory_decides_the_chunk():
    offers = [forecast(8, host_mb=9000), forecast(4, host_mb=1000), forecast(8, gpu_mb=100)]
    assert choose(offers, [], TERMS, {}).need.forecast.chunk == 8
    choice = choose(offers, [], Terms(margin=1.2, host_limit_mb=4000, no_gpu="no GPU here"), {})
    assert choice.need.forecast.chunk == 4
    assert "no GPU here" in choice.why
    tight = choose(offers, [], Terms(margin=1.2, host_limit_mb=100), {})
    assert tight.need.forecast.chunk == 4
    assert "step down the ladder" in tight.why


def test_without_a_forecast_a_job_asks_for_what_it_always_did():
    choice = choose([], CLASSES, TERMS, {})
    assert (choice.need, choice.gpu_class.name, choice.mem_mb, minutes(choice, 9000)) == (None, "large", 4000, 120)


def test_what_was_measured_replaces_the_forecast_and_both_are_told():
    offer = forecast(8, gpu_mb=3000, host_mb=1000)
    history = {offer.key: measured(3, host_mb=2000.5, gpu_mb=500)}
    found = need(offer, 1.2, history)
    assert found.host_mb == pytest.approx(2000.5 * MEASURED_MARGIN, abs=1)
    assert found.gpu_mb == pytest.approx(600 * MEASURED_MARGIN, abs=1), "the driver's 100 MiB are added to PyTorch's"
    assert (found.measured_host_mb, found.measured_gpu_mb, found.forecast.gpu_mb) == (2001, 600, 3000)
    choice = choose([offer], CLASSES, TERMS, history)
    assert choice.gpu_class.name == "small"
    assert "3 earlier jobs" in choice.why
    assert choose([offer], CLASSES, TERMS, {"another": measured(3)}).gpu_class.name == "large"


@pytest.mark.parametrize("load", [None, {}, {"objects": 7, "prompted": 9}, {"objects": 9}])
def test_jobs_with_less_to_do_than_is_forecast_lower_nothing(load):
    offer = forecast(8, gpu_mb=3000, host_mb=1000, pace=4.0)
    lighter = {offer.key: measured(2, load, pace=0.01, host_mb=500, gpu_mb=400)}
    choice = choose([offer], CLASSES, TERMS, lighter)
    assert (choice.need.host_mb, choice.need.gpu_mb, choice.gpu_class.name) == (1200, 3600, "large")
    assert (choice.need.measured_host_mb, choice.need.measured_gpu_mb) == (500, 500)
    assert minutes(choice, 300) == START_MINUTES + 60
    assert choice.why.endswith("; 2 earlier jobs had less to do than is forecast")
    assert (choice.need.jobs, choice.need.lighter) == (0, 2)


def test_jobs_with_less_to_do_raise_what_is_asked():
    offer = forecast(8, gpu_mb=700, host_mb=1000)
    more = measured(2, {"objects": 1}, pace=99.0, host_mb=2000, gpu_mb=900)
    found = need(offer, 1.2, {offer.key: more})
    assert (found.host_mb, found.gpu_mb) == (2100, 1050)
    assert found.pace is None


def test_of_jobs_with_more_and_less_to_do_only_those_with_enough_are_told():
    offer = forecast(8, host_mb=5000, pace=4.0)
    light, enough = frozenset({("objects", 1)}), frozenset(LOAD.items())
    loads = {None: Timed(5), light: Timed(7, (True, 3.0), 1.0), enough: Timed(2, (True, 1.0), 1.0)}
    choice = choose([offer], [], TERMS, {offer.key: Measured(loads, host_mb=2000)})
    assert choice.why.endswith("; as 2 earlier jobs used")
    assert (choice.need.jobs, choice.need.lighter) == (2, 12)
    assert (choice.need.host_mb, choice.need.pace) == (2100, 1.0)


def test_what_a_job_says_of_its_own_load_goes_before_the_forecasts():
    offer = forecast(8, host_mb=5000)
    history = {offer.key: measured(load={"objects": 5, "prompted": 1}, host_mb=10)}
    assert need(offer, 1.2, history).jobs == 0
    assert need(offer, 1.2, history, {"objects": 5}).jobs == 1
    assert need(offer, 1.2, history, {"objects": 5, "prompted": 2}).jobs == 0


@pytest.mark.parametrize(("objects", "load"), [(3, 3), (0, 1)])
def test_a_forecast_says_for_how_many_objects_it_is(objects, load):
    case = cases({"width": 96, "height": 56}, objects, {"scale": 1.0, "object_batch": 2})[0]
    found = Forecast("annotate", "v", "cuda", 2, "", {}, load={"objects": case.objects, "prompted": 1}, key="k")
    assert need(found, 1.2, {found.key: measured(load=LOAD | {"objects": load})}).jobs == 1
    assert need(found, 1.2, {found.key: measured(load=LOAD | {"objects": load - 1})}).jobs == 0


def test_more_is_asked_than_a_job_ran_out_of_memory_with():
    offer = forecast(8, gpu_mb=700)
    assert choose([offer], CLASSES, TERMS, {}).gpu_class.name == "small"
    found = choose([offer], CLASSES, TERMS, {offer.key: Measured(short_gpu_mb=900, short_host_mb=3000)})
    assert found.gpu_class.name == "middle"
    assert found.mem_mb >= 3600
    assert found.need.jobs == 0


def test_time_is_that_of_the_slowest_frame_measured_before_that_of_the_forecast():
    timed = forecast(8, pace=2.0)
    assert minutes(choose([timed], [], TERMS, {}), 300) == START_MINUTES + 30
    slower = {timed.key: measured(pace=4.0, host_mb=1)}
    assert minutes(choose([timed], [], TERMS, slower), 300) == START_MINUTES + 60
    quicker = {timed.key: measured(pace=1.0, host_mb=1)}
    assert minutes(choose([timed], [], TERMS, quicker), 300) == START_MINUTES + 15


def test_more_time_is_asked_than_a_job_did_not_end_within():
    timed = forecast(8, pace=0.1)
    choice = choose([timed], [], TERMS, {timed.key: measured(pace=0.1, short_minutes=33)})
    assert minutes(choice, 300) == 66
    assert choice.why.endswith("; one did not end within 33 min")
    assert minutes(choice, 300_000) == START_MINUTES + 1500


def test_of_jobs_that_are_not_steady_the_time_is_only_raised():
    offer = forecast(31, host_mb=5000, load={}, pace=2.0)
    assert need(offer, 1.2, {offer.key: measured(load=None, host_mb=1000)}, steady=False).host_mb == 6000
    for pace, asked in ((1.0, 30), (4.0, 60)):
        history = {offer.key: measured(load={}, pace=10 * pace, share=0.1, host_mb=1000)}
        choice = choose([offer], [], TERMS, history, steady=False)
        assert choice.need.host_mb == 1050
        assert minutes(choice, 300) == START_MINUTES + asked
    on_a_gpu = forecast(31, gpu_mb=700, load={})
    for pace, asked in ((0.1, 120), (40.0, START_MINUTES + 600)):
        choice = choose([on_a_gpu], CLASSES, TERMS, {on_a_gpu.key: measured(load={}, pace=pace)}, steady=False)
        assert minutes(choice, 300) == asked
