from itertools import pairwise

import numpy as np
import pytest
import torch

from longtake.errors import LatentError
from longtake.latents.metrics.latent import Choices
from longtake.latents.metrics.measure import MODULES, measure, reference
from longtake.latents.names import FAMILIES, metrics


def smooth(x):
    for axis in (1, 2, 3):
        x = x + np.roll(x, 1, axis) + np.roll(x, 2, axis)
    return x


def partly(x):
    """One channel constant, one map constant, and one map constant but for its last row."""
    x = x.copy()
    x[1], x[2, 3], x[0, 0, :-1] = 2.5, 1.0, 0.0
    return x


KINDS = {
    "noise": ((4, 6, 20, 24), lambda x: x.astype(np.float16)),
    "smooth": ((4, 6, 20, 24), smooth),
    "mean of 1e3": ((4, 6, 20, 24), lambda x: (smooth(x) + 1e3).astype(np.float32)),
    "odd sides": ((3, 5, 17, 23), lambda x: x),
    "partly constant": ((4, 6, 20, 24), partly),
    "constant": ((4, 6, 20, 24), lambda x: np.full_like(x, 0.3)),
    "zero": ((2, 3, 9, 9), np.zeros_like),
    "still": ((4, 6, 20, 24), lambda x: np.repeat(x[:, :1], 6, 1)),
    "one frame": ((4, 1, 20, 24), lambda x: x),
    "one channel": ((1, 5, 20, 24), lambda x: x),
    "small": ((2, 3, 5, 6), lambda x: x),
    "one pixel": ((2, 4, 1, 1), lambda x: x),
}


@pytest.fixture(params=KINDS)
def latent(request, disk):
    shape, make = KINDS[request.param]
    return make(disk.noise(request.param, shape, np.float64))


def test_batched_metrics_are_those_of_the_reference(latent):
    found, plain = measure(latent), reference(latent)
    assert tuple(found.metrics) == metrics()
    assert set(plain) == set(metrics())
    for name, (value, _) in plain.items():
        if value is None:
            assert found.metrics[name] is None, name
        else:
            assert found.metrics[name] == pytest.approx(value, rel=1e-6, abs=1e-10), name
    assert found.n_undefined == sum(left_out for _, left_out in plain.values())


@pytest.mark.parametrize("choices", [Choices(bins=8, span=2.0), Choices(patch_sizes=(5,)), Choices(scale="rms"),
                                     Choices(edge_threshold=0.2)])  # fmt: skip
def test_the_settings_reach_both(disk, choices):
    latent = smooth(disk.noise(shape=(3, 4, 18, 20)))
    found, plain = measure(latent, choices), reference(latent, choices)
    for name, (value, _) in plain.items():
        assert found.metrics[name] == (None if value is None else pytest.approx(value, rel=1e-6, abs=1e-10)), name
    assert found.metrics != measure(latent).metrics


def test_the_numbers_of_a_latent_depend_on_nothing_but_itself(disk):
    latents = [disk.noise(f"{n}", (4, 6, 20, 24), np.float16) for n in range(3)]
    alone = [measure(latent) for latent in latents]
    before = torch.get_num_threads()
    for threads in (1, 4):
        torch.set_num_threads(threads)
        again = [measure(latent) for latent in reversed(latents)][::-1]
        assert torch.get_num_threads() == threads
        for a, b in zip(alone, again, strict=True):
            assert a.metrics == b.metrics
            for name, values in (a.channels | a.spectra).items():
                np.testing.assert_array_equal(values, (b.channels | b.spectra)[name])
    torch.set_num_threads(before)
    one_by_one = {}
    for family in FAMILIES:
        one_by_one |= measure(latents[0], families=[family]).metrics
    assert one_by_one == alone[0].metrics


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_named_with_its_place(disk, value):
    latent = disk.noise(shape=(3, 4, 5, 6), dtype=np.float16)
    latent[1, 2, 3, 4] = latent[2, 0, 0, 0] = value
    with pytest.raises(LatentError, match=r"step_001.npy holds .* at \[1, 2, 3, 4\].*first of 2"):
        measure(latent, name="step_001.npy")


