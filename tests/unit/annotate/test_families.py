"""EdgeTAM and SAM 3's tracker from their folders: the same session, equal to the stock one to the last bit."""

import json
from importlib.util import find_spec

import pytest

from longtake.annotate.tracker import load_tracker
from longtake.errors import ModelError

FRAMES = 24


@pytest.fixture(scope="module", params=["EdgeTamVideo", "Sam3TrackerVideo"])
def other(request, family_dirs):
    return load_tracker(family_dirs[request.param])


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_logits_equal_one_stock_session(other, stock, bounded, assert_equal, drifting_pixels, square, clicks, reverse):
    """More prompted frames of one object than SAM 3's tracker reads (4), with and without cuts."""
    prompts = {
        0: {"a": square(4, 4, 30, 30), "b": clicks([(25, 30)], [(60, 5)])},
        2: {"a": square(6, 6, 30, 30)},
        3: {"a": square(9, 4, 36, 30)},
        5: {"c": square(1, 30, 30, 60)},
        9: {"a": clicks([(20, 20)], [(44, 44)], box=(10, 10, 40, 40))},
        10: {"a": square(12, 4, 40, 30)},
        12: {"a": square(14, 4, 44, 30)},
    }
    pixels, last = drifting_pixels(FRAMES), FRAMES - 1
    prompts = {last - at if reverse else at: given for at, given in prompts.items()}
    ends = {"c": last - 16 if reverse else 16}
    expected = stock(other, pixels, prompts, ends, reverse=reverse)
    assert len({score for _, score in expected.values()}) == len(expected)
    for cuts in (), (7, 8, 13, 20):
        assert_equal(bounded(other, pixels, prompts, ends, cuts, reverse=reverse), expected)


def test_a_mask(other, stock, bounded, assert_equal, drifting_pixels, square, blob):
    """EdgeTAM's own loop takes no mask beside other objects, which do not touch each other there."""
    pixels, prompts = drifting_pixels(9), {0: {"a": square(4, 4, 30, 30)}, 3: {"b": blob(1, 30, 30, 60)}}
    found = bounded(other, pixels, prompts, cuts=(2, 5))
    if other.model.config.model_type == "edgetam_video":
        apart = [{at: given for at, given in prompts.items() if name in given} for name in ("a", "b")]
        # Alone, the object with the mask begins with it.
        assert_equal(found, stock(other, pixels, apart[0]) | stock(other, pixels, apart[1]))
    else:
        assert_equal(found, stock(other, pixels, prompts))


def test_documented_colours(family_dirs, tmp_path):
    """Without a processor file; ImageNet's for SAM 2 and EdgeTAM, 0.5 for SAM 3."""
    for family, mean in {"Sam2Video": 0.485, "EdgeTamVideo": 0.485, "Sam3TrackerVideo": 0.5}.items():
        folder = tmp_path / family
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).symlink_to(family_dirs[family] / name)
        found = load_tracker(folder).preprocessing
        assert (found.mean[0], found.image_size) == (mean, 64)


def test_the_one_file_in_which_newer_folders_keep_their_processors(family_dirs, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(family_dirs["Sam3TrackerVideo"] / name)
    image = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 64, "width": 64}}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": image, "target_size": 64}))
    assert load_tracker(folder).preprocessing.std == (0.4, 0.5, 0.6)


def test_a_whole_sam3_is_sent_to_its_tracker(family_dirs, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam3_video"}))
    with pytest.raises(ModelError, match=r"'sam3_video'.*Sam3TrackerVideoModel\.from_pretrained\(folder\)"):
        load_tracker(tmp_path)


def test_a_backbone_of_a_package_that_is_missing(family_dirs, tmp_path):
    """EdgeTAM's published backbone is one of timm's."""
    if find_spec("timm") is not None:
        pytest.skip("timm is here")
    config = json.loads((family_dirs["EdgeTamVideo"] / "config.json").read_text())
    config["vision_config"] = {"model_type": "edgetam_vision_model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(family_dirs["EdgeTamVideo"] / "model.safetensors")
    with pytest.raises(ModelError, match=r"this EdgeTAM needs a package that is not installed here .*timm"):
        load_tracker(tmp_path)
