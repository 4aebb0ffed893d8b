"""Peaks of a stretch of time, and of all time; and what the GPU's allocator says of itself."""

import os

import pytest

from longtake.memory.meter import gpu_state, peak_rss_mb, peak_vms_mb, recent_peaks, restart_peaks

MIB = 2**20


def filled(size):
    block = bytearray(size * MIB)
    block[::4096] = b"x" * len(block[::4096])
    return block


@pytest.mark.own_process
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the kernel does not let peaks restart")
def test_a_restart_begins_a_new_peak_and_keeps_the_old_one():
    restart_peaks()
    before = recent_peaks()[0]
    block = filled(80)
    assert recent_peaks()[0] - before == pytest.approx(80, abs=8)
    del block
    top = recent_peaks()[0]
    restart_peaks()
    assert recent_peaks()[0] < top - 60
    assert peak_rss_mb() >= top
    assert peak_vms_mb() > peak_rss_mb()


@pytest.mark.own_process
def test_a_forked_child_has_peaks_of_its_own():
    block = filled(80)
    restart_peaks()
    del block
    restart_peaks()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, f"{peak_rss_mb()}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(told, 100)) < peak_rss_mb() - 60
    os.close(told)
    os.close(tell)


def test_without_a_gpu_there_is_nothing_to_say():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu_state() == {}
    assert recent_peaks()[1:] == (0.0, 0.0)


def test_on_a_gpu_the_allocator_tells_what_it_holds_and_splits():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        if os.environ.get("LONGTAKE_REQUIRE_CUDA") == "1":
            pytest.fail("LONGTAKE_REQUIRE_CUDA is set, and PyTorch sees no GPU")
        pytest.skip("PyTorch sees no GPU")
    restart_peaks()
    blocks = [torch.empty(4 * MIB, dtype=torch.uint8, device="cuda") for _ in range(8)]
    del blocks[::2]  # free pieces between used ones
    state = gpu_state()
    assert state["allocated"] == pytest.approx(16, abs=1)
    assert state["reserved"] >= state["allocated"] + state["split"] > state["allocated"]
    assert 0 < state["split_share"] <= 1
    assert state["context"] > 0
    assert recent_peaks()[1] >= 32
