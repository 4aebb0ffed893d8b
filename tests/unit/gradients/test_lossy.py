"""Gradients in half precision: never unasked, and they say so wherever they stand."""

import numpy as np
import pytest
import torch
from torch import nn

from longtake.gradients import window as window_module
from longtake.gradients.attribution import attribute_clip
from longtake.gradients.lossy import error_of_gradient, error_of_scores
from longtake.gradients.options import Options
from longtake.gradients.window import analyse_window, ladder
from longtake.models import SplitModel
from longtake.models.rounded import rounded
from longtake.store.schemas import CLIPS, PERTURBATIONS
from longtake.store.tables import read_table

OPTIONS = Options(max_frames=5, perturbations=("static",), short_windows=0, flow_width=80)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.see, self.say = nn.Linear(3 * 64, 16), nn.Linear(16, 2)

    def encode(self, frames):
        return torch.tanh(self.see(frames.flatten(1)))

    def forward(self, frames):
        return self.say(self.encode(frames).mean(0))


class SmallModel:
    class_names = ("eel", "cod")
    n_frames = None

    def __init__(self, device=None):
        self.module = Small().eval()

    def input_size(self, height, width):
        return 8, 8

    def scores(self, frames):
        return self.module(frames)


class SmallSplit(SmallModel):
    def encode(self, frames):
        return self.module.encode(frames)

    def head(self, features):
        return self.module.say(features.mean(0))


@pytest.fixture(params=[SmallModel, SmallSplit])
def adapter(request, monkeypatch):
    made = request.param()
    monkeypatch.setattr(window_module, "load_model", lambda *_: made)
    monkeypatch.setattr("longtake.gradients.lossy.load_model", lambda *_: made)
    return made


def test_a_rounded_model_answers_nearly_the_same_and_splits_where_the_model_does(adapter):
    other = rounded(adapter)
    assert isinstance(other, SplitModel) == isinstance(adapter, SplitModel)
    frames = torch.rand(5, 3, 8, 8)
    exact, answer = adapter.scores(frames), other.scores(frames)
    assert answer.dtype == torch.float32
    assert 0 < (answer - exact).abs().max() < 0.05 * exact.abs().max()
    pixels = np.random.default_rng(1).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    maps = [attribute_clip(each, pixels, [None] * 5, target=1).maps for each in (adapter, other)]
    assert 0 < np.linalg.norm(maps[1] - maps[0]) < 0.1 * np.linalg.norm(maps[0])


def test_the_ladder_ends_with_half_precision():
    rungs = ladder({"device": "cuda", "options": OPTIONS})
    assert [rung.name for rung in rungs if not rung.exact] == ["in bfloat16", "in bfloat16 on the CPU"]
    assert [rung.exact for rung in rungs] == sorted((rung.exact for rung in rungs), reverse=True)


def arguments(pond):
    given = {"video_path": pond.video, "index_path": pond.index, "window": pond.window, "device": "cpu"}
    return given | {"detections_path": pond.detections, "options": OPTIONS}


def test_its_error_is_measured_on_the_shortest_clip(adapter, pond):
    words = error_of_gradient(**arguments(pond))
    assert words.startswith("on 2 frames from 0 the gradient's maps differ from float32's by ")
    off = float(words.split(" by ")[1].split("%")[0])
    assert 0 < off < 10
    assert error_of_scores(**arguments(pond)).endswith("there was no memory to compare gradients")
    adapter.n_frames = 9
    long = arguments(pond) | {"options": OPTIONS.model_copy(update={"max_frames": 9})}
    assert error_of_gradient(**long).startswith("on 9 frames from 0 ")


def test_every_row_says_so(adapter, pond, tmp_path):
    paths = {f"{name}_out": tmp_path / name for name in ("curves", "clips", "maps", "perturbations")}
    given = {**arguments(pond), **paths, "species": "eel", "seed": 3}
    counted = analyse_window(**given, approximate="in bfloat16; off by 0.1 %")
    assert (counted["ok"], counted["approximate"]) == (0, 4)
    for name, schema in (("clips", CLIPS), ("perturbations", PERTURBATIONS)):
        rows = read_table(tmp_path / name, schema).to_pylist()
        assert {(row["status"], row["reason"]) for row in rows} == {("approximate", "in bfloat16; off by 0.1 %")}
    assert analyse_window(**given)["ok"] == 4
