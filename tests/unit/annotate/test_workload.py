"""Simulations against real steps of the same models, and the table that is made of them."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from longtake.annotate import cases, simulation, trial, workload
from longtake.annotate.cases import Trial
from longtake.annotate.session import BoundedSession, track
from longtake.annotate.simulation import simulate
from longtake.annotate.tracker import load_tracker
from longtake.annotate.workload import needs
from longtake.bounded.live import LiveBytes
from longtake.errors import OutOfMemory
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.planning.forecast import read_forecasts
from longtake.unit import Study

pytestmark = pytest.mark.slow

MIB = 2**20
FRAMES = 20
simulated = cache(simulate)


def lived(folder, objects, batch, drifting_pixels, square, prompted=1, **options):
    """Real steps until all memories are full: (parameters, state, most tensors alive beside state and frame).

    Each object is prompted on the first `prompted` frames.
    """
    tracker = load_tracker(folder, object_batch=batch, **options)
    frames = FRAMES + prompted - 1
    session = BoundedSession(tracker, frames)
    pixels = drifting_pixels(frames)
    prompts = {f"object {number}": square(8 + number, 8, 40 + number, 40) for number in range(objects)}
    with LiveBytes() as live:
        for frame, picture in enumerate(pixels):
            track(tracker, session, frame, picture.clone(), prompts if frame < prompted else {})
    tensors = {id(each.untyped_storage()): each for each in (*tracker.model.parameters(), *tracker.model.buffers())}
    held = sum(each.untyped_storage().nbytes() for each in tensors.values())
    return held, session.live_bytes(), live.peak - session.live_bytes() - pixels[0].nbytes


@pytest.mark.parametrize(("objects", "batch"), [(2, 1), (3, 2)])
def test_a_simulation_counts_what_real_steps_make(model_dir, objects, batch, drifting_pixels, square):
    found = simulate(model_dir, objects, object_batch=batch)
    parameters, state, activations = lived(model_dir, objects, batch, drifting_pixels, square)
    assert found.parameters == parameters
    assert found.state == state
    assert found.activations == pytest.approx(activations, rel=0.03)


@pytest.mark.parametrize("family", ["EdgeTamVideo", "Sam3TrackerVideo"])
def test_every_family_can_be_simulated(family_dirs, family, drifting_pixels, square):
    found = simulate(family_dirs[family], 2, object_batch=2)
    parameters, state, activations = lived(family_dirs[family], 2, 2, drifting_pixels, square)
    assert found.parameters == parameters
    assert found.state == state
    assert found.activations == pytest.approx(activations, rel=0.03)


def test_conditioning_frames_are_kept_as_the_model_keeps_them(model_dir):
    one, three, bounded = (
        simulated(model_dir, 1, **options)
        for options in (
            {},
            {"conditioning_frames": 3},
            {"conditioning_frames": 3, "max_conditioning_frames": 1},
        )
    )
    feature, pointer = 2 * 64 * 4 * 4, 4 * 128  # the library keeps features in half precision
    assert three.state - one.state == 2 * (feature + pointer)
    assert bounded.state - one.state == 2 * pointer


@pytest.mark.parametrize(("objects", "batch"), [(1, 1), (2, 2)])
def test_many_prompted_frames_take_what_was_simulated_of_them(model_dir, objects, batch, drifting_pixels, square):
    """The model reads them all: its own rule is -1."""
    one = simulated(model_dir, objects, object_batch=batch)
    found = simulate(model_dir, objects, object_batch=batch, conditioning_frames=8)
    _, state, activations = lived(model_dir, objects, batch, drifting_pixels, square, prompted=8)
    assert found.state == state
    assert found.activations == pytest.approx(activations, rel=0.03)
    assert found.activations > 1.4 * one.activations
    assert found.flops > 1.2 * one.flops


def test_nothing_of_the_model_is_allocated(model_dir, tmp_path):
    """A folder without weights can be simulated: shapes are all that is read."""
    (tmp_path / "config.json").write_text((model_dir / "config.json").read_text())
    found, whole = simulate(tmp_path, 1), simulated(model_dir, 1)
    assert (found.parameters, found.state, found.flops) == (whole.parameters, whole.state, whole.flops)


@pytest.fixture
def untried(monkeypatch, model_dir):
    """Trials whose figures can be checked by hand: 200 MiB, 1.2 times what is simulated, a gigaflop a second."""

    def run(model_dir, objects, *, threads=1):
        options = {"scale": cases.SCALE, "object_batch": objects}
        width, height = cases.SIZE
        found = needs(model_dir, cases.cases({"width": width, "height": height}, objects, options)[0])
        return Trial(200 * MIB + round(1.2 * sum(found.owners.values())), found.flops / 1e9)

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(workload, "EMBEDDED", model_dir.resolve())
    workload._tried.cache_clear()
    yield
    workload._tried.cache_clear()


def summary(folder, video, width=96, height=56, status="ok", **facts):
    path = folder / f"{video}.json"
    path.write_text(json.dumps({"video": video, "status": status, "width": width, "height": height} | facts))
    return path


def table(folder, model_dir, objects, *summaries, force_cpu=True, known=None, prompted=None, **options):
    out = folder / "forecast.tsv"
    given = ask(model_dir, objects, summaries, known, prompted, **options)
    told = forecast("annotate", given, force_cpu=force_cpu, out=out)
    return read_forecasts(out), told


def ask(model_dir, objects, summaries, known=None, prompted=None, **options):
    facts = {"objects": objects, "prompted": prompted or {}, "options": {"scale": 0.5, **options}}
    return Ask(Study(Path(), {**facts, "model": str(model_dir)}), summaries, known or Known())


def test_a_row_for_each_readable_video_device_and_chunk(tmp_path, model_dir, untried):
    videos = [summary(tmp_path, name) for name in ("a", "b")] + [summary(tmp_path, "bad", status="unreadable")]
    rows, told = table(tmp_path, model_dir, {"a": 3, "b": 3}, *videos, object_batch=4, force_cpu=False)
    asked = [(video, chunk, device) for video in "ab" for chunk in (4, 2, 1) for device in ("cpu", "cuda")]
    assert [(row.case, row.chunk, row.device) for row in rows] == asked
    assert (told["cases"], told["found_out"]) == (2, 6), "videos alike are simulated once"
    assert rows[0].key == rows[6].key
    assert len({row.key for row in rows}) == 6
    assert all(not row.gpu for row in rows if row.device == "cpu")
    assert all(
        {"context", "parameters", "state", "activations"} == set(row.gpu) for row in rows if row.device == "cuda"
    )


def test_the_sum_lies_on_the_line_that_was_measured(tmp_path, model_dir, untried):
    ((row,), told) = table(tmp_path, model_dir, {"a": 2}, summary(tmp_path, "a"))
    needed = needs(model_dir, cases.cases({"width": 96, "height": 56}, 2, {"scale": 0.5})[0])
    assert row.source == told["source"] == "calibrated"
    assert sum(row.host.values()) == pytest.approx(200 * MIB + 1.2 * sum(needed.owners.values()), rel=5e-3)
    assert row.pace == pytest.approx(needed.flops / 1e9, rel=0.01)


def test_prompted_frames_count_as_far_as_the_model_reads_them(tmp_path, model_dir, untried):
    """Five are simulated as eight; the setting and the model's own rule limit them."""
    videos = [summary(tmp_path, name) for name in "abc"]
    objects, prompted = dict.fromkeys("abc", 1), {"b": 5, "c": 8}
    rows, _ = table(tmp_path, model_dir, objects, *videos, prompted=prompted, max_conditioning_frames=32)
    one, five, eight = rows
    found = simulated(model_dir, 1, conditioning_frames=8, max_conditioning_frames=32)
    assert five.host == eight.host
    assert five.key == eight.key != one.key
    assert five.host["state"] == found.state > 1.5 * one.host["state"]
    assert five.host["activations"] > one.host["activations"]
    assert five.pace > 1.2 * one.pace
    assert (one.way, five.way) == ("1 objects, 1 at a time", "1 objects, 1 at a time, 8 prompted frames of each")

    three, *_ = table(tmp_path, model_dir, {"b": 1}, videos[1], prompted=prompted, max_conditioning_frames=3)[0]
    assert three.way.endswith("3 prompted frames of each")
    folder = shutil.copytree(model_dir, tmp_path / "own")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_cond_frame_num": 1}))
    rows, _ = table(tmp_path, folder, objects, *videos, prompted=prompted, max_conditioning_frames=32)
    assert len({row.key for row in rows}) == 1, "as for one prompted frame"
    assert not any("prompted" in row.way for row in rows)


