import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from longtake.errors import ModelError
from longtake.gradients import perturbations, resident, simulation, workload
from longtake.gradients.cases import Resident
from longtake.gradients.options import Options
from longtake.gradients.resident import resident as measured_resident
from longtake.models.classifier import ClassifierConfig, ClipClassifier
from longtake.models.loading import load_model, save_classifier
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.planning.forecast import read_forecasts
from longtake.unit import Study

pytestmark = pytest.mark.slow

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
    monkeypatch.setattr(resident, "resident", lambda options, threads: HELD)


def write_summaries(folder, **sizes):
    paths = []
    for name, size in sizes.items():
        facts = {"video": name, "status": "unreadable"}
        if size:
            facts |= {"status": "ok", "height": size[0], "width": size[1]}
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(facts))
    return paths


def tell(tmp_path, folder, summaries, force_cpu=False, objects=None, frames=None, known=None, **options):
    out, given = tmp_path / "forecast.tsv", ask(folder, summaries, known, objects, frames, **options)
    told = forecast("gradients", given, force_cpu=force_cpu, out=out)
    return told, read_forecasts(out)


def ask(folder, summaries, known=None, objects=None, frames=None, **options):
    given = Options(**{"model": str(folder), "max_frames": 9, **options}).model_dump()
    facts = {"options": given, "objects": objects or {}, "frames": frames or {}}
    return Ask(Study(Path(), facts), summaries, known or Known())


def test_all_frames_at_once_then_ever_fewer(tmp_path, folder):
    told, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160), reef=(1080, 1920), broken=None))
    # What is resident, what each picture is to the model, and what a clip needs.
    counts = {name: told[name] for name in ("cases", "rows", "known", "found_out")}
    assert counts == {"cases": 2, "rows": 20, "known": 0, "found_out": 4}
    for video in ("pond", "reef"):
        for device in ("cpu", "cuda"):
            own = [row for row in rows if (row.case, row.device) == (video, device)]
            expected = [(9, "plain"), (5, "split"), (3, "split"), (2, "split"), (1, "split")]
            assert [(row.chunk, row.way) for row in own] == expected
            held = [(row.gpu if device == "cuda" else row.host)["activations"] for row in own]
            assert held == sorted(held, reverse=True)
            assert all(row.host["parameters"] == HELD.parameters for row in own)
    assert len({row.key for row in rows}) == len(rows)


def test_larger_pictures_take_more(tmp_path, folder):
    _, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160), reef=(1080, 1920)), force_cpu=True)
    small, large = (next(row for row in rows if row.case == video) for video in ("pond", "reef"))
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
    pond, reef = ([row for row in rows if row.case == video] for video in ("pond", "reef"))
    clip = 9 * 48 * 48
    assert reef[0].host["frames"] - pond[0].host["frames"] == 2 * (3 + 1 + 2) * clip
    # A clip and three disturbed ones, there and back, and with fewer frames at a time once more there.
    assert pond[0].pace == pytest.approx(4 * 9 * 2 * 0.1 / 90)
    assert pond[1].pace == pytest.approx(4 * 9 * 3 * 0.1 / 90)
    assert reef[0].pace is None
    _, even = tell(tmp_path, folder, summaries, force_cpu=True, **known, **shown, clips="even")
    assert even[0].host["frames"] == even[-1].host["frames"] + 12 * clip == pond[0].host["frames"]


def test_reading_weights_twice_may_be_the_peak(tmp_path, folder, monkeypatch):
    heavy = Resident(base=300 * MIB, parameters=500 * MIB, loading=1300 * MIB, seconds_per_frame=0.1)
    monkeypatch.setattr(resident, "resident", lambda options, threads: heavy)
    _, rows = tell(tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)), force_cpu=True)
    assert {row.host_mb for row in rows} == {1300}


def test_what_is_resident_is_measured(folder):
    found = measured_resident(Options(model=str(folder), max_frames=9))
    assert found.loading >= found.base + found.parameters > found.base > 150 * MIB
    assert 0 < found.seconds_per_frame < 10
    bare = sum(each.numel() * each.element_size() for each in load_model(folder).module.state_dict().values())
    assert found.parameters == bare


def test_a_shuffled_clip_is_called_so():
    assert workload.SHUFFLE == perturbations.SHUFFLE


