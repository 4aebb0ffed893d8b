"""The smallest class that holds a job, a smaller chunk where none does, and measurements before forecasts."""

import pytest

from longtake.memory.choice import MEASURED_MARGIN, OVERHEAD_MB, START_MINUTES, Terms, choose, minutes, need
from longtake.memory.classes import GpuClass
from longtake.memory.forecast import MIB, Forecast
from longtake.memory.history import Measured

# Usable: 920, 1840 and 3680 of these MiB.
CLASSES = [GpuClass(name, gb) for name, gb in (("small", 1000 / 1024), ("middle", 2000 / 1024), ("large", 4000 / 1024))]
TERMS = Terms(margin=1.2)


def forecast(chunk, gpu_mb=0, host_mb=1000, **more):
    gpu = {"context": 100 * MIB, "activations": (gpu_mb - 100) * MIB} if gpu_mb else {}
    device = "cuda" if gpu_mb else "cpu"
    given = {"host": {"base": host_mb * MIB}, "gpu": gpu, "key": f"{device}-{chunk}"} | more
    return Forecast("annotate", "v", device, chunk, f"{chunk} at a time", **given)


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
    found = need(offer, 1.2, {offer.key: Measured(jobs=3, host_mb=2000.5, gpu_mb=500)})
    assert found.host_mb == pytest.approx(2000.5 * MEASURED_MARGIN, abs=1)
    assert found.gpu_mb == pytest.approx(600 * MEASURED_MARGIN, abs=1), "the driver's 100 MiB are added to PyTorch's"
    assert (found.measured_host_mb, found.measured_gpu_mb, found.forecast.gpu_mb) == (2001, 600, 3000)
    choice = choose([offer], CLASSES, TERMS, {offer.key: Measured(jobs=3, host_mb=2000.5, gpu_mb=500)})
    assert choice.gpu_class.name == "small"
    assert "3 earlier jobs" in choice.why
    assert choose([offer], CLASSES, TERMS, {"another": Measured(jobs=3)}).gpu_class.name == "large"


def test_more_is_asked_than_a_job_ran_out_of_memory_with():
    offer = forecast(8, gpu_mb=700)
    assert choose([offer], CLASSES, TERMS, {}).gpu_class.name == "small"
    found = choose([offer], CLASSES, TERMS, {offer.key: Measured(short_gpu_mb=900, short_host_mb=3000)})
    assert found.gpu_class.name == "middle"
    assert found.mem_mb >= 3600
    assert found.need.jobs == 0


def test_time_is_that_of_the_slowest_frame_measured_before_that_of_the_forecast():
    timed = forecast(8, seconds_per_frame=2.0)
    assert minutes(choose([timed], [], TERMS, {}), 300) == START_MINUTES + 30
    slower = {timed.key: Measured(jobs=1, host_mb=1, seconds_per_frame=4.0)}
    assert minutes(choose([timed], [], TERMS, slower), 300) == START_MINUTES + 60
