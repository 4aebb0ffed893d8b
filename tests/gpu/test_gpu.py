"""Jobs on a GPU: what does not fit steps down and ends with the same numbers; a window is that of the CPU."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from longtake import masks
from longtake.annotate.sheet import Prompt
from longtake.annotate.ways import error_of_bfloat16
from longtake.annotate.window import annotate_window
from longtake.bounded import gradient
from longtake.gradients.planner import granted
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table
from longtake.supervise.child import attempt
from longtake.supervise.ladder import Rung, climb_down

GIB = 2**30
FRAMES, WIDTH, LAYERS, OBJECTS = 31, 512, 16, 12


def done(work, **arguments):
    """What `work` returns, from a child."""
    end = attempt(work, arguments)
    assert end.error is None, end.error
    assert not end.full, end.full
    return end


def add_up():
    return torch.ones(3, device="cuda").sum().item(), torch.cuda.get_device_properties(0).total_memory


def test_a_forked_child_can_use_the_gpu_that_its_parent_has_only_looked_for():
    end = done(add_up)
    assert end.result[0] == 3
    assert end.peaks[1] > 0
    assert not torch.cuda.is_initialized()


class Clips(nn.Module):
    """Perceptrons over a frame's pixels, WIDTH at a time, and one over frames."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU()) for _ in range(LAYERS)])
        self.out = nn.Linear(WIDTH, 3)

    def encode(self, frames):
        return self.layers(frames.reshape(len(frames), -1, WIDTH)).mean(1)

    def head(self, features):
        return self.out(features.cumsum(0).tanh().mean(0))

    def forward(self, frames):
        return self.head(self.encode(frames))


def differentiate(side, tier=None, planned=True, out=None):
    """The gradient of clips of `side` times 1024 pixels, in `tier` GiB of the GPU at most; its file, and its way."""
    torch.backends.cuda.matmul.allow_tf32 = False
    if tier is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, tier * GIB / total))
    torch.manual_seed(1)
    model, frames = Clips().eval().cuda(), torch.rand(FRAMES, 3, 1024, side).cuda()
    budget = granted(0, "cuda").nbytes if planned else None
    found = gradient(model, frames, lambda scores: scores[1], budget=budget, measure=False)
    torch.save(found.gradient.cpu(), out)
    return found.way.name


@pytest.mark.parametrize("tier", [8, 16, 24])
def test_a_gradient_in_a_tier_dies_as_asked_and_ends_planned_with_the_same_numbers(tier, tmp_path):
    total = done(add_up).result[1]
    if total < 2 * tier * GIB:
        pytest.skip(f"the reference takes 1.6 x {tier} GiB, and the GPU has {total / GIB:.0f}")
    side = 128 * tier  # then plain back-propagation keeps 1.6 x `tier` GiB
    assert done(differentiate, side=side, planned=False, out=tmp_path / "plain").result == "plain"
    attempts = []
    rungs = [Rung("plain", {"planned": False}), Rung("planned")]
    climb = climb_down(differentiate, {"side": side, "tier": tier, "out": tmp_path / "tight"}, rungs, attempts=attempts)
    assert [(each.rung, each.status, each.reason) for each in attempts] == [
        ("plain", "out of memory", "the GPU's allocator"),
        ("planned", "ok", ""),
    ]
    assert climb.result != "plain"
    assert attempts[1].gpu_reserved_mb <= 1024 * tier
    plain, tight = torch.load(tmp_path / "plain"), torch.load(tmp_path / "tight")
    torch.testing.assert_close(tight, plain, rtol=0, atol=1e-4 * plain.abs().max().item())


@pytest.fixture(scope="module")
def window_job(trackers, tmp_path_factory):
    """The arguments of a window of many objects."""
    folder = tmp_path_factory.mktemp("pond")
    frames = ((number, trackers.pattern(number, 96, 56)) for number in range(30))
    write_video(folder / "pond.mp4", frames, time_base=Fraction(1, 10), width=96, height=56)
    save_index(index_video(folder / "pond.mp4"), folder / "pond.parquet")
    edges = [(4.0 + 4 * number, 6.0, 30.0 + 4 * number, 40.0) for number in range(OBJECTS)]
    return {
        "video_path": folder / "pond.mp4",
        "index_path": folder / "pond.parquet",
        "window": Window("pond", 0, 0, 30, 0, 30, 0.0, 3.0),
        "prompts": [
            Prompt(number + 2, "pond", f"{number:02d}", "fish", 0, None, *box, None) for number, box in enumerate(edges)
        ],
        "model_dir": trackers.save_random_model(folder / "model", 1),
        "scale": 1.0,
        "frame_interval": 1,
        "state_in": None,
        "state_out": None,
    }


def annotated(window_job, out, **changes):
    end = done(annotate_window, **window_job, detections_out=out, **changes)
    return read_table(out, DETECTIONS).to_pylist(), end


def assert_alike(rows, others, iou=0.97):
    """The same objects in the same frames; masks that are nearly the same, and nearly all of them exactly."""
    assert len(rows) == len(others)
    overlaps = []
    for row, other in zip(rows, others, strict=True):
        assert (row["frame"], row["object"]) == (other["frame"], other["object"])
        assert row["score"] == pytest.approx(other["score"], abs=0.01)
        if row["visible"] and other["visible"]:
            pair = [masks.decode(each["mask"], each["height"], each["width"]) for each in (row, other)]
            overlaps.append((pair[0] & pair[1]).sum() / max((pair[0] | pair[1]).sum(), 1))
    assert overlaps
    assert np.mean(overlaps) > iou


def test_a_window_on_the_gpu_is_that_of_the_cpu(window_job, tmp_path):
    cpu, _ = annotated(window_job, tmp_path / "cpu", device="cpu")
    gpu, _ = annotated(window_job, tmp_path / "gpu", device="cuda")
    assert_alike(gpu, cpu)


def test_memories_in_the_hosts_memory_change_nothing_and_leave_the_gpu(window_job, tmp_path):
    usual, with_all = annotated(window_job, tmp_path / "usual", device="cuda")
    moved, without = annotated(window_job, tmp_path / "moved", device="cuda", state_on_host=True)
    assert moved == usual
    assert without.peaks[1] < with_all.peaks[1]


def test_memories_made_one_by_one_take_less_of_the_gpu(window_job, tmp_path):
    usual, together = annotated(window_job, tmp_path / "usual", device="cuda")
    singly, apart = annotated(window_job, tmp_path / "singly", device="cuda", memory_batch=1)
    assert_alike(singly, usual)
    assert apart.peaks[1] < together.peaks[1]


def test_a_window_goes_on_where_another_device_left_it(window_job, tmp_path):
    """As after a rung that left the GPU, or one that left the memories on the host."""
    whole, _ = annotated(window_job, tmp_path / "whole", device="cuda")
    halves = [Window("pond", 0, 0, 15, 0, 15, 0.0, 1.5), Window("pond", 1, 15, 30, 15, 30, 1.5, 3.0)]
    for first in ({"device": "cpu"}, {"device": "cuda", "state_on_host": True}):
        state = tmp_path / "state"
        one, _ = annotated(window_job | {"window": halves[0], "state_out": state}, tmp_path / "one", **first)
        given = window_job | {"window": halves[1], "state_in": state}
        two, _ = annotated(given, tmp_path / "two", device="cuda")
        assert_alike(one + two, whole)


def test_the_error_of_half_precision_is_measured_on_the_gpu(window_job):
    words = done(error_of_bfloat16, **window_job, device="cuda").result
    assert words.startswith("on 2 frames from 0, object '00' alone, masks have an IoU of at least ")