@pytest.fixture
def counted(monkeypatch):
    """Sizes of clips that were simulated, and how often a model was measured."""
    counts = {"simulated": [], "measured": 0}
    given = simulation.simulated

    def simulate(adapter, size, options):
        counts["simulated"].append(size)
        return given(adapter, size, options)

    def measure(options, threads):
        counts["measured"] += 1
        return HELD

    monkeypatch.setattr(simulation, "simulated", simulate)
    monkeypatch.setattr(resident, "resident", measure)
    return counts


def anew(counted, tmp_path, folder, summaries, code="one", kept="known", **options):
    """A table as another process would write it: its bytes, what was told, what was simulated, and measured."""
    counted.update(simulated=[], measured=0)
    known = Known.within(tmp_path / kept, code) if kept else None
    told, _ = tell(tmp_path, folder, summaries, known=known, frames={"pond": 90}, **options)
    return (tmp_path / "forecast.tsv").read_bytes(), told, counted["simulated"], counted["measured"]


def test_one_more_video_asks_for_nothing_but_its_own(tmp_path, folder, counted):
    pond = {"pond": (96, 160)}
    _, told, sizes, measured = anew(counted, tmp_path, folder, write_summaries(tmp_path, **pond))
    assert (told["known"], told["found_out"], sizes, measured) == (0, 3, [(48, 48)], 1)

    both = write_summaries(tmp_path, **pond, reef=(1080, 1920))
    found, told, sizes, measured = anew(counted, tmp_path, folder, both)
    assert (told["known"], told["found_out"], sizes, measured) == (3, 1, [], 0), "how the model sees it"
    assert found == anew(counted, tmp_path, folder, both, kept=None)[0]
    assert anew(counted, tmp_path, folder, both)[1]["known"] == 4
    assert len(list((tmp_path / "known").iterdir())) == 4


def test_what_changes_memory_is_found_out_again(tmp_path, folder, counted):
    summaries = write_summaries(tmp_path, pond=(96, 160))
    anew(counted, tmp_path, folder, summaries)
    moved = shutil.copytree(folder, tmp_path / "other")
    assert anew(counted, tmp_path, moved, summaries)[1]["found_out"] == 0, "the same model in another folder"
    for changed in ({"chunk_size": 4}, {"memory_gb": 1e-6}, {"code": "two"}):
        assert anew(counted, tmp_path, folder, summaries, **changed)[2], changed
    for changed in ({"shuffles": 2}, {"clips": "even"}):
        assert not anew(counted, tmp_path, folder, summaries, **changed)[2], "memory is summed up, not simulated"
    weights = next(moved.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert anew(counted, tmp_path, moved, summaries)[2:] == ([(48, 48)], 1)


def test_a_damaged_file_costs_time_and_nothing_else(tmp_path, folder, counted):
    summaries = write_summaries(tmp_path, pond=(96, 160))
    expected, *_ = anew(counted, tmp_path, folder, summaries)
    for path in (tmp_path / "known").iterdir():
        path.write_text("")
    again, told, *_ = anew(counted, tmp_path, folder, summaries)
    assert (again, told["found_out"]) == (expected, 3)


def test_what_cannot_be_simulated_says_so_each_time(tmp_path, folder, counted, monkeypatch, caplog):
    def refuse(*_):
        raise ModelError("it looks at numbers")

    monkeypatch.setattr(simulation.Planner, "ways", refuse)
    for _ in range(2):
        caplog.clear()
        _, told, sizes, _ = anew(counted, tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)))
        assert (told["rows"], sizes) == (0, [(48, 48)])
        assert "it looks at numbers" in caplog.text


def test_a_model_that_cannot_be_loaded_is_told_before_anything_is_measured(tmp_path, folder, counted):
    next(folder.glob("*.safetensors")).write_bytes(b"")
    for kept in ("known", None):
        with pytest.raises(ModelError):
            anew(counted, tmp_path, folder, write_summaries(tmp_path, pond=(96, 160)), kept=kept)
        assert not counted["measured"]


def test_where_all_is_known_pytorch_is_not_loaded(tmp_path, folder, counted):
    summaries = write_summaries(tmp_path, pond=(96, 160))
    anew(counted, tmp_path, folder, summaries)
    code = f"""
import sys
from pathlib import Path
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.unit import Study
facts = {ask(folder, summaries, frames={"pond": 90}).study.facts!r}
known = Known.within({str(tmp_path / "known")!r}, "one")
given = Ask(Study(Path(), facts), [{str(summaries[0])!r}], known)
forecast("gradients", given, force_cpu=False, out={str(tmp_path / "again.tsv")!r})
print("torch" in sys.modules)
"""
    library = Path(workload.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "forecast.tsv").read_bytes()
