"""Noisy linear imputation against a dense solve, and where there is nothing to go by."""

import numpy as np
import torch

from longtake.attribution.imputation import imputed


def dense(given, there):
    """The same system written down and solved in float64."""
    size = given.shape[2:]
    number = np.arange(np.prod(size)).reshape(size)
    matrix, right = np.zeros((number.size, number.size)), np.zeros((number.size, given.shape[1]))
    for place in np.ndindex(*size):
        row = number[place]
        if there[(0, 0, *place)]:
            matrix[row, row], right[row] = 1, given[(0, slice(None), *place)]
            continue
        for axis in range(3):
            for step in (-1, 1):
                other = list(place)
                other[axis] += step
                if 0 <= other[axis] < size[axis]:
                    matrix[row, row] += 1
                    matrix[row, number[tuple(other)]] -= 1
    return np.linalg.solve(matrix, right).T.reshape(given.shape[1:])


def test_each_missing_voxel_is_the_mean_of_its_neighbours():
    random = torch.Generator().manual_seed(3)
    given = torch.rand((1, 2, 6, 7, 5), generator=random)
    there = torch.rand((1, 1, 6, 7, 5), generator=random) > 0.7
    there[:, :, 1:4, 1:5, 1:4] = False
    found = imputed(given, there)
    assert torch.equal(found[there.expand_as(found)], given[there.expand_as(given)])
    assert np.abs(found[0].numpy() - dense(given.numpy(), there.numpy())).max() < 2e-3


def test_a_ramp_is_continued_and_nothing_at_all_is_filled_with_the_mean():
    ramp = torch.arange(9.0).reshape(1, 1, 9, 1, 1).expand(1, 1, 9, 4, 4).contiguous()
    there = torch.ones((1, 1, 9, 4, 4), dtype=torch.bool)
    there[:, :, 2:7] = False
    assert float((imputed(ramp, there) - ramp).abs().max()) < 0.02
    none = torch.zeros_like(there)
    assert torch.allclose(imputed(ramp, none), torch.full_like(ramp, 4.0))
