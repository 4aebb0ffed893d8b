"""Latents on a GPU: the numbers of the CPU, and the same bits each time."""

from pathlib import Path

import numpy as np
import pytest

from longtake.latents.grams import gram
from longtake.latents.headers import read_header
from longtake.latents.metrics.measure import measure
from longtake.latents.readers import Stored
from longtake.streams import stream
from longtake.supervise.child import attempt


def latents():
    """Noise, one that is smooth with a mean of 1e3, and one with constant maps."""
    noise = stream(1, "latents", "test").standard_normal((4, 6, 20, 24))
    smooth = (noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3) + 1e3).astype(np.float32)
    partly = noise.copy()
    partly[1], partly[2, 3] = 2.5, 1.0
    return {"noise": noise.astype(np.float16), "smooth": smooth, "partly": partly}


def measured(device):
    found = {name: measure(latent, device=device) for name, latent in latents().items()}
    return {name: (each.metrics, each.n_undefined, each.channels | each.spectra) for name, each in found.items()}


def products(paths, device):
    return gram([Stored(path, "npy", read_header(path, "npy"), "CFHW") for path in paths], device=device)


def in_a_child(work, **arguments):
    end = attempt(work, arguments)
    assert end.error is None, end.error
    return end.result


def test_metrics_of_a_gpu_are_those_of_the_cpu_and_the_same_each_time():
    here, there, again = measured("cpu"), in_a_child(measured, device="cuda"), in_a_child(measured, device="cuda")
    for name, (metrics, n_undefined, arrays) in here.items():
        assert there[name][1] == n_undefined
        assert there[name][0] == again[name][0]
        for metric, value in metrics.items():
            # Distances of patches are in float32, all else in float64.
            near = 1e-6 if metric.startswith("patch") else 1e-9
            expected = None if value is None else pytest.approx(value, rel=near, abs=1e-10)
            assert there[name][0][metric] == expected, (name, metric)
        for key, values in arrays.items():
            np.testing.assert_allclose(there[name][2][key], values, rtol=1e-9, atol=1e-10)


def test_products_of_latents_of_a_gpu_are_those_of_the_cpu(tmp_path: Path):
    paths = []
    for n in range(5):
        paths.append(tmp_path / f"{n}.npy")
        np.save(paths[-1], stream(n, "products", "test").standard_normal((4, 6, 20, 24)).astype(np.float16))
    found = in_a_child(products, paths=paths, device="cuda")
    np.testing.assert_allclose(found, products(paths, "cpu"), rtol=1e-12)
    np.testing.assert_array_equal(found, found.T)
