import numpy as np
import pytest

from longtake.demo.scenes import (
    SPECIES,
    is_visible,
    make_scene,
    pose,
    render_frame,
    true_motion,
)


@pytest.fixture(scope="module")
def scene():
    return make_scene(7, duration_s=12, n_animals=4, species=SPECIES)


def test_a_frame_does_not_depend_on_the_frames_rendered_before(scene):
    forward = [render_frame(scene, frame) for frame in (0, 50, 100)]
    again = make_scene(7, duration_s=12, n_animals=4, species=SPECIES)
    backward = [render_frame(again, frame) for frame in (100, 50, 0)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.ids, other.ids)


def test_another_seed_gives_another_scene(scene):
    other = make_scene(8, duration_s=12, n_animals=4, species=SPECIES)
    assert not np.array_equal(render_frame(scene, 0).image, render_frame(other, 0).image)


def test_shapes_and_ids(scene):
    rendered = render_frame(scene, 3)
    assert rendered.image.shape == (288, 512, 3)
    assert rendered.image.dtype == np.uint8
    assert rendered.ids.shape == (288, 512)
    assert set(np.unique(rendered.ids)) <= {
        0,
        1,
        2,
        3,
        4,
    }
    assert len({animal.id for animal in scene.animals}) == 4


def test_the_picture_differs_from_the_water_where_an_animal_is(scene):
    rendered = render_frame(scene, 40)
    water = np.median(rendered.image[rendered.ids == 0], axis=0)
    for number in range(1, 5):
        if is_visible(scene, rendered.ids, number):
            animal = np.median(rendered.image[rendered.ids == number], axis=0)
            assert np.abs(animal - water).max() > 30


def test_masks_lie_where_the_pose_says(scene):
    for frame in (0, 60, 200):
        ids = render_frame(scene, frame).ids
        for number in range(1, 5):
            rows, columns = np.nonzero(ids == number)
            if rows.size > 1500:
                centre = pose(scene, number, frame).centre
                assert np.hypot(columns.mean() - centre[0], rows.mean() - centre[1]) < 40


def test_true_motion_is_the_difference_of_poses(scene):
    motion = true_motion(scene, 30)
    for number in range(1, 5):
        moved = pose(scene, number, 30).centre - pose(scene, number, 29).centre
        np.testing.assert_allclose(motion.velocity[number - 1], moved, atol=1e-9)
    assert not true_motion(scene, 0).velocity.any()


def test_a_darter_bursts_and_a_glider_does_not():
    scene = make_scene(5, duration_s=20, n_animals=2, species=["darter", "glider"], n_occluders=0)
    spread = [animal.track.speed.std() / animal.track.speed.mean() for animal in scene.animals]
    assert spread[0] > 0.6
    assert spread[1] < 0.1
    # Every 31 frames hold at least one whole burst: slow and fast within the window.
    speed = scene.animals[0].track.speed
    for start in range(0, 369, 31):
        window = speed[start : start + 31]
        assert window.max() > 4 * window.min()


def test_darter_and_glider_share_their_bodies():
    lengths = {name: [] for name in ("darter", "glider")}
    for seed in range(60):
        scene = make_scene(seed, duration_s=0.1, n_animals=2, species=["darter", "glider"])
        for animal in scene.animals:
            lengths[animal.species].append(animal.body.length)
    assert abs(np.mean(lengths["darter"]) - np.mean(lengths["glider"])) < 4


def test_animals_leave_come_back_and_hide():
    hidden, left, returned = 0, 0, 0
    for seed in range(4):
        scene = make_scene(seed, duration_s=60, n_animals=4)
        seen = np.zeros((60, 4), bool)
        for row, frame in enumerate(range(0, 1200, 20)):
            ids = render_frame(scene, frame).ids
            seen[row] = [is_visible(scene, ids, number) for number in range(1, 5)]
        hidden += int((~seen).sum())
        left += int((seen[:-1] & ~seen[1:]).sum())
        returned += int((~seen[:-1] & seen[1:]).sum())
    assert hidden > 10
    assert left > 3
    assert returned > 3
    assert hidden < 0.4 * 4 * 60 * 4


@pytest.mark.parametrize("wrong", [{"species": ["shark"]}, {"species": ["eel", "eel"]}, {"duration_s": 0.0}])
def test_a_wrong_request_is_refused(wrong):
    with pytest.raises(ValueError):
        make_scene(0, **({"duration_s": 1.0, "n_animals": 1} | wrong))


def test_a_frame_outside_the_scene_is_refused(scene):
    with pytest.raises(IndexError):
        render_frame(scene, 240)
