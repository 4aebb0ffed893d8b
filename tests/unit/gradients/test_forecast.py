import json

import pytest
import torch

from longtake.config import GradientOptions
from longtake.gradients import forecast as forecast_module
from longtake.gradients.forecast import forecast_gradients
from longtake.gradients.resident import Resident
from longtake.memory.forecast import read_forecasts
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import save_classifier

MIB = 2**20
HELD = Resident(base=300 * MIB, parameters=5 * MIB, loading=305 * MIB)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(6)
    config = ClassifierConfig(("eel", "cod"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    save_classifier(ClipClassifier(config), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """What a process holds without clips is measured elsewhere."""
    monkeypatch.setattr(forecast_module, "resident", lambda model, threads: HELD)


def write_summaries(folder, **sizes):
    paths = []
    for name, size in sizes.items():
        facts = {"video": name, "status": "unreadable"}
        if size:
            facts |= {"status": "ok", "height": size[0], "width": size[1]}
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(facts))
    return paths


def tell(tmp_path, folder, summaries, force_cpu=False, **options):
    given = GradientOptions(model=str(folder), max_frames=9, **options)
    out = tmp_path / "forecast.tsv"
    told = forecast_gradients(summaries=summaries, options=given, force_cpu=force_cpu, out=out)
    return told, read_forecasts(out)


def test_all_frames_at_once_then_ever_fewer(tmp_path, folder):
    told, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160), reef=(1080, 1920), broken=None))
    assert told == {"videos": 2, "sizes": 1, "rows": 20}
    for video in ("pond", "reef"):
        for device in ("cpu", "cuda"):
            own = [row for row in rows if (row.video, row.device) == (video, device)]
            expected = [(9, "plain"), (5, "split"), (3, "split"), (2, "split"), (1, "split")]
            assert [(row.chunk, row.way) for row in own] == expected
            held = [(row.gpu if device == "cuda" else row.host)["activations"] for row in own]
            assert held == sorted(held, reverse=True)
            assert all(row.host["parameters"] == HELD.parameters for row in own)
    assert len({row.key for row in rows}) == len(rows)


def test_larger_pictures_take_more(tmp_path, folder):
    _, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160), reef=(1080, 1920)), force_cpu=True)
    small, large = (next(row for row in rows if row.video == video) for video in ("pond", "reef"))
    assert large.host["frames"] - small.host["frames"] > 3 * 3 * (1080 * 1920 - 96 * 160)
    assert {name: large.host[name] for name in ("base", "activations")} == {
        name: small.host[name] for name in ("base", "activations")
    }


def test_no_more_at_a_time_than_asked(tmp_path, folder):
    _, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)), force_cpu=True, chunk_size=4)
    assert [(row.chunk, row.way) for row in rows] == [(4, "split"), (2, "split"), (1, "split")]
    assert all(row.device == "cpu" and not row.gpu for row in rows)
    least = rows[-1].host["activations"]
    _, tight = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)), force_cpu=True, memory_gb=1e-6)
    assert [(row.chunk, row.host["activations"]) for row in tight] == [(1, least)]
