"""Maps that one can work out by hand, or by the plain graph."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from longtake.attribution.cams import cam, enlarged
from longtake.attribution.exact import Exact
from longtake.attribution.layers import behind, layers_of
from longtake.attribution.noise import drawn_moments, noisy, smoothgrad, standard_error, vargrad
from longtake.attribution.path import baseline_of, integrated
from longtake.attribution.target import Target, check_scores, chosen_targets, class_index, label_index
from longtake.bounded import gradient
from longtake.errors import BudgetError, ConfigError, ModelError, SheetError
from longtake.models.volumes import BareVolumeModel, RegionSums

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("volume_models", ROOT / "benchmarks/volume_models.py")
nets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nets)
SHAPE = (1, 1, 21, 16, 17)


def drawn(shape=SHAPE, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def model_of(name, dtype=torch.float32):
    return BareVolumeModel(nets.seeded(name).to(dtype), ("a", "b", "c"))


class Voxel(nn.Module):
    """The score of class 1 is three times the voxel (2, 1, 1), whatever else there is."""

    def __init__(self):
        super().__init__()
        self.features = nn.Identity()

    def forward(self, x):
        voxel = self.features(x)[:, 0, 2, 1, 1]
        return torch.stack([voxel * 0, 3 * voxel], 1)


A = torch.tensor([[[[1.0, 2.0]]], [[[3.0, -1.0]]]])  # two channels of two cells
G = torch.tensor([[[[0.5, 0.0]]], [[[-1.0, 0.25]]]])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("gradcam", [max(0.25 * 1 - 0.375 * 3, 0), 0.25 * 2 + 0.375]),
        # Channel 0: sum A = 3, alpha = 1 / (2 + 1.5), so w = 0.5 / 3.5. Channel 1: sum A = 2, alpha of the second cell
        # 1 / (2 + 0.5), w = 0.25 / 2.5 = 0.1.
        ("gradcam++", [1 / 7 + 0.3, 2 / 7 - 0.1]),
        ("layercam", [0.5, 0.0]),
        ("hirescam", [0.0, 0.0]),
    ],
)
def test_cams_are_those_worked_out_by_hand(method, expected):
    found = cam(method, A, G)
    assert found.values.flatten().tolist() == pytest.approx(expected, abs=1e-7)
    assert found.values.dtype == torch.float32


def test_gradcam_plus_plus_counts_denominators_that_are_not_positive():
    found = cam("gradcam++", A, -4 * G)  # channel 0, cell 0: 2 - 3 * 2 < 0; channel 1, cell 1: 2 - 2 * 1 = 0
    assert found.negative == 0.5
    assert torch.isfinite(found.values).all()


def test_a_planted_voxel_is_found_where_it_is():
    exact = Exact(BareVolumeModel(Voxel().eval(), ("no", "yes")))
    found = exact.gradient(drawn((1, 1, 5, 3, 3)), Target(1))
    assert found.gradient[0, 0, 2, 1, 1] == 3
    assert found.gradient.abs().sum() == 3


def test_hirescam_of_a_linear_head_sums_to_the_score():
    model = model_of("resnet batch", torch.float64)
    given = drawn(dtype=torch.float64)
    found = Exact(model).gradient(given, Target(1), layer="layers")
    products = (found.at * found.gradient).sum()
    assert products.item() == pytest.approx(found.value - model.module.out.bias[1].item(), rel=1e-9)


@pytest.mark.parametrize("layer", [None, "layers.1"])
@pytest.mark.parametrize("name", ["resnet group", "unet instance", "vit"])
def test_tile_and_budget_change_nothing(name, layer):
    model, given = model_of(name, torch.float64), drawn((1, 1, 40, 32, 24), dtype=torch.float64)
    if name == "vit":
        model.module = nets.ViT(64, 3, 4).double().eval()
    layer = layer and nets.LAYERS[name.split()[0]][0]
    plain = gradient(model, given, Target(0, 2), wrt=layer)
    peak = plain.measured_bytes
    ways = set()
    for exact in (Exact(model, tile=5), Exact(model, budget=int(0.8 * peak)), Exact(model, budget=10 * peak)):
        try:
            found = exact.gradient(given, Target(0, 2), layer=layer)
        except BudgetError:
            continue
        ways.add(exact.peak[1])
        assert torch.allclose(found.gradient, plain.gradient, rtol=0, atol=1e-12 * float(plain.gradient.abs().max()))
    assert len(ways) >= 2, ways


def test_nothing_fits_names_the_smallest_peak_and_how():
    model = model_of("resnet group")
    with pytest.raises(BudgetError, match=r"the smallest peak is \d+ bytes, by"):
        Exact(model, budget=1000).gradient(drawn(), Target(0))


def test_scores_in_slabs_are_the_models():
    model, given = model_of("efficientnet batch", torch.float64), drawn((1, 1, 40, 24, 24), dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(Exact(model, tile=8).scores(given), model.scores(given), rtol=1e-12)


class Quadratic(nn.Module):
    """S = sum of x^2: the gradient is 2 x."""

    def forward(self, x):
        return torch.stack([x.square().sum(), x.sum()])[None]


def moments_of(given, draws, folder, gradient=lambda x: 2 * x, key="k", sigma=0.5):
    def at(draw):
        return gradient(noisy(given, sigma, seed=7, volume="v", draw=draw))

    return drawn_moments(at, shape=tuple(given.shape[1:]), draws=draws, folder=folder, key=key)


def test_smoothgrad_and_vargrad_are_mean_and_variance_of_the_draws(tmp_path):
    given = drawn((1, 2, 5, 4, 3))
    draws = torch.stack([2 * noisy(given, 0.5, seed=7, volume="v", draw=draw)[0] for draw in range(9)]).double()
    found = moments_of(given, 9, tmp_path)
    np.testing.assert_allclose(smoothgrad(found), draws.mean(0).abs().sum(0), rtol=1e-6)
    np.testing.assert_allclose(vargrad(found), draws.var(0).sum(0), rtol=1e-6)
    expected = (draws.var(0) / 9).sum().sqrt() / draws.mean(0).square().sum().sqrt()
    assert standard_error(found) == pytest.approx(float(expected), rel=1e-6)


def test_noise_is_of_the_slice_alone():
    """So that it is the same however a volume is cut, and on any device."""
    given = torch.zeros(1, 1, 6, 4, 3)
    whole = noisy(given, 1.0, seed=1, volume="v", draw=3)
    assert torch.equal(noisy(given[:, :, :2], 1.0, seed=1, volume="v", draw=3), whole[:, :, :2])
    other = [
        noisy(given, 1.0, **{"seed": 1, "volume": "v", "draw": 3, **one}) for one in ({"draw": 4}, {"volume": "w"})
    ]
    assert not any(torch.equal(each, whole) for each in other)
    assert 0.7 < float(whole.std()) < 1.3


class Killed(Exception):
    pass


def test_draws_go_on_where_they_were_ended_to_the_same_bytes(tmp_path):
    given = drawn((1, 1, 5, 4, 3))
    whole = moments_of(given, 8, tmp_path / "whole")
    calls = []

    def dying(x):
        calls.append(1)
        if len(calls) in (3, 6):
            raise Killed
        return 2 * x

    for _ in range(2):
        with pytest.raises(Killed):
            moments_of(given, 8, tmp_path / "cut", dying)
    found = moments_of(given, 8, tmp_path / "cut", dying)
    assert len(calls) == 8 + 2
    assert found.path.read_bytes() == whole.path.read_bytes()
    assert [path.name for path in sorted((tmp_path / "cut").iterdir())] == ["8.sums", "state.json"]
    moments_of(given, 8, tmp_path / "cut", dying, key="another model")
    assert len(calls) == 18  # what was drawn for another model is not gone on with


@pytest.mark.parametrize("baseline", ["zero", "mean", "min", "blur", 0.25])
def test_integrated_gradients_of_a_square_are_known(baseline, tmp_path):
    """Of x^2 they are x^2 - b^2 - and two points integrate it exactly."""
    given = drawn((1, 2, 5, 4, 3), dtype=torch.float64)
    start = baseline_of(given, baseline)
    difference = float(given.square().sum() - start.expand_as(given).square().sum())
    found = integrated(lambda x: 2 * x, given, start, difference, steps=2, folder=tmp_path, key="k")
    expected = (given - start) * (given + start)
    np.testing.assert_allclose(found.values, expected[0].sum(0), rtol=1e-5, atol=1e-6)
    assert found.gap < 1e-9


def test_integrated_gradients_go_on_where_they_were_ended(tmp_path):
    given = drawn((1, 1, 5, 4, 3))
    calls = []

    def dying(x):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return x**3

    arguments = {"steps": 4, "key": "k"}
    whole = integrated(lambda x: x**3, given, baseline_of(given, "zero"), 1.0, folder=tmp_path / "a", **arguments)
    with pytest.raises(Killed):
        integrated(dying, given, baseline_of(given, "zero"), 1.0, folder=tmp_path / "b", **arguments)
    found = integrated(dying, given, baseline_of(given, "zero"), 1.0, folder=tmp_path / "b", **arguments)
    assert len(calls) == 5
    np.testing.assert_array_equal(found.values, whole.values)


def test_before_an_instance_norm_weights_vanish_and_the_layer_behind_is_named():
    model, given = model_of("resnet instance", torch.float64), drawn((1, 1, 32, 32, 32), dtype=torch.float64)
    exact = Exact(model)
    before = exact.gradient(given, Target(1), layer="layers.0.first.0")
    ratio = cam("gradcam", before.at[0], before.gradient[0]).weight_ratio
    assert ratio < 1e-6
    assert behind(model, given, "layers.0.first.0") == "layers.0.first.1"
    after = exact.gradient(given, Target(1), layer="layers.0.first.1")
    assert cam("gradcam", after.at[0], after.gradient[0]).weight_ratio > 1e-2


def test_the_last_layer_with_space_is_found_and_bad_ones_are_named():
    model, given = model_of("resnet batch"), drawn()
    assert layers_of(model, given, ("",)) == ["layers"]
    assert layers_of(model_of("vit"), given, ("",)) == ["spatial"]
    assert layers_of(model, given, ("stem", "pool", "stem")) == ["stem", "pool"]
    model.layer = "layers.1"
    assert layers_of(model, given, ("",)) == ["layers.1"]
    for name, said in [
        ("layer.2", "Did you mean 'layers.2'"),
        ("average", "no spatial extent"),
        ("out", "no spatial extent"),
    ]:
        with pytest.raises(ModelError, match=said):
            layers_of(model, given, (name,))
    twice = BareVolumeModel(Twice().eval(), ("a",))
    with pytest.raises(ModelError, match="is called 2 times"):
        layers_of(twice, given, ("conv",))
    with pytest.raises(ModelError, match="no single tensor"):
        layers_of(twice, given, ("pair",))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pair = nn.Conv3d(1, 1, 3, padding=1), Pair()

    def forward(self, x):
        return self.pair(self.conv(self.conv(x)))[0].mean((2, 3, 4))


def test_targets_are_chosen_by_name_index_and_contrast():
    names = ("normal", "amd", "dme")
    found = chosen_targets(["predicted", "true", "dme", 1], "normal", names, predicted=1, true=2, volume="v1")
    assert found == [Target(1, 0), Target(2, 0)]
    assert float(Target(1, 0)(torch.tensor([1.0, 5.0, 2.0]))) == 4
    with pytest.raises(ConfigError, match="Did you mean 'amd'"):
        class_index("amdd", names, "attribution.target")
    with pytest.raises(SheetError, match="'DME', which is no class"):
        label_index("DME", names, "v1")


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((torch.ones(3),), "returned a tuple"),
        (torch.ones(3, 4, 4, 4), "segmenter"),
        (torch.ones(2, 3), "not \\(classes,\\)"),
        (torch.tensor([1.0, float("nan")]), "not finite"),
    ],
)
def test_what_is_no_score_is_refused(scores, said):
    with pytest.raises(ModelError, match=said):
        check_scores(scores, "volume v")


def test_a_segmenter_is_explained_by_sums_over_its_own_voxels():
    torch.manual_seed(1)
    module = nets.UNet("instance", pooled=False).double().eval()
    model, given = RegionSums(module, ("a", "b", "c")), drawn(dtype=torch.float64)
    found = Exact(model, tile=8).gradient(given, Target(1))
    leaf = given.clone().requires_grad_()
    voxels = module(leaf)[0]
    own = voxels.detach().argmax(0) == 1
    if not own.any():
        own = torch.ones_like(own)
    (expected,) = torch.autograd.grad(voxels[1][own].sum(), leaf)
    assert torch.allclose(found.gradient, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_a_regression_is_one_output():
    model = BareVolumeModel(
        nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2, 1)).eval()
    )
    assert Exact(model).gradient(drawn(), Target(0)).gradient.abs().sum() > 0


def test_maps_are_enlarged_between_centres_of_cells():
    values = torch.tensor([[[0.0]], [[4.0]]])
    assert enlarged(values, (4, 1, 1)).flatten().tolist() == [0, 1, 3, 4]
