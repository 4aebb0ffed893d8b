import numpy as np
import pytest

from longtake.latents import grams
from longtake.latents.crossings import Place, cross, dimensions, unique_seeds
from longtake.latents.index import index_videos, stored
from longtake.latents.layout import find_videos
from longtake.latents.trajectories import describe, follow, moves


def of_points(points, steps=None, sigmas=None):
    way = moves(np.asarray(points, float))
    return describe(way @ way.T / len(points[0]), steps or range(len(points)), sigmas)


def test_a_straight_way_at_one_speed_turns_nowhere():
    found = of_points([[t, 2.0 * t, 0.0, 0.0] for t in range(6)]).scalars
    step = np.sqrt(5) / 2
    assert found["length"] == pytest.approx(5 * step)
    assert found["speed_mean"] == pytest.approx(step)
    assert found["endpoint_distance"] == pytest.approx(5 * step)
    for name in ("tortuosity", "endpoint_alignment", "pc1_share"):
        assert found[name] == pytest.approx(1.0)
    for name in ("speed_cv", "acceleration", "turning_angle", "curvature"):
        assert found[name] == pytest.approx(0.0, abs=1e-7)
    assert (found["half_life"], found["half_life_fraction"]) == (pytest.approx(2.5), pytest.approx(0.5))


def test_a_circle_has_the_curvature_of_its_radius_and_ends_nowhere():
    angles = np.linspace(0, 2 * np.pi, 25)
    found = of_points(np.stack([3 * np.cos(angles), 3 * np.sin(angles)], 1)).scalars
    assert found["curvature"] == pytest.approx(np.sqrt(2) / 3)
    assert found["turning_angle"] == pytest.approx(2 * np.pi / 24)
    assert found["tortuosity"] is found["half_life"] is found["endpoint_alignment"] is None
    assert found["participation_ratio"] == pytest.approx(2.0, rel=0.02)


def test_short_ways_have_little_to_say():
    assert all(value is None for value in of_points([[1.0, 2.0]]).scalars.values())
    known = {name for name, value in of_points([[0.0, 0.0], [3.0, 4.0]]).scalars.items() if value is not None}
    assert known == {"length", "speed_mean", "endpoint_distance"}


def test_steps_may_lie_apart_and_sigma_is_a_scale_of_its_own():
    found = of_points([[0.0], [2.0], [4.0]], steps=[0, 10, 20], sigmas=[1.0, 0.5, 0.4])
    assert found.scalars["half_life"] == pytest.approx(10.0)
    np.testing.assert_allclose(found.curves["speed_sigma"][:2], [4.0, 20.0])
    np.testing.assert_allclose(found.curves["distance_to_final"], [4.0, 2.0, 0.0])


@pytest.mark.parametrize("block", [2**25, 4096, 8 * 3])
@pytest.mark.parametrize("kind", ["npy", "npy.gz", "pt", "safetensors"])
def test_streamed_products_are_those_of_whole_latents(tmp_path, disk, monkeypatch, block, kind):
    monkeypatch.setattr(grams, "BLOCK_BYTES", block)
    latents = disk.noise("way", (4, 3, 2, 6, 7), np.float16).cumsum(0).astype(np.float16)
    disk.save_video(tmp_path / "g/v", latents, kind=kind)
    (row,) = index_videos(find_videos(str(tmp_path)), axes="auto", scratch=tmp_path)
    found = follow(stored(row), range(4), [held["sigma"] for held in row["held"]], tmp_path / "scratch")
    whole = of_points(latents.reshape(4, -1), sigmas=[1.0, 0.75, 0.5, 0.25])
    assert found.scalars == pytest.approx(whole.scalars)


def test_videos_at_a_step_are_compared_by_distances(disk):
    a = disk.noise("a", (6, 40), np.float64)
    far = a + disk.noise("far", (6, 40), np.float64) * 0.1 + 2.0
    points = np.concatenate([a, far])
    videos = [Place("base", n) for n in range(6)] + [Place("far", n) for n in range(6)]
    found = cross(points @ points.T, 40, videos, "base")
    np.testing.assert_allclose(found.branch_distance[6:], np.linalg.norm(far - a, axis=1) / np.sqrt(40))
    np.testing.assert_allclose(found.exit_distance[:6], np.linalg.norm(a - a.mean(0), axis=1) / np.sqrt(40))
    width = np.sqrt(a.var(0, ddof=1).sum() / 40)
    assert found.groups["base"]["corridor_width"] == pytest.approx(width)
    d = far - a
    unbiased = (d.mean(0) ** 2).sum() / 40 - d.var(0, ddof=1).sum() / 6 / 40
    assert found.groups["far"]["divergence"] == pytest.approx(np.sqrt(unbiased))
    assert np.isnan(found.groups["base"]["divergence"])
    centred = points - points.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(found.places, axis=0), spread[:2] / np.sqrt(40))


def test_groups_without_matched_seeds_diverge_by_what_is_left_of_their_spread(disk):
    a, b = (disk.noise(name, (200, 30), np.float64) for name in "ab")
    videos = [Place("a", None)] * 200 + [Place("b", None)] * 200
    points = np.concatenate([a, b + 0.5])
    assert cross(points @ points.T, 30, videos, "a").groups["b"]["divergence"] == pytest.approx(0.5, abs=0.03)
    none = np.concatenate([a, b])
    assert cross(none @ none.T, 30, videos, "a").groups["b"]["divergence"] < 0.05


@pytest.mark.parametrize("dimension", [2, 5])
def test_a_planted_dimension_is_found_and_equal_points_are_dropped(disk, dimension):
    points = disk.noise("plane", (600, dimension), np.float64) @ disk.noise("turn", (dimension, 12), np.float64)
    points[1] = points[0]
    squared = grams.squared_distances(points @ points.T)
    twonn, levina, n = dimensions(np.sqrt(squared))
    assert n == 598
    assert twonn == pytest.approx(dimension, rel=0.15)
    assert levina == pytest.approx(dimension, rel=0.2)


def test_a_seed_that_a_group_has_twice_matches_nothing():
    rows = [
        {"group": "a", "seed": 1},
        {"group": "a", "seed": 1},
        {"group": "a", "seed": 2},
        {"group": "b", "seed": None},
    ]
    assert [place.seed for place in unique_seeds(rows)] == [None, None, 2, None]