def test_a_model_that_costs_too_much_is_not_tried(tmp_path, model_dir, untried, monkeypatch):
    monkeypatch.setattr(workload, "_CHEAP_S", 1e-9)
    ((row,), told) = table(tmp_path, model_dir, {"a": 2}, summary(tmp_path, "a"))
    assert row.source == told["source"] == "simulated"


def test_between_two_simulations_nothing_is_too_low(model_dir, monkeypatch):
    def activations(objects, each):
        monkeypatch.setattr(workload, "_EACH", each)
        case = cases.cases({"width": 96, "height": 56}, objects, {"scale": 0.5})[0]
        return needs(model_dir, case).owners

    between, itself = activations(3, 1), activations(3, 8)
    assert between["state"] == pytest.approx(itself["state"], rel=0.01)
    # A heap grows by pages, of which such a small model has few.
    assert between["activations"] >= 0.97 * itself["activations"] - 16 * 4096


def test_a_backward_pass_holds_blocks_of_frames():
    facts = {"width": 1920, "height": 1080, "frames": 100_000}
    forward, backward = (
        cases.cases(facts, 1, {"scale": 0.5, "direction": way, "frame_interval": 30})[0] for way in ("forward", "both")
    )
    assert forward.block_frames == 0
    assert backward.block_frames == 2 * 21, "32 MiB would hold 21 of 960 x 540, 1000 source frames 34"


