import json
from pathlib import Path

import pytest

from longtake.errors import ConfigError
from longtake.gradients.model_check import video_model_files
from longtake.gradients.options import Options
from longtake.model_folder import VIDEO_MODELS, clip_length, model_files, model_spec

ROOT = Path(__file__).parents[2]


def test_a_model_is_its_files(tmp_path):
    kept = ["config.json", "video_preprocessor_config.json", "model-00001-of-00002.safetensors"]
    kept += ["model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    for name in (*kept, "README.md", "pytorch_model.bin"):
        (tmp_path / name).touch()
    assert model_files(str(tmp_path), ROOT, "x") == [str(tmp_path / name) for name in kept]
    for path in tmp_path.glob("*.safetensors*"):
        path.unlink()
    assert model_files(str(tmp_path), ROOT, "x")[-1] == str(tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"annotate\.model is 'nowhere'"):
        model_files("nowhere", ROOT, "annotate.model")


def test_a_model_of_ones_own_is_its_modules_file(tmp_path, monkeypatch):
    (tmp_path / "lab_for_test").mkdir()
    (tmp_path / "lab_for_test/__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "lab_for_test/models.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert model_files("lab_for_test.models:make", ROOT, "x") == [str(tmp_path / "lab_for_test/models.py")]
    assert model_files("lab_for_test:make", ROOT, "x") == [str(tmp_path / "lab_for_test/__init__.py")]
    own = Options(model="lab_for_test.models:make", max_frames=3, target=99)
    assert video_model_files(own, ROOT) == [str(tmp_path / "lab_for_test/models.py")]
    assert model_spec("lab_for_test.models:make", ROOT) == "lab_for_test.models:make"
    assert model_spec("workflow/models/clip31-pond", Path("/checkout")).endswith("workflow/models/clip31-pond")
    for wrong in ("lab_for_test.absent:make", "absent.models:make", "lab_for_test:", "sys:exit", "a b:c"):
        with pytest.raises(ConfigError, match=f"gradients.model is '{wrong}'.*PYTHONPATH"):
            model_files(wrong, ROOT, "gradients.model")


def test_a_flow_of_ones_own_is_found_before_any_job(tmp_path, monkeypatch):
    (tmp_path / "flow_for_test.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    files = video_model_files(Options(flow="flow_for_test:of"), ROOT)
    assert files == video_model_files(Options(), ROOT)
    with pytest.raises(
        ConfigError, match=r"gradients\.flow is 'flow_for_tset:of'.*no module 'flow_for_tset'.*PYTHONPATH"
    ):
        video_model_files(Options(flow="flow_for_tset:of"), ROOT)


def options_for(folder, config, **changes):
    (folder / "config.json").write_text(json.dumps(config))
    return Options(model=str(folder), **{"max_frames": 16, **changes})


VIDEOMAE = {"model_type": "videomae", "num_frames": 16, "tubelet_size": 2, "id2label": {"1": "eel", "0": "cod"}}


def test_settings_that_fit_the_model(tmp_path):
    video_model_files(options_for(tmp_path, VIDEOMAE, target=1, labels={"Gadus": "cod", "x": 1}), ROOT)
    video_model_files(options_for(tmp_path, {"model_type": "videomt"}, max_frames=99), ROOT)
    assert video_model_files(Options(), ROOT) == model_files("workflow/models/clip31-pond", ROOT, "x")


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (VIDEOMAE, {"max_frames": 31}, r"gradients.max_frames is 31, but .* clips of 16 frames. Set it to 16"),
        (VIDEOMAE, {"target": 2}, r"gradients.target is 2, but .* 0 to 1: cod, eel"),
        (VIDEOMAE, {"labels": {"x": "eeel"}}, r"gradients.labels: x is 'eeel', .* Did you mean 'eel'"),
        ({"model_type": "videomea"}, {}, r"model_type 'videomea', .* Did you mean 'videomae'.* docs/models.md"),
        ({"model_type": "sam2_video"}, {}, "no video model known here"),
        ([], {}, "holds no settings of a processor or a model"),
    ],
)
def test_settings_that_do_not_are_refused_before_any_job(tmp_path, config, changes, words):
    with pytest.raises(ConfigError, match=words):
        video_model_files(options_for(tmp_path, config, **changes), ROOT)


def test_a_broken_config_is_named(tmp_path):
    options = options_for(tmp_path, VIDEOMAE)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not JSON"):
        video_model_files(options, ROOT)


def test_frames_that_never_reach_the_model_do_not_count():
    assert clip_length({"model_type": "videomae", "num_frames": 31, "tubelet_size": 2}) == (30, 2)
    assert clip_length({"model_type": "vivit", "num_frames": 32, "tubelet_size": [2, 16, 16]}) == (32, 2)
    assert clip_length({"model_type": "timesformer", "num_frames": 7}) == (7, 1)
    assert clip_length({"model_type": "vjepa2", "frames_per_clip": 64, "tubelet_size": 2}) == (64, 2)
    assert clip_length({"model_type": "mask2former"}) == (None, 1)


def test_each_known_kind_has_a_loader():
    from longtake.models.loading import FAMILIES

    assert set(VIDEO_MODELS) == set(FAMILIES)