def test_a_constant_latent_has_variances_of_zero_and_nothing_else():
    found = measure(np.full((3, 5, 16, 16), 0.1, np.float16)).metrics
    zero = {name for name, value in found.items() if value == 0.0}
    assert zero == {
        "spatial_variance", "temporal_variance", "channel_variance", "total_variance", "motion", "edge_density",
        "patch4_variance", "patch8_variance", "patch16_variance", "patch4_distinctiveness", "patch8_distinctiveness",
    } - ({"patch16_variance"} if found["patch16_variance"] is None else set())  # fmt: skip
    assert {name for name, value in found.items() if value is not None} - zero == {"entropy", "evenness", "dominance"}


# Judges: other people's code.


@pytest.fixture(scope="module")
def x(disk):
    return smooth(disk.noise("judge", (4, 8, 20, 24), np.float64))


@pytest.fixture(scope="module")
def found(x):
    return measure(x)


def maps_of(x):
    return x.reshape(-1, *x.shape[2:])


def test_space_by_scipy(x, found):
    from scipy import ndimage, stats

    row = [stats.pearsonr(m[:-1].ravel(), m[1:].ravel()).statistic for m in maps_of(x)]
    column = [stats.pearsonr(m[:, :-1].ravel(), m[:, 1:].ravel()).statistic for m in maps_of(x)]
    assert found.metrics["autocorrelation_row"] == pytest.approx(np.mean(row))
    assert found.metrics["autocorrelation_column"] == pytest.approx(np.mean(column))
    gradient = [np.hypot(*(ndimage.sobel(m, axis)[1:-1, 1:-1] / 8 for axis in (0, 1))) for m in maps_of(x)]
    assert found.metrics["edge_density"] == pytest.approx(np.mean(np.array(gradient) > 0.93))


