"""Settings: one schema, and files that agree with it; bad ones named with file, value and remedy."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from document import documents

from longtake.errors import ConfigError
from longtake.gradients.options import Options
from longtake.settings.paths import locate
from longtake.settings.read import read_config, settings_model
from longtake.settings.section import Section

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "matplotlib", "cv2", "av", "polars", "pyarrow", "jsonschema"}
TOY = '''"""A toy."""

from longtake.settings.section import Section, setting

SECTION = "toy"


class Options(Section):
    """A toy."""

    folds: int = setting(2, "Folds.", ge=1)

    def contradiction(self, settings):
        if self.folds > 8:
            return f"toy.folds is {self.folds}, but a window lasts {settings.window_duration:g} s. Give less."
        return ""
'''
READ = f"""
import sys
from longtake.errors import ConfigError
from longtake.settings.read import read_config
print(read_config({{}}).toy, read_config({{"toy": {{"folds": "3"}}}}).toy.folds)
for wrong in ({{"toy": {{"fold": 3}}}}, {{"toy": {{"folds": 9}}}}):
    try:
        read_config(wrong, "my.yaml")
    except ConfigError as error:
        print(error)
print(sorted({HEAVY!r} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "path", ["config/config.yaml", "config/config.schema.yaml", "config/README.md", "docs/measured.md", "README.md"]
)
def test_documents_are_made_from_their_sources(path):
    assert (ROOT / path).read_text() == documents()[ROOT / path], "run: make readme"


def test_a_section_is_found_by_its_folder_alone(tmp_path):
    """An analysis brings its settings with it: no other file knows of them."""
    shutil.copytree(ROOT / "workflow/longtake", tmp_path / "longtake", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "longtake/toys").mkdir()
    (tmp_path / "longtake/toys/__init__.py").touch()
    (tmp_path / "longtake/toys/options.py").write_text(TOY)
    lines = subprocess.run(
        [sys.executable, "-c", READ], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[0] == "folds=2 3"
    assert lines[1].startswith("my.yaml: unknown setting 'toy.fold'. Did you mean 'folds'?")
    assert lines[2] == "my.yaml: toy.folds is 9, but a window lasts 300 s. Give less."
    assert lines[3] == "[]"


def test_numbers_of_the_command_line_come_as_text():
    given = {
        "gradients": {"max_videos": "3", "memory_gb": "0.5", "target": "predicted"},
        "device": {"force_cpu": "true"},
        "latents": {"steps": ["0", "5"]},
    }
    found = read_config(given)
    assert found.latents.steps == [0, 5]
    assert read_config({"latents": {"steps": "all"}}).latents.steps == "all"
    assert (found.gradients.max_videos, found.gradients.memory_gb, found.device.force_cpu) == (3, 0.5, True)
    for wrong in ("3.5", "true", "3 videos", ""):
        with pytest.raises(ConfigError, match="max_videos"):
            read_config({"gradients": {"max_videos": wrong}})


def test_a_whole_number_is_an_int_however_it_is_written():
    given = {
        "frame_interval": 5.0,
        "seed": 20260601.0,
        "window_duration": 60.0,
        "annotate": {"object_batch": 2.0},
        "gradients": {"clips_per_window": "2.0", "target": 1.0, "labels": {"cod": 1.0, "eel": "Anguilla"}},
    }
    found = read_config(given)
    numbers = [found.frame_interval, found.seed, found.annotate.object_batch, found.gradients.clips_per_window]
    assert repr([*numbers, found.gradients.target]) == "[5, 20260601, 2, 2, 1]"
    assert repr(found.gradients.labels) == "{'cod': 1, 'eel': 'Anguilla'}"
    assert repr(found.window_duration) == "60.0"
    for wrong in (True, False, 5.5, "true"):
        with pytest.raises(ConfigError, match=f"frame_interval is {wrong!r}"):
            read_config({"frame_interval": wrong})


@pytest.mark.parametrize("folder", ["results", "../study/results", "/data/x", "a b/ü", "results/..x", "./out", "x~"])
def test_where_outputs_may_go(folder):
    assert read_config({"output_dir": folder}).output_dir == folder


@pytest.mark.parametrize(("duration", "overlap"), [(300, 299), (300, 299.0), (0.3, 0.297), (5, 4.95), (1e-3, 0)])
def test_the_smallest_step_of_windows(duration, overlap):
    assert read_config({"window_duration": duration, "window_overlap": overlap}).window_overlap == overlap


def test_what_holds_together_are_values_that_a_job_can_be_told():
    """A section reaches a job as the plain values of its rule, and is the same section there."""
    options = read_config({}).gradients
    assert Options(**options.model_dump()) == options == Options()


def test_every_setting_is_used_by_a_rule():
    rules = "\n".join(path.read_text() for path in [*ROOT.glob("rules/*.smk"), ROOT / "Snakefile"])
    for name, field in settings_model().model_fields.items():
        if f"settings.{name}.model_dump()" in rules:
            continue
        inner = [f"{name}.{part}" for part in field.annotation.model_fields] if is_section(field.annotation) else [name]
        for each in inner:
            assert f"settings.{each}" in rules, f"{each} is read by no rule"


def is_section(kind):
    return isinstance(kind, type) and issubclass(kind, Section)


def test_nothing_given_means_the_defaults():
    config = read_config({})
    assert (config.window_duration, config.window_overlap, config.frame_interval) == (300, 30, 30)
    assert config == read_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def test_what_species_are_called_in_the_model():
    labels = {"cod": 3, "Chaetodon auriga": "butterflyfish"}
    assert read_config({"gradients": {"labels": labels}}).gradients.labels == labels


def test_a_section_may_be_given_in_part():
    assert read_config({"gradients": {"chunk_size": 2}}).gradients.max_frames == 31


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"window_duraton": 3}, ["window_duraton", "Did you mean 'window_duration'?", "my.yaml"]),
        ({"gradients": {"chunk": 3}}, ["gradients.chunk", "chunk_size"]),
        ({"gradients": {"labels": {"cod": 1.5}}}, ["gradients.labels.cod", "1.5"]),
        ({"gradients": {"labels": "cod"}}, ["gradients.labels", "'cod'", "mapping"]),
        ({"window_duration": "300 s"}, ["window_duration", "'300 s'", "without a unit"]),
        ({"window_duration": "5min"}, ["window_duration", "'5min'"]),
        ({"window_overlap": 300}, ["window_overlap", "300", "smaller than the window"]),
        ({"window_overlap": 400, "window_duration": 300}, ["window_overlap", "400"]),
        ({"window_overlap": -1}, ["window_overlap", "-1"]),
        ({"window_overlap": 0, "annotate": {"continuity": "overlap"}}, ["window_overlap is 0", "'chain'"]),
        ({"annotate": {"direction": "backward"}}, ["annotate.direction", "backward"]),
        ({"frame_interval": 0}, ["frame_interval", "0"]),
        ({"frame_interval": 1.5}, ["frame_interval", "1.5"]),
        ({"video_scale_factor": 50}, ["video_scale_factor", "50", "fraction"]),
        ({"annotate": {"precision": "bfloat"}}, ["annotate.precision", "'bfloat'", "bfloat16"]),
        ({"annotate": 3}, ["annotate", "mapping"]),
        ({"device": {"force_cpu": "yes"}}, ["device.force_cpu", "'yes'"]),
        ({"gradients": {"target": "all"}}, ["gradients.target", "'all'"]),
        ({"export": {"formats": ["coco", "mott"]}}, ["export.formats.1", "'mott'", "Did you mean 'mot'?"]),
        ({"export": {"formats": ["mot", "mot"]}}, ["export.formats", "'mot'", "twice"]),
        ({"export": {"formats": "mot"}}, ["export.formats", "'mot'", "list"]),
        ({"seed": None}, ["seed", "None"]),
    ],
)
def test_bad_settings_name_value_file_and_remedy(given, words):
    with pytest.raises(ConfigError) as caught:
        read_config(given, "my.yaml")
    for word in [*words, "my.yaml"]:
        assert word in str(caught.value)


def test_models_of_the_checkout_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("workflow/models/x", ROOT) == ROOT / "workflow/models/x"
    (tmp_path / "mine").mkdir()
    assert locate("mine", ROOT) == Path("mine")