def test_what_is_searched_has_objects_that_nobody_counted():
    facts = {"width": 96, "height": 56}
    assert cases.cases(facts, 0, {"scale": 1.0, "dense_seeding": "auto"})[0].seeding
    assert not cases.cases(facts, 2, {"scale": 1.0, "dense_seeding": "auto"})[0].seeding
    assert cases.cases(facts, 2, {"scale": 1.0, "dense_seeding": "auto", "continuity": "overlap"})[0].seeding
    assert cases.cases(facts, 0, {"scale": 1.0})[0].objects == 1


def test_searching_takes_its_own_memory(model_dir):
    assert simulate(model_dir, 1, seeding=True).activations > simulated(model_dir, 1).activations
    assert torch.is_grad_enabled()


@pytest.fixture
def counted(untried, model_dir, monkeypatch):
    """Numbers of objects that were simulated, and models that were tried, in place of either."""
    counts = {"simulated": [], "tried": []}

    def count(folder, objects, **options):
        counts["simulated"].append(objects)
        one = simulated(model_dir, 1)
        return replace(one, state=objects * one.state, flops=objects * one.flops)

    def trying(folder, objects, **options):
        counts["tried"].append(folder)
        return Trial(300 * MIB + len(counts["tried"]), 1 / 3)

    monkeypatch.setattr(simulation, "simulate", count)
    monkeypatch.setattr(trial, "run", trying)
    return counts


def anew(counted, folder, model_dir, *summaries, code="one", kept="known", objects=None, **options):
    """A table as another process would write it: its bytes, what was told, and what was simulated and tried."""
    workload._simulated.cache_clear()
    workload._tried.cache_clear()
    for each in counted.values():
        each.clear()
    known = Known.within(folder / kept, code) if kept else None
    _, told = table(folder, model_dir, objects or {"a": 2}, *summaries, known=known, force_cpu=False, **options)
    workload._simulated.cache_clear()
    return (folder / "forecast.tsv").read_bytes(), told, {name: list(each) for name, each in counted.items()}


