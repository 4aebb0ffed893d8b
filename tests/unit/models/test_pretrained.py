"""Folders of the ``transformers`` library: every family loads, sees what it should, has the plain gradients."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from longtake.bounded import gradient
from longtake.errors import ModelError
from longtake.gradients.attribution import attribute_clip
from longtake.gradients.planner import Budget, Planner
from longtake.models import ClipModel, SplitModel, load_model
from longtake.models.segmenters import join_queries, resized
from longtake.models.targets import FixedTarget

ROOT = Path(__file__).parents[3]
FAMILIES = ("videomae", "timesformer", "vivit", "vjepa2", "videomt", "mask2former")
SPLIT = ("videomt", "mask2former")
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)


def clip_of(kind, seed=0):
    height, width = kind.size
    return np.random.default_rng(seed).integers(0, 256, (kind.n_frames, height, width, 3), dtype=np.uint8)


def as_frames(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


def library_scores(kind, folder, frames, name):
    """The scores by the library alone: its own reading of the folder, normalisation written out here."""
    import transformers

    model = getattr(transformers, kind.class_name).from_pretrained(folder).eval()
    values = ((2 * frames - 1 if name == "vivit" else frames) - MEAN) / STD
    if name == "mask2former":
        answer = model(pixel_values=values)
        # Whoever joins the queries, their numbers on the first frame stay.
        order = join_queries(answer.transformer_decoder_last_hidden_state.detach())
        return answer.class_queries_logits[torch.arange(len(order))[:, None], order].mean(0)
    answer = model(**{kind.argument: values[None]})
    return answer.class_queries_logits.mean(0) if name == "videomt" else answer.logits[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_the_librarys(name, kinds, folders):
    adapter = load_model(folders(name))
    kind = kinds[name]
    assert isinstance(adapter, ClipModel)
    assert isinstance(adapter, SplitModel) == (name in SPLIT)
    assert adapter.class_names == ("cod", "eel", "ray")
    assert adapter.n_frames == (None if name in SPLIT else kind.n_frames)
    assert adapter.input_size(*kind.size) == kind.size
    frames = as_frames(clip_of(kind))
    with torch.no_grad():
        scores, expected = adapter.scores(frames), library_scores(kind, folders(name), frames, name)
    assert scores.dtype == torch.float32
    assert scores.shape == ((5, 4) if name in SPLIT else (3,))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        assert (adapter.scores(as_frames(clip_of(kind, 1))) - scores).abs().max() > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_those_of_the_plain_model(name, kinds, folders):
    kind, pixels = kinds[name], clip_of(kinds[name])
    unknown = [None] * len(pixels)
    loaded = load_model(folders(name))
    planner = Planner(loaded, Budget(chunk_size=2))
    found = attribute_clip(loaded, pixels, unknown, target=None, planner=planner)
    frames = as_frames(pixels).requires_grad_()
    scores = library_scores(kind, folders(name), frames, name)
    # The best of all instances by hand: softmax, without "no instance".
    best = np.unravel_index(scores.softmax(-1)[:, :3].argmax(), (len(scores), 3)) if name in SPLIT else scores.argmax()
    (expected,) = torch.autograd.grad(scores[tuple(best)] if name in SPLIT else scores[best], frames)
    assert (found.instance, found.target) == (tuple(best) if name in SPLIT else (None, int(best)))
    assert found.predicted == found.target
    maps = expected.norm(dim=1).numpy()
    assert all(map(np.any, maps)), "a frame that the model never sees"
    np.testing.assert_allclose(found.maps, maps, rtol=1e-3, atol=1e-4 * maps.max())


def test_frames_reach_the_model_normalised(kinds, folders, own_folder, change):
    """A wrong constant in the adapter, or one not read from the folder, shows in what the first layer is given."""
    seen = {}

    def note(adapter):
        part = adapter.module.videomae.embeddings.patch_embeddings
        part.register_forward_pre_hook(lambda module, given: seen.update(values=given[0]))
        adapter.scores(torch.full((16, 3, 16, 16), 0.7))
        return seen["values"][0, 0, :, 0, 0].tolist()

    assert note(load_model(folders("videomae"))) == pytest.approx([0.3 / 0.2, 0.2 / 0.25, 0.1 / 0.3], rel=1e-5)
    other = own_folder("videomae")
    change(other / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    assert note(load_model(other)) == pytest.approx([0.2 / 0.2, 0.2 / 0.25, 0.2 / 0.3], rel=1e-5)


def test_what_was_loaded_is_logged(folders, caplog):
    caplog.set_level(logging.INFO, "longtake")
    load_model(folders("videomae"))
    assert "VideoMAEForVideoClassification, clips of 16 frames, 3 classes: cod, eel, ray" in caplog.text
    assert "normalises frames in [0, 1]: mean 0.4 0.5 0.6, std 0.2 0.25 0.3" in caplog.text
    assert "preprocessor_config.json" in caplog.text


@pytest.mark.parametrize("name", ["videomae", "timesformer", "vivit"])
def test_another_number_of_frames_is_refused(name, kinds, folders):
    given = torch.rand(31, 3, *kinds[name].size)
    with pytest.raises(ModelError, match=rf"not 31\. Set gradients.max_frames to {kinds[name].n_frames}"):
        load_model(folders(name)).scores(given)


def test_vjepa_takes_whole_tubelets_only(kinds, folders):
    adapter = load_model(folders("vjepa2"))
    assert adapter.scores(torch.rand(8, 3, 16, 16)).shape == (3,)
    with pytest.raises(ModelError, match="a multiple of 2, not 7"):
        adapter.scores(torch.rand(7, 3, 16, 16))


def test_frames_that_never_reach_the_model_are_not_asked_for(own_folder, change):
    folder = own_folder("vjepa2")
    change(folder / "config.json", frames_per_clip=7)
    assert load_model(folder).n_frames == 6


def spoil(folder, change_weights):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change_weights(weights)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_missing_weight_is_an_error(name, own_folder):
    folder = own_folder(name)
    head = "class_predictor.bias" if name in SPLIT else "classifier.bias"
    spoil(folder, lambda weights: weights.pop(head))
    with pytest.raises(ModelError, match=rf"{head} missing.*would be random"):
        load_model(folder)


def test_a_weight_left_over_and_one_of_another_shape(own_folder):
    folder = own_folder("timesformer")
    spoil(folder, lambda weights: weights.update(wings=torch.zeros(2)))
    with pytest.raises(ModelError, match="wings left over"):
        load_model(folder)
    spoil(folder, lambda weights: (weights.pop("wings"), weights.update({"classifier.bias": torch.zeros(9)})))
    with pytest.raises(ModelError, match=r"classifier\.bias is \(9,\) and not \(3,\)"):
        load_model(folder)


def test_a_model_that_is_no_classifier_yet(own_folder, change):
    folder = own_folder("videomae")
    change(folder / "config.json", architectures=["VideoMAEForPreTraining"])
    spoil(folder, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("classifier")])
    with pytest.raises(ModelError, match="one of VideoMAEForPreTraining; a classifier is needed"):
        load_model(folder)


def test_a_configuration_that_asks_for_something_else(own_folder, change):
    folder = own_folder("videomae")
    change(folder / "config.json", quantization_config={"load_in_4bit": True})
    with pytest.raises(ModelError, match="quantization_config, which is not supported"):
        load_model(folder)
    change(folder / "config.json", quantization_config=None, hidden_size="many")
    with pytest.raises(ModelError, match=r"config\.json.*hidden_size.*Restore the file"):
        load_model(folder)
    change(folder / "config.json", hidden_size=24, num_channels=1)
    with pytest.raises(ModelError, match="number of colours"):
        load_model(folder)


def test_a_configuration_fetches_no_kernel_and_sets_no_precision(own_folder, change):
    folder = own_folder("videomae")
    change(folder / "config.json", attn_implementation="some-owner/some-kernel", dtype="float16")
    adapter = load_model(folder)
    assert adapter.module.config._attn_implementation == "sdpa"
    assert adapter.module.dtype == torch.float32


def test_half_precision_weights_are_computed_with_in_float32(own_folder, caplog):
    caplog.set_level(logging.INFO, "longtake")
    folder = own_folder("videomae")
    spoil(folder, lambda weights: weights.update({name: value.half() for name, value in weights.items()}))
    adapter = load_model(folder)
    assert {parameter.dtype for parameter in adapter.module.parameters()} == {torch.float32}
    assert "stored as float16" in caplog.text


def test_a_query_is_followed_over_the_frames():
    """Embeddings of three instances, shuffled from frame to frame and a little changed."""
    rng = np.random.default_rng(4)
    order = [np.arange(3), np.array([2, 0, 1]), np.array([1, 2, 0])]
    frames = [np.eye(3)[places] * 5 + rng.normal(0, 0.3, (3, 3)) for places in order]
    found = join_queries(torch.tensor(np.stack(frames)))
    for places, queries in zip(order, found, strict=True):
        assert places[queries].tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (100, 700), (333, 333), (77, 101), (800, 900)])
@pytest.mark.parametrize("edges", [(800, 1333), (32, 64), (384, 384)])
def test_mask2formers_size_is_the_librarys(shape, edges):
    from transformers.image_transforms import get_size_with_aspect_ratio

    expected = [-(-side // 32) * 32 for side in get_size_with_aspect_ratio(shape, *edges)]
    size = {"shortest_edge": edges[0], "longest_edge": edges[1]}
    assert list(resized(size, 32, *shape)) == expected
    assert resized({"height": 100, "width": 384}, 32, *shape) == (128, 384)


def test_mask2former_needs_a_size(own_folder, change):
    folder = own_folder("mask2former")
    change(folder / "preprocessor_config.json", size={"max_height": 3})
    with pytest.raises(ModelError, match="needs height and width, or shortest_edge"):
        load_model(folder)


def test_class_names_come_in_the_order_of_the_scores(own_folder, change):
    folder = own_folder("videomae")
    names = json.loads((folder / "config.json").read_text())["id2label"]
    change(folder / "config.json", id2label=dict(sorted(names.items(), reverse=True)))
    assert load_model(folder).class_names == ("cod", "eel", "ray")


def test_joining_queries_can_be_simulated_without_values():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        order = join_queries(mode.from_tensor(torch.rand(4, 5, 3)))
    assert (tuple(order.shape), order.dtype) == ((4, 5), torch.int64)


def test_a_model_can_be_tried_without_its_weights(tmp_path, monkeypatch):
    """The command in the documentation that writes a folder with random weights."""
    (command,) = re.findall(r'python -c "\n(.*?)"\n', (ROOT / "docs/models.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(command, {})
    adapter = load_model("random-videomae")
    assert adapter.n_frames == 16
    with torch.no_grad():
        assert adapter.scores(torch.rand(16, 3, *adapter.input_size(1, 1))).shape == (len(adapter.class_names),)


@pytest.mark.parametrize(("name", "way"), [("videomt", "split"), ("mask2former", "split"), ("vjepa2", "checkpoint")])
def test_gradients_within_a_budget_are_the_plain_ones(name, way, kinds, folders):
    adapter, kind = load_model(folders(name)), kinds[name]
    adapter.module.double()
    frames = as_frames(clip_of(kind)).double()
    plain = gradient(adapter, frames, FixedTarget(None, adapter.class_names))
    score = FixedTarget(None, adapter.class_names)
    bounded = gradient(adapter, frames, score, budget=int(0.6 * plain.measured_bytes))
    assert bounded.way.name.startswith(way)
    assert bounded.measured_bytes <= 0.6 * plain.measured_bytes
    assert score.chosen.class_index in range(3)
    torch.testing.assert_close(bounded.gradient, plain.gradient, rtol=0, atol=1e-11 * plain.gradient.abs().max().item())