@pytest.mark.parametrize("size", [4, 8, 16])
def test_patches_by_scikit_image_and_scipy(x, found, size):
    from scipy.spatial.distance import pdist
    from skimage.util import view_as_blocks

    variances, distances = [], []
    for m in maps_of(x):
        whole = np.ascontiguousarray(m[: m.shape[0] // size * size, : m.shape[1] // size * size])
        patches = view_as_blocks(whole, (size, size)).reshape(-1, size * size)
        variances.append(patches.var(1).mean())
        distances.append(pdist(patches).mean() / size if len(patches) > 1 else np.nan)
    assert found.metrics[f"patch{size}_variance"] == pytest.approx(np.mean(variances))
    distinct = found.metrics[f"patch{size}_distinctiveness"]
    assert (np.nan if distinct is None else distinct) == pytest.approx(np.mean(distances), nan_ok=True)


def test_time_by_scipy_and_pandas(x, found):
    import pandas as pd
    from scipy import signal, stats

    follows = [stats.pearsonr(a.ravel(), b.ravel()).statistic for c in x for a, b in pairwise(c)]
    assert found.metrics["frame_correlation"] == pytest.approx(np.mean(follows))
    means = x.mean((2, 3))
    assert found.metrics["mean_autocorrelation"] == pytest.approx(np.mean([pd.Series(s).autocorr() for s in means]))
    frequency, power = signal.periodogram(means, axis=1)
    np.testing.assert_allclose(found.spectra["temporal"], power.mean(0), atol=1e-12)
    best = 1 + np.argmax(power.mean(0)[1:])
    assert found.metrics["dominant_frequency"] == frequency[best]
    assert found.metrics["dominant_share"] == pytest.approx(power.mean(0)[best] / power.mean(0)[1:].sum())


def test_channels_by_numpy_and_scipy(x, found):
    from scipy import stats

    r = np.corrcoef(x.reshape(4, -1))
    np.testing.assert_allclose(found.channels["correlation"], r, atol=1e-12)
    upper = np.triu_indices(4, 1)
    assert found.metrics["channel_correlation"] == pytest.approx(r[upper].mean())
    assert found.metrics["channel_correlation_abs"] == pytest.approx(np.abs(r[upper]).mean())
    within = [np.corrcoef(x[:, f].reshape(4, -1))[upper].mean() for f in range(8)]
    assert found.metrics["frame_channel_correlation"] == pytest.approx(np.mean(within))
    assert found.metrics["entropy"] == pytest.approx(stats.entropy((x**2).sum((1, 2, 3)), base=2))


def test_information_by_scikit_learn_and_scipy(x, found):
    from scipy import stats
    from sklearn.metrics import mutual_info_score

    z = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)
    codes = np.clip(np.floor(z * 4 + 16), 0, 31).astype(int)

    def corrected(*labels):
        _, counts = np.unique(np.stack([label.ravel() for label in labels]), axis=1, return_counts=True)
        return stats.entropy(counts) + (len(counts) - 1) / (2 * counts.sum()), (len(counts) - 1) / (2 * counts.sum())

    shared = []
    for a in range(4):
        for b in range(a + 1, 4):
            more = [corrected(*labels)[1] for labels in ([codes[a]], [codes[b]], [codes[a], codes[b]])]
            shared.append(mutual_info_score(codes[a].ravel(), codes[b].ravel()) + more[0] + more[1] - more[2])
    assert found.metrics["mutual_information"] == pytest.approx(np.mean(shared) / np.log(2))
    given = corrected(codes[:, :-1], codes[:, 1:])[0] - corrected(codes[:, :-1])[0]
    assert found.metrics["conditional_entropy"] == pytest.approx(given / np.log(2))
    dense = [corrected(m)[0] for m in maps_of(codes)]
    assert found.metrics["information_density"] == pytest.approx(np.mean(dense) / np.log(2))


def test_complexity_by_scikit_learn_and_scikit_image(x, found):
    from skimage.measure import block_reduce
    from sklearn.decomposition import PCA

    pca = PCA().fit(x.reshape(4, -1).T)
    assert found.metrics["pca_components"] == 1 + np.argmax(np.cumsum(pca.explained_variance_ratio_) >= 0.95)
    spread = pca.explained_variance_
    assert found.metrics["participation_ratio"] == pytest.approx(spread.sum() ** 2 / (spread**2).sum())
    sides = [1, 2, 4]
    counts = [[block_reduce(m > m.mean(), (side, side), np.max).sum() for side in sides] for m in maps_of(x)]
    slopes = [np.polyfit(np.log(sides), np.log(of_map), 1)[0] for of_map in counts]
    assert found.metrics["box_dimension"] == pytest.approx(-np.mean(slopes))


def test_the_spectrum_by_scipy(x, found):
    from scipy import signal, stats

    hann = np.outer(*(signal.windows.hann(n, sym=False) for n in x.shape[2:]))
    power = (np.abs(np.fft.fft2((x - x.mean((2, 3), keepdims=True)) * hann)) ** 2).mean(1).reshape(4, -1)[:, 1:]
    power = np.maximum(power, 1e-8 * power.mean(1, keepdims=True))
    assert found.metrics["spectral_entropy"] == pytest.approx(np.mean([stats.entropy(p, base=2) for p in power]))
    flatness = [stats.gmean(p) / p.mean() for p in power]
    assert found.metrics["spectral_flatness"] == pytest.approx(np.mean(flatness))


# Planted truth.


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0, -3.0])
def test_a_planted_slope_of_the_spectrum_is_found(disk, exponent):
    frequency = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(64)[None, :])
    frequency[0, 0] = 1.0
    spectra = np.fft.rfft2(disk.noise("slope", (4, 8, 48, 64), np.float64)) * frequency ** (exponent / 2)
    found = measure(np.fft.irfft2(spectra, s=(48, 64))).metrics
    assert found["spectral_slope"] == pytest.approx(exponent, abs=0.12)
    assert (found["spectral_flatness"] > 0.85) == (exponent == 0.0)


def test_a_planted_rhythm_motion_mirror_and_copy_are_found(disk):
    rhythm = np.cos(2 * np.pi * 3 * np.arange(16) / 16)[None, :, None, None] * np.ones((2, 16, 8, 8))
    found = measure(rhythm).metrics
    assert (found["dominant_frequency"], found["dominant_share"]) == (3 / 16, pytest.approx(1.0))
    moving = np.arange(5.0)[None, :, None, None] * 0.25 + disk.noise("base", (3, 1, 8, 8), np.float64)
    assert measure(moving).metrics["motion"] == pytest.approx(0.25)
    half = disk.noise("half", (2, 3, 8, 5), np.float64)
    assert measure(np.concatenate([half, half[..., ::-1]], -1)).metrics["mirror_left_right"] == pytest.approx(1.0)
    one = disk.noise("one", (1, 4, 16, 16), np.float64)
    copied = measure(np.concatenate([one, -one])).metrics
    assert copied["channel_correlation"] == pytest.approx(-1.0)
    assert copied["pca_components"] == 1
    assert copied["mutual_information"] > 2.0 > measure(disk.noise("two", (2, 9, 20, 20))).metrics["mutual_information"]


def test_every_family_has_its_module_and_every_metric_a_unit():
    assert set(MODULES) == set(FAMILIES)