def test_one_more_video_asks_for_nothing_but_its_own(tmp_path, model_dir, counted):
    a, b, c = summary(tmp_path, "a"), summary(tmp_path, "b", 640, 360), summary(tmp_path, "c")
    objects = {"a": 2, "b": 2, "c": 3}
    _, told, done = anew(counted, tmp_path, model_dir, a)
    # The model's digest, what two objects take, the trial, and what its four objects take.
    assert (told["known"], told["found_out"]) == (0, 4)
    assert done == {"simulated": [2, 4], "tried": [model_dir.resolve()]}

    two, told, done = anew(counted, tmp_path, model_dir, a, b, objects=objects)
    assert (told["known"], told["found_out"]) == (4, 0), "a picture of another size is the same to the model"
    assert done == {"simulated": [], "tried": []}
    assert two == anew(counted, tmp_path, model_dir, a, b, objects=objects, kept=None)[0]

    three, told, done = anew(counted, tmp_path, model_dir, a, b, c, objects=objects)
    assert (told["known"], told["found_out"], done["simulated"]) == (4, 1, [3])
    assert three == anew(counted, tmp_path, model_dir, a, b, c, objects=objects, kept=None)[0]
    assert len(list((tmp_path / "known").iterdir())) == 5


def test_what_changes_memory_is_found_out_again(tmp_path, model_dir, counted):
    a = summary(tmp_path, "a")
    anew(counted, tmp_path, model_dir, a)
    other = shutil.copytree(model_dir, tmp_path / "other")
    assert not anew(counted, tmp_path, other, a)[2]["simulated"], "the same model in another folder"

    for changed in ({"precision": "bfloat16"}, {"max_conditioning_frames": 1}, {"object_batch": 2}):
        assert anew(counted, tmp_path, model_dir, a, **changed)[2]["simulated"] == [2], changed
    assert anew(counted, tmp_path, model_dir, a, code="two")[2]["simulated"] == [2, 4]

    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"max_object_pointers_in_encoder": 8}))
    assert anew(counted, tmp_path, other, a)[2]["simulated"] == [2, 4]


def test_how_many_prompted_frames_a_model_reads_is_asked_once(tmp_path, model_dir, counted):
    a = summary(tmp_path, "a")
    anew(counted, tmp_path, model_dir, a)
    _, told, done = anew(counted, tmp_path, model_dir, a, prompted={"a": 3})
    assert (told["known"], told["found_out"], done["simulated"]) == (3, 2, [2])
    _, told, done = anew(counted, tmp_path, model_dir, a, prompted={"a": 4})
    assert (told["known"], told["found_out"], done["simulated"]) == (5, 0, [])


def test_a_damaged_file_costs_time_and_nothing_else(tmp_path, model_dir, counted):
    a = summary(tmp_path, "a")
    expected, *_ = anew(counted, tmp_path, model_dir, a)
    for path in (tmp_path / "known").iterdir():
        path.write_text(path.read_text()[:-20])
    again, told, _ = anew(counted, tmp_path, model_dir, a)
    assert again == expected
    assert (told["known"], told["found_out"]) == (0, 4)


def test_a_trial_that_memory_did_not_suffice_for_is_tried_the_next_time(tmp_path, model_dir, counted, monkeypatch):
    a, run = summary(tmp_path, "a"), trial.run
    other = shutil.copytree(model_dir, tmp_path / "other")
    (other / "preprocessor_config.json").write_text("{}")

    def refuse(folder, *arguments, **options):
        if folder == other.resolve():
            raise OutOfMemory("not now")
        return run(folder, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(trial, "run", refuse)
        assert anew(counted, tmp_path, other, a)[1]["source"] == "simulated"
    _, told, done = anew(counted, tmp_path, other, a)
    assert (told["source"], done) == ("calibrated", {"simulated": [], "tried": [other.resolve()]})


def test_where_all_is_known_pytorch_is_not_loaded(tmp_path, model_dir, counted):
    a = summary(tmp_path, "a")
    anew(counted, tmp_path, model_dir, a)
    code = f"""
import sys
from pathlib import Path
from longtake.annotate import workload
from longtake.planning.cache import Known
from longtake.planning.driver import Ask, forecast
from longtake.unit import Study
workload.EMBEDDED = Path({str(model_dir.resolve())!r})
facts = {ask(model_dir, {"a": 2}, [a]).study.facts!r}
known = Known.within({str(tmp_path / "known")!r}, "one")
given = Ask(Study(Path(), facts), [{str(a)!r}], known)
forecast("annotate", given, force_cpu=False, out={str(tmp_path / "again.tsv")!r})
print("torch" in sys.modules)
"""
    library = Path(workload.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "forecast.tsv").read_bytes()
