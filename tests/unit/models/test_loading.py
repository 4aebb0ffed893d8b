import json

import pytest
import torch

from longtake.errors import ModelError
from longtake.models import SplitModel, load_model
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import save_classifier

CONFIG = ClassifierConfig(("a", "b"), n_frames=4, size=48, channels=(8, 8, 8, 8, 8), width=8, depth=1, heads=2)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_classifier(ClipClassifier(CONFIG), tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_classifier_comes_back_in_eval_mode(folder):
    torch.manual_seed(0)
    original = ClipClassifier(CONFIG).eval()
    adapter = load_model(str(folder))
    assert isinstance(adapter, SplitModel)
    assert not any(part.training for part in adapter.module.modules())
    assert adapter.class_names == ("a", "b")
    assert adapter.n_frames == 4
    assert adapter.input_size(200, 300) == (48, 48)
    frames = torch.rand(4, 3, 48, 48)
    assert torch.equal(adapter.scores(frames), original(frames[None])[0])


def test_missing_folder(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere.*no such folder.*nothing is downloaded"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no such folder"):
        load_model("some-owner/some-model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_names_it_and_what_is_there(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"has no {name}.* \(it holds .+\.(json|safetensors)\)"):
        load_model(folder)


def test_damaged_weights(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder)


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "width": 16}))
    with pytest.raises(ModelError, match=r"do not fit config\.json"):
        load_model(folder)


def test_unknown_kind_and_broken_config(folder):
    (folder / "config.json").write_text('{"model_type": "longtake_clip_clasifier"}')
    with pytest.raises(ModelError, match="Did you mean 'longtake_clip_classifier'"):
        load_model(folder)
    (folder / "config.json").write_text('{"model_type": "longtake_clip_classifier", "wings": 2}')
    with pytest.raises(ModelError, match="wings"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        load_model(folder)
