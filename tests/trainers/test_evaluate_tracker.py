import numpy as np
import pytest
from trainers.evaluate_tracker import Identities, evaluate_prompts, evaluate_scene, held_out_scene, identity_f1
from trainers.tracker import new_tracker


def counts(matched, visible, drawn):
    return Identities(np.array(matched), np.array(visible), np.array(drawn))


def test_identity_f1_of_perfect_tracks_is_one():
    assert identity_f1([counts([[10, 0], [0, 8]], [10, 8], [10, 8])]) == 1.0


def test_two_animals_that_swap_halfway_keep_half_of_their_identity():
    assert identity_f1([counts([[5, 5], [5, 5]], [10, 10], [10, 10])]) == 0.5


def test_masks_of_absent_animals_and_missing_masks_count_against():
    # 10 right; 2 masks too many, and 4 frames without one: 2 * 10 / (14 + 12).
    assert identity_f1([counts([[10]], [14], [12])]) == pytest.approx(20 / 26)


def test_each_scene_is_paired_by_itself_and_at_its_best():
    straight, crossed = counts([[9, 0], [0, 9]], [9, 9], [9, 9]), counts([[0, 9], [9, 0]], [9, 9], [9, 9])
    assert identity_f1([straight, crossed]) == 1.0


@pytest.mark.parametrize("kind", ["box", "point", "mask"])
def test_an_untrained_tracker_is_counted_on_every_frame_that_it_was_asked_for(kind):
    scene = held_out_scene(0, 1.0)
    followed, found = evaluate_scene(new_tracker(0).eval(), scene, kind=kind)
    if kind == "mask":  # What is given comes back.
        assert all(animal.prompted_iou > 0.8 for animal in followed)
    assert [len(animal.iou) for animal in followed] == found.visible.tolist()
    assert found.matched.shape == (len(followed), len(followed))
    assert (found.drawn <= 4).all()
    assert (found.matched.sum(0) <= found.drawn).all()


def test_single_prompts_are_asked_in_every_kind():
    singles = evaluate_prompts(new_tracker(0).eval(), held_out_scene(0, 0.1))
    kinds = [single.kind for single in singles]
    assert kinds.count("nothing") == 8
    assert kinds.count("box") == kinds.count("point") == kinds.count("points") > 0
    assert all(np.isnan(single.iou) == (single.kind == "nothing") for single in singles)
