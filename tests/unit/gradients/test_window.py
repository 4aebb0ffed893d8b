import json
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from longtake.errors import ConfigError, ModelError
from longtake.gradients import window as window_module
from longtake.gradients.attribution import ClipFrames, attribute_clip
from longtake.gradients.options import Options
from longtake.gradients.planner import Budget, Planner, granted
from longtake.gradients.window import analyse_window, ladder
from longtake.models.classifier import ClassifierConfig, ClipClassifier, ClipClassifierModel
from longtake.models.loading import save_classifier
from longtake.store.arrays import read_arrays
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import read_table
from longtake.verdicts import BANDS

OPTIONS = Options(max_frames=9, chunk_size=4, flow_width=80, perturbations=("static", "shuffle"), shuffles=2)
LOOKED_AT = 6


class Planted(nn.Module):
    """Looks at the left half of one frame, in green, and at nothing else."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((16, 8), 2.0))

    def encode(self, frames):
        return frames[:, 1, :, :8].flatten(1)

    def head(self, features):
        seen = (features[LOOKED_AT] * self.weight.flatten()).sum()
        return torch.stack([seen, -seen])


class PlantedModel:
    class_names = ("eel", "cod")
    n_frames = 9

    def __init__(self):
        self.module = Planted().eval()
        self.encode, self.head = self.module.encode, self.module.head

    def input_size(self, height, width):
        return 16, 16

    def scores(self, frames):
        return self.head(self.encode(frames))


class Whole:
    """A model that cannot be split."""

    def __init__(self, adapter):
        self.module, self.scores, self.input_size = adapter.module, adapter.scores, adapter.input_size
        self.class_names, self.n_frames = adapter.class_names, adapter.n_frames


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    torch.manual_seed(6)
    config = ClassifierConfig(("eel", "cod"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    save_classifier(ClipClassifier(config), tmp_path_factory.mktemp("model"))
    return tmp_path_factory.getbasetemp() / "model0"


def analyse(pond, out, model, options=OPTIONS, **changes):
    given = {
        "video_path": pond.video,
        "index_path": pond.index,
        "window": pond.window,
        "detections_path": pond.detections,
        "species": "eel",
        "seed": 3,
        **changes,
    }
    out.mkdir(exist_ok=True)
    paths = {f"{name}_out": out / name for name in ("curves", "clips", "maps", "perturbations")}
    summary = analyse_window(options=options.model_copy(update={"model": str(model)}), **given, **paths)
    maps, metadata = read_arrays(out / "maps")
    geometry = json.loads(metadata["clips"])
    curves, clips = read_table(out / "curves", CURVES).to_pylist(), read_table(out / "clips", CLIPS).to_pylist()
    return summary, curves, clips, maps, geometry


def test_tables_and_maps_of_a_window(pond, folder, tmp_path):
    summary, curves, clips, maps, geometry = analyse(pond, tmp_path, folder)
    assert summary.items() >= {"objects": 2, "ok": 4, "approximate": 0, "failed": 0}.items()
    assert summary["wall_s"] > 0
    assert [(row["object"], row["clip"]) for row in clips] == [("cod-2", 0), ("cod-2", 1), ("eel-1", 0), ("eel-1", 1)]
    assert len(curves) == 4 * 9
    for row in clips:
        own = [c for c in curves if (c["object"], c["clip"]) == (row["object"], row["clip"])]
        assert [c["frame"] for c in own] == list(range(row["first_frame"], row["last_frame"] + 1))
        assert np.mean([c["magnitude"] for c in own]) == pytest.approx(row["mean"])
        assert row["gradient_change_max"] == max(c["gradient_change"] for c in own[1:])
        assert (own[0]["gradient_change"], own[0]["motion_frame"]) == (None, None)
        assert row["target"] == row["predicted"]
        assert row["target_name"] == ("eel", "cod")[row["target"]]
        assert row["correct"] == (row["predicted_name"] == row["label"])
        assert row["motion"] == "object"
        if row["object"] == "eel-1":
            magnitude, motion = ([c[name] for c in own[1:]] for name in ("magnitude", "motion_object"))
            assert row["pearson"] == pytest.approx(np.corrcoef(magnitude, motion)[0, 1])
            assert row["detrended_low"] <= row["detrended"] <= row["detrended_high"]
            assert row["relation"] in ("strong", "moderate", "weak")
        name = f"{row['object']}.{row['clip']}"
        assert maps[name].shape == (9, 48, 48)
        assert maps[name].dtype == np.float16
        assert maps[name].max() == 1
        record = geometry[name]
        assert record["frames"] == [row["first_frame"], row["last_frame"], 1]
        assert record["region"] == [row[f"region_{side}"] for side in ("x_min", "y_min", "x_max", "y_max")]


def test_maps_hold_the_numbers_of_the_curves(pond, folder, tmp_path):
    _, curves, _, maps, geometry = analyse(pond, tmp_path, folder)
    for name, array in maps.items():
        restored = array.astype(np.float64) * geometry[name]["scale"]
        norms = np.sqrt((restored**2).sum((1, 2)))
        expected = [row["l2_norm"] for row in curves if f"{row['object']}.{row['clip']}" == name]
        np.testing.assert_allclose(norms, expected, rtol=1e-3)


def test_the_planted_frame_and_place_are_found(pond, tmp_path, monkeypatch):
    monkeypatch.setattr(window_module, "load_model", lambda spec, device: PlantedModel())
    _, curves, clips, maps, geometry = analyse(pond, tmp_path, "planted")
    for row in curves:
        # Half of one of three channels has gradient 2: mean |g| is 2 / 6 there, and nothing elsewhere.
        looked = row["offset"] == LOOKED_AT
        assert row["magnitude"] == pytest.approx(1 / 3 if looked else 0)
        assert row["max_pool"] == (2 if looked else 0)
        assert row["l2_norm"] == pytest.approx((128 * 4) ** 0.5 if looked else 0)
        assert row["weighted_magnitude"] == pytest.approx(1 if looked else 0)
    assert all(row["n_peaks"] == 1 for row in clips)
    for name, array in maps.items():
        assert geometry[name]["scale"] == 2
        assert (array[LOOKED_AT, :, :8] == 1).all()
        assert not array[LOOKED_AT, :, 8:].any()
        assert np.count_nonzero(array) == 128


def test_chunk_size_changes_no_number(pond, tmp_path, monkeypatch):
    monkeypatch.setattr(window_module, "load_model", lambda spec, device: PlantedModel())
    first = analyse(pond, tmp_path / "a", "planted")
    for chunk_size in (1, 2, 9, 31):
        other = analyse(pond, tmp_path / "b", "planted", OPTIONS.model_copy(update={"chunk_size": chunk_size}))
        assert other[1:3] == first[1:3]
        assert all(np.array_equal(other[3][name], first[3][name]) for name in first[3])


def test_every_clip_is_disturbed_and_says_what_was_left(pond, folder, tmp_path):
    _, _, clips, _, _ = analyse(pond, tmp_path, folder)
    rows = read_table(tmp_path / "perturbations", PERTURBATIONS).to_pylist()
    frozen = [("static", repeat) for repeat in range(5)]
    asked = [*frozen, ("shuffle", 0), ("shuffle", 1), ("still", 0), ("short", 0)]
    assert [(row["perturbation"], row["repeat"]) for row in rows] == asked * len(clips)
    assert {(row["object"], row["clip"]) for row in rows} == {(row["object"], row["clip"]) for row in clips}
    for row in rows:
        assert row["status"] == "ok"
        assert (row["ratio"] is None) == (row["perturbation"] == "short")
        if row["perturbation"] in ("static", "shuffle"):
            used = row["total" if row["perturbation"] == "static" else "ratio"]
            assert 0 <= row["kept"] <= min(used, 1 / used)
            assert row["band"] in BANDS


def test_the_same_bytes_again(pond, folder, tmp_path):
    analyse(pond, tmp_path / "a", folder)
    analyse(pond, tmp_path / "b", folder)
    for name in ("curves", "clips", "maps", "perturbations"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("chunk_size", [1, 4, 9])
def test_split_equals_the_whole_forward(chunk_size):
    torch.manual_seed(2)
    config = ClassifierConfig(("a", "b"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    adapter = ClipClassifierModel(ClipClassifier(config).eval())
    pixels = np.random.default_rng(1).integers(0, 255, (9, 48, 48, 3), dtype=np.uint8)
    split = attribute_clip(
        adapter, pixels, [None] * 9, target=1, planner=Planner(adapter, Budget(chunk_size=chunk_size))
    )
    other = Whole(adapter)
    planner = Planner(other, Budget(chunk_size=chunk_size))
    whole = attribute_clip(other, pixels, [None] * 9, target=1, planner=planner)
    np.testing.assert_allclose(split.scores, whole.scores, rtol=1e-5)
    np.testing.assert_allclose(split.maps, whole.maps, rtol=1e-3, atol=1e-5 * whole.maps.max())
    assert split.target == whole.target == 1


def test_frames_are_rgb_in_zero_to_one():
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    pixels[2] = (255, 51, 0)
    frames = ClipFrames(pixels, torch.device("cpu"))
    assert len(frames) == 4
    assert frames[2:3][0, :, 0, 0].tolist() == pytest.approx([1, 0.2, 0])


def test_sparse_detections_relate_to_the_motion_of_the_crop(pond, folder, tmp_path):
    _, curves, clips, _, _ = analyse(pond, tmp_path, folder, detections_path=pond.sparse)
    assert {row["motion"] for row in clips} == {"region"}
    inside = [row["magnitude_inside"] is not None for row in curves]
    assert inside == [row["frame"] % 5 == 0 for row in curves]


def test_targets(pond, folder, tmp_path):
    labelled = analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"target": "labelled"}))[2]
    assert all(row["target_name"] == row["label"] for row in labelled)
    by_index = analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"target": 1}))[2]
    assert {row["target"] for row in by_index} == {1}
    with pytest.raises(ConfigError, match=r"gradients.target is 2, .* 0 to 1: eel, cod"):
        analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"target": 2}))


def test_a_label_that_is_no_class_fails_only_where_it_is_asked_for(pond, folder, tmp_path, monkeypatch):
    adapter = window_module.load_model(folder)
    adapter.class_names = ("ray", "cod")
    monkeypatch.setattr(window_module, "load_model", lambda spec, device: adapter)
    clips = analyse(pond, tmp_path, "x", OPTIONS.model_copy(update={"target": "labelled"}))[2]
    assert [row["status"] for row in clips] == ["ok", "ok", "failed", "failed"]
    assert clips[2]["reason"].startswith("target is the labelled species, but 'eel' is no class of the model")
    assert clips[2]["mean"] is None
    predicted = analyse(pond, tmp_path, "x")[2]
    assert [row["correct"] is None for row in predicted] == [False, False, True, True]


def test_too_short_is_failed_and_has_no_curve(pond, folder, tmp_path, monkeypatch):
    options = OPTIONS.model_copy(update={"max_frames": 25})
    adapter = PlantedModel()
    adapter.n_frames = None
    monkeypatch.setattr(window_module, "load_model", lambda spec, device: adapter)
    summary, curves, clips, maps, _ = analyse(pond, tmp_path, "x", options)
    assert summary["failed"] == 1
    failed = [row for row in clips if row["status"] == "failed"]
    assert [(row["object"], row["reason"]) for row in failed] == [
        ("cod-2", "visible for at most 20 frames in a row around here; a clip needs 25")
    ]
    assert {row["object"] for row in curves} == {"eel-1"}
    assert all(name.startswith("eel-1.") for name in maps)


def test_an_empty_window_gives_empty_tables(pond, folder, tmp_path):
    empty = replace(pond.window, start=40, stop=40, emit_start=40, emit_stop=40)
    summary, curves, clips, maps, _ = analyse(pond, tmp_path, folder, window=empty)
    assert summary.pop("wall_s") >= 0
    assert summary == {"objects": 0, "ok": 0, "approximate": 0, "failed": 0}
    assert (curves, clips, maps) == ([], [], {})


def test_the_length_the_model_was_trained_on_is_kept(pond, folder, tmp_path):
    with pytest.raises(ModelError, match=r"clips of 9 frames, but gradients.max_frames is 31\. Set it to 9"):
        analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"max_frames": 31}))


def test_whole_frames(pond, folder, tmp_path):
    clips = analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"region": "frame"}))[2]
    assert {(row["region_x_min"], row["region_x_max"], row["region_y_max"]) for row in clips} == {(0, 160, 96)}


def test_even_clips_of_the_whole_frame(pond, folder, tmp_path):
    summary, curves, clips, _, _ = analyse(pond, tmp_path, folder, OPTIONS.model_copy(update={"clips": "even"}))
    assert summary.items() >= {"objects": 1, "ok": 2, "approximate": 0, "failed": 0}.items()
    assert [(row["object"], row["label"], row["first_frame"]) for row in clips] == [
        ("frame", "eel", 11),
        ("frame", "eel", 41),
    ]
    assert {row["motion"] for row in clips} == {"region"}
    assert all(row["motion_region"] == pytest.approx(row["motion_frame"]) for row in curves if row["offset"])
    assert all(row["correct"] is not None for row in clips)


def test_only_species_that_were_drawn(pond, folder, tmp_path):
    _, curves, clips, _, _ = analyse(pond, tmp_path, folder, labels=["cod"])
    assert {row["label"] for row in clips} == {row["label"] for row in curves} == {"cod"}
    assert analyse(pond, tmp_path, folder, labels=[])[2] == []


def test_a_model_that_cannot_be_split_keeps_to_what_is_granted():
    torch.manual_seed(2)
    config = ClassifierConfig(("a", "b"), n_frames=9, size=48, channels=(8, 8, 8, 8, 8), width=16, depth=1)
    whole = Whole(ClipClassifierModel(ClipClassifier(config).eval()))
    pixels = np.random.default_rng(1).integers(0, 255, (9, 48, 48, 3), dtype=np.uint8)
    options = {"target": None}
    free = attribute_clip(whole, pixels, [None] * 9, **options)
    # Without a limit it takes a million bytes.
    planner = Planner(whole, Budget(700_000))
    tight = attribute_clip(whole, pixels, [None] * 9, **options, planner=planner)
    np.testing.assert_allclose(tight.maps, free.maps, rtol=1e-3, atol=1e-5 * free.maps.max())
    np.testing.assert_allclose(tight.scores, free.scores, rtol=1e-5)
    way = planner.strategy((9, 3, 48, 48))
    assert way.name != "plain"
    assert way.predicted_bytes <= 700_000
    attribute_clip(whole, pixels[::-1].copy(), [None] * 9, **options, planner=planner)
    assert planner.strategy((9, 3, 48, 48)) is way


def test_what_is_granted():
    assert granted(0.5, "cpu").nbytes == 2**29
    assert 0 < granted(0, "cpu").nbytes < psutil.virtual_memory().total  # there is no request, and no other limit


def test_every_exact_rung_of_the_ladder_gives_the_same_numbers(pond, folder, tmp_path):
    options = OPTIONS.model_copy(update={"memory_gb": 2})
    rungs = ladder({"device": "cpu", "options": options})
    assert [rung.name for rung in rungs if rung.exact] == [
        "as asked",
        "half the memory",
        "one frame at a time, an eighth of the memory",
    ]
    assert [rung.changes for rung in ladder({"device": "cuda", "options": options})][3] == {"device": "cpu"}
    as_asked = analyse(pond, tmp_path / "a", folder, options)
    least = dict(rungs[2].changes)
    assert (least["options"].chunk_size, least["part"]) == (1, 0.125)
    less = analyse(pond, tmp_path / "b", folder, least.pop("options"), **least)
    for one, other in zip(as_asked[1], less[1], strict=True):
        assert other["magnitude"] == pytest.approx(one["magnitude"], rel=1e-5)
