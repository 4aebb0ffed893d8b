"""Gradients of volumes by slabs equal those of the full graph, and what cannot be done so is left to the other ways."""

import importlib.util
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from longtake.bounded import gradient
from longtake.bounded.front import front_of
from longtake.bounded.guard import frozen
from longtake.bounded.planning import simulate
from longtake.bounded.reach import Reach, reach_of
from longtake.bounded.run import Way
from longtake.bounded.slabplan import plan_slabs, simulated
from longtake.bounded.slabproof import disproved, slab_front
from longtake.bounded.slabwise import SlabWay, slab_gradient
from longtake.bounded.tape import record
from longtake.errors import BudgetError, ExactnessError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("volume_models", ROOT / "benchmarks/volume_models.py")
nets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nets)

IN_SLABS = [name for name in nets.MODELS if name.split()[0] in ("resnet", "densenet", "efficientnet")]
SHAPE = (1, 1, 37, 24, 21)  # a multiple of no stride


def score(outputs):
    return outputs[0, 1] - outputs[0, 2]


def drawn(shape=SHAPE, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def largest(one, other):
    return float((one.double() - other.double()).abs().max() / other.double().abs().max())


@pytest.fixture(scope="module")
def fronts():
    """A model in float64 with its front, found once."""
    made = {}

    def get(name):
        if name not in made:
            model = nets.seeded(name).double()
            made[name] = model, slab_front(model, drawn())
        return made[name]

    return get


@pytest.mark.parametrize("name", IN_SLABS)
@pytest.mark.parametrize("place", [None, 0, 1])
def test_slabs_give_the_gradient_of_the_full_graph(name, place, fronts):
    model, front = fronts(name)
    wrt = None if place is None else nets.LAYERS[name.split()[0]][place]
    plain = gradient(model, drawn(), score, wrt=wrt)
    for tile in (4, 11):
        way = plan_slabs(model, drawn(), score, front, wrt=wrt, tile=tile)
        found = slab_gradient(model, drawn(), score, front, way, wrt=wrt)
        assert largest(found.gradient, plain.gradient) < 1e-12
        assert largest(found.at, plain.at) < 1e-12
        assert abs(found.value - plain.value) < 1e-12
        assert way.predicted_bytes == pytest.approx(found.measured_bytes, rel=0.02)


@pytest.mark.parametrize("name", ["resnet instance"])
def test_every_cut_and_every_seam_gives_the_same(name, fronts):
    model, front = fronts(name)
    plain = gradient(model, drawn(), score)
    seen = 0
    for cut in front.waists[2:]:
        for most in (0, 1 << 40):
            way = SlabWay(front.waists[0], cut, most, 13)
            found = slab_gradient(model, drawn(), score, front, way, measure=False)
            assert largest(found.gradient, plain.gradient) < 1e-12
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("name", ["resnet batch", "densenet instance"])
def test_in_float32_slabs_are_as_near_to_float64_as_the_plain_run(name, fronts):
    exact = gradient(fronts(name)[0], drawn(dtype=torch.float32).double(), score).gradient
    model = nets.seeded(name)
    given = drawn(dtype=torch.float32)
    front = slab_front(model, given)
    way = plan_slabs(model, given, score, front, tile=8)
    found = slab_gradient(model, given, score, front, way).gradient
    plain = gradient(model, given, score).gradient
    assert (found.double() - exact).norm() <= 1.5 * (plain.double() - exact).norm()


def test_peaks_do_not_grow_with_the_insides_of_the_front():
    """Behind the stem a value is half of the volume: what was eleven times the volume becomes three times."""
    model = nets.ResNet("instance", width=32).eval()
    given = torch.zeros(1, 1, 64, 48, 48)
    front = slab_front(model, given)
    with frozen(model):
        plain = simulate(model, given, score, Way()).peak
        thin = SlabWay(front.waists[0], front.waists[-1], 2 * given.nbytes, 4)
        at_input = simulated(model, given, score, front, thin).predicted_bytes
        at_layer = plan_slabs(model, given, score, front, wrt="layers.2", budget=plain // 6)
    assert at_input < 0.3 * plain
    assert at_layer.predicted_bytes < plain // 6
    with pytest.raises(BudgetError, match="no way in slabs is within 1000 bytes"):
        plan_slabs(model, given, score, front, wrt="layers.2", budget=1000)


@pytest.mark.parametrize("name", ["vit", "swin"])
def test_attention_ends_the_front(name):
    model = nets.seeded(name)
    given = drawn(dtype=torch.float32)
    with frozen(model):
        front = front_of(model, given)
    assert front.why
    assert front.waists[-1].rate >= Fraction(1, 8)  # the patches alone, and what is done to each


class Fooled(nn.Module):
    """A branch looks far along the rows and swallows NaN."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x):
        return Swallow.apply(self.conv(x)).mean((2, 3, 4))


class Swallow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + torch.nan_to_num(x.roll(9, 2), 0.0)

    @staticmethod
    def backward(ctx, g):
        return g + g.roll(-9, 2)


def test_a_reach_that_swallows_nan_is_found_out():
    model = Fooled().eval()
    front = slab_front(model, drawn(dtype=torch.float32))
    assert front is None or front.waists[-1].ops == 1


def test_a_wrong_reach_does_not_survive_the_check(fronts, monkeypatch):
    """The proof is of the whole front, so that an error anywhere in it is seen."""
    model, front = fronts("resnet batch")
    assert disproved(model, front, drawn()) == ""
    place = next(at for at, reach in front.reaches.items() if reach.before)
    monkeypatch.setitem(front.reaches, place, Reach(front.reaches[place].rate, 0, 0))
    assert "differ by" in disproved(model, front, drawn())


class OtherName(nn.Module):
    """Changes a tensor in place and reads it under the name it had before."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv3d(1, 2, 3, padding=1), nn.Linear(2, 3)

    def forward(self, x):
        y = self.conv(x)
        functional.relu(y, inplace=True)
        return self.out(y.mean((2, 3, 4)))


def test_what_reads_a_changed_tensor_under_its_old_name_is_no_silent_nan():
    model = OtherName().eval()
    given = drawn(dtype=torch.float32)
    front = slab_front(model, given)
    if front is None:
        return
    for cut in front.waists[1:]:
        way = SlabWay(front.waists[0], cut, 0, 8)
        try:
            found = slab_gradient(model, given, score, front, way).gradient
        except ExactnessError:
            continue
        assert largest(found, gradient(model, given, score).gradient) < 1e-5


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv3d(1, 1, 3, padding=1), Reach(1, 1, 1)),
        (nn.Conv3d(1, 1, 7, 2, 3), Reach(0.5, 3, 3)),
        (nn.Conv3d(1, 1, 1, 2), Reach(0.5, 0, 0)),
        (nn.Conv3d(1, 1, 3, padding=2, dilation=2), Reach(1, 2, 2)),
        (nn.MaxPool3d(3, 2, 1), Reach(0.5, 1, 1)),
        (nn.AvgPool3d(2), Reach(0.5, 0, 1)),
        (nn.ReLU(), Reach(1, 0, 0)),
        (nn.ConvTranspose3d(1, 1, 2, 2), Reach(2, 0, 0)),
        (nn.Upsample(scale_factor=2, mode="trilinear"), Reach(2, 1, 1)),
        (nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True), None),
    ],
)
def test_reaches_are_those_one_can_work_out(layer, expected):
    model = layer.eval()
    with frozen(model):
        tape = record(model, torch.zeros(1, 1, 32, 16, 16))
    held = {name: value.double() for name, value in model.named_parameters()}
    assert reach_of(tape.ops[-1], tape.shapes, {0}, held, 2) == expected
