import json

import pytest
import torch

from longtake.config import GradientOptions
from longtake.gradients import forecast as forecast_module
from longtake.gradients.forecast import forecast_gradients
from longtake.gradients.resident import Resident
from longtake.gradients.resident import resident as measured_resident
from longtake.memory.forecast import read_forecasts
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import load_model, save_classifier

MIB = 2**20
HELD = Resident(base=300 * MIB, parameters=5 * MIB, loading=305 * MIB, seconds_per_frame=0.1)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(6)
    config = ClassifierConfig(("eel", "cod"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    save_classifier(ClipClassifier(config), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """What a process holds without clips is measured elsewhere."""
    monkeypatch.setattr(forecast_module, "resident", lambda options, threads: HELD)


def write_summaries(folder, **sizes):
    paths = []
    for name, size in sizes.items():
        facts = {"video": name, "status": "unreadable"}
        if size:
            facts |= {"status": "ok", "height": size[0], "width": size[1]}
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(facts))
    return paths


def tell(tmp_path, folder, summaries, force_cpu=False, objects=None, frames=None, **options):
    given = GradientOptions(model=str(folder), max_frames=9, **options)
    out = tmp_path / "forecast.tsv"
    known = {"objects": objects, "frames": frames}
    told = forecast_gradients(summaries=summaries, options=given, force_cpu=force_cpu, out=out, **known)
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


def test_objects_and_frames_count_where_they_are_known(tmp_path, folder):
    summaries = write_summaries(tmp_path, pond=(96, 160), reef=(96, 160))
    known = {"objects": {"pond": 1, "reef": 3}, "frames": {"pond": 90}}
    shown = {"perturbations": ["shuffle", "static"], "shuffles": 2, "short_windows": 0, "clips_per_window": 1}
    _, rows = tell(tmp_path, folder, summaries, force_cpu=True, **known, **shown)
    pond, reef = ([row for row in rows if row.video == video] for video in ("pond", "reef"))
    clip = 9 * 48 * 48
    assert reef[0].host["frames"] - pond[0].host["frames"] == 2 * (3 + 1 + 2) * clip
    # A clip and three disturbed ones, there and back, and with fewer frames at a time once more there.
    assert pond[0].seconds_per_frame == pytest.approx(4 * 9 * 2 * 0.1 / 90)
    assert pond[1].seconds_per_frame == pytest.approx(4 * 9 * 3 * 0.1 / 90)
    assert reef[0].seconds_per_frame is None
    _, even = tell(tmp_path, folder, summaries, force_cpu=True, **known, **shown, clips="even")
    assert even[0].host["frames"] == even[-1].host["frames"] + 12 * clip == pond[0].host["frames"]


def test_reading_weights_twice_may_be_the_peak(tmp_path, folder, monkeypatch):
    heavy = Resident(base=300 * MIB, parameters=500 * MIB, loading=1300 * MIB, seconds_per_frame=0.1)
    monkeypatch.setattr(forecast_module, "resident", lambda options, threads: heavy)
    _, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)), force_cpu=True)
    assert {row.host_mb for row in rows} == {1300}


def test_what_is_resident_is_measured(folder):
    found = measured_resident(GradientOptions(model=str(folder), max_frames=9))
    assert found.loading >= found.base + found.parameters > found.base > 150 * MIB
    assert 0 < found.seconds_per_frame < 10
    bare = sum(each.numel() * each.element_size() for each in load_model(folder).module.state_dict().values())
    assert found.parameters == bare
