"""Models of the user's own: the documented example runs; what is wrong is told before any frame is read."""

import importlib
import logging
import re
import sys
from pathlib import Path

import pytest
import torch

from longtake.errors import ModelError
from longtake.models import ClipModel, SplitModel, load_model

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"
LAB = """
import torch

def build_model(weights):
    class Scores(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        def forward(self, values):
            return self.weight * values.mean()
    return Scores()
"""
OWN = """
import torch

class Bright:
    class_names = ("dark", "bright")
    n_frames = None

    def __init__(self, device):
        self.module = torch.nn.Linear(1, 2).to(device).eval()

    def input_size(self, height, width):
        return height, width

    def scores(self, frames):
        return self.module(frames.mean()[None])

class Split(Bright):
    def encode(self, frames):
        return frames.mean((1, 2, 3))

    def head(self, features):
        return self.module(features.mean()[None])

def changed(**parts):
    def make(device):
        made = Bright(device)
        for name, value in parts.items():
            setattr(made, name, value)
        return made
    return make

def nothing(device):
    return object()

def needs_more(device, size):
    return Bright(device)

one_name = changed(class_names="bright")
no_names = changed(class_names=())
numbers = changed(class_names=(1, 2))
no_module = changed(module="weights.bin")
odd_length = changed(n_frames="31")

def training(device):
    made = Bright(device)
    made.module.train()
    return made
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Modules in a folder on sys.path, and forgotten afterwards."""

    def write(**sources):
        for name, source in sources.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()

    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def test_the_documented_example(own, caplog):
    caplog.set_level(logging.INFO, "longtake")
    (source,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert len([line for line in source.splitlines() if line]) <= 10
    own(my_models=source, my_lab__dvis=LAB)
    adapter = load_model("my_models:Dvis")
    assert isinstance(adapter, ClipModel)
    assert (adapter.class_names, adapter.n_frames) == (("cod", "pollack"), 31)
    assert adapter.input_size(100, 200) == (480, 640)
    assert adapter.scores(torch.full((31, 3, 4, 4), 0.5)).tolist() == pytest.approx([-0.5 / 64, 0.5 / 64])
    assert "clips of 31 frames, 2 classes: cod, pollack" in caplog.text
    assert "declares no normalisation" in caplog.text


def test_one_that_splits_and_one_that_declares_its_normalisation(own, caplog):
    caplog.set_level(logging.INFO, "longtake")
    declares = (
        "from longtake.models import Normalisation\nnorm = changed(normalisation=Normalisation((0.5,) * 3, (2,) * 3))\n"
    )
    own(own_models=OWN + declares)
    assert isinstance(load_model("own_models:Split"), SplitModel)
    assert not isinstance(load_model("own_models:Bright"), SplitModel)
    load_model("own_models:norm")
    assert "mean 0.5 0.5 0.5, std 2 2 2" in caplog.text


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("nothing", r"returned a object without module, class_names.*docs/models\.md"),
        ("bright", r"no function or class of that name\. Did you mean 'Bright'\? It has: Bright, Split"),
        ("needs_more", "called with the device alone.*size"),
        ("one_name", "class_names is 'bright'; give the name of every class"),
        ("no_names", r"class_names is \(\)"),
        ("numbers", r"class_names is \(1, 2\)"),
        ("no_module", r"module is a str; give the torch\.nn\.Module"),
        ("odd_length", "n_frames is '31'"),
        ("training", r"the module is in training mode.*module\.eval\(\)"),
    ],
)
def test_what_is_no_adapter(own, factory, words):
    own(own_models=OWN)
    with pytest.raises(ModelError, match=words):
        load_model(f"own_models:{factory}")


def test_modules_that_cannot_be_imported(own):
    own(needs="import no_such_library_anywhere\n", broken="from torch import no_such_name_here\n", pack__inner="")
    with pytest.raises(ModelError, match=r"No module named 'absent'; put the folder that holds absent on PYTHONPATH"):
        load_model("absent.part:f")
    with pytest.raises(ModelError, match=r"No module named 'pack\.outer'; put the folder that holds pack on"):
        load_model("pack.outer:f")
    with pytest.raises(ModelError, match="needs was found, but what it imports is missing"):
        load_model("needs:f")
    with pytest.raises(ModelError, match=r"importing broken failed.*no_such_name_here"):
        load_model("broken:f")


def test_a_defect_in_the_users_code_keeps_its_own_error(own):
    own(own_models="def make(device):\n    return 1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_model("own_models:make")
