"""A whole small study by the library's own functions: clips, folds, fits, controls, evaluation."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import config

from longtake.errors import SheetError, TrainingError
from longtake.models.loading import load_model
from longtake.store.tables import read_table, write_table
from longtake.training.baseline import features_of_shard, fit_baseline, read_features
from longtake.training.clips import Spec, make_shard
from longtake.training.dataset import fold_data, read_clips, read_folds
from longtake.training.evaluate import Piece, evaluate
from longtake.training.features import NAMES
from longtake.training.fit import fit_network, predict_fold
from longtake.training.leaks import make_folds
from longtake.training.recipe import Recipe
from longtake.training.sampling import Sampling
from longtake.training.sheet import Row
from longtake.training.tables import ALL_PREDICTIONS, COMPARISONS, DUPLICATES, METRICS, PREDICTIONS, SOURCES

LABELS = ("left", "right")


def rows_of(videos, **changes):
    """Two videos a group; even groups swim to the left."""
    return [
        {"row": n + 2, "video": video, "path": path, "label": LABELS[n // 2 % 2], "group": f"g{n // 2}"}
        | {"fold": None, "test": False}
        | changes.get(video.replace("-", "_"), {})
        for n, (video, path) in enumerate(videos.items())
    ]


def folds_of(folder, rows, **changes):
    out = {name: folder / f"{name}.parquet" for name in ("folds", "duplicates", "clips")} | {
        "fits": folder / "fits.tsv"
    }
    given = {"folds": 3, "repeats": 1, "inner": 0.3, "duplicates": "fail", "duplicate_distance": 0.12, "seed": 1}
    facts = make_folds(
        rows, [folder / "c.parquet"], [folder / "s.parquet"], out=out, sheet="training.tsv", **(given | changes)
    )
    return out, facts


@pytest.fixture(scope="module")
def study(tmp_path_factory, videos):
    """Clips, features and folds of sixteen swimmers."""
    folder = tmp_path_factory.mktemp("study")
    spec = Spec((Sampling(8, 32),), 1, {"jitter": {"p": 1.0}}, seed=1)
    given = list(videos.items())
    make_shard(
        given, spec, folder / "store", clips=folder / "c.parquet", sources=folder / "s.parquet", notes=folder / "w"
    )
    features_of_shard(given, frames=8, out=folder / "f.parquet")
    out, _ = folds_of(folder, rows_of(videos))
    return folder, out


def test_how_many_fits_a_changed_sheet_redoes_is_told(study, videos, tmp_path, caplog):
    """Three folds: who is left out of one fold's training was in that of the two others."""
    folder, _ = study
    work = tmp_path / "work/fits.before.tsv"

    def redone(rows):
        caplog.clear()
        out = {name: tmp_path / f"{name}.parquet" for name in ("folds", "duplicates", "clips")}
        given = {"folds": 3, "repeats": 1, "inner": 0.3, "duplicates": "fail", "duplicate_distance": 0.12, "seed": 1}
        out["fits"] = tmp_path / "fits.tsv"
        shards = [folder / "c.parquet"], [folder / "s.parquet"]
        return make_folds(rows, *shards, out=out, sheet="training.tsv", before=work, **given)["redone"]

    placed = {row["video"]: row["fold"] for row in read_folds(study[1]["folds"])}
    rows = [row | {"fold": placed[row["video"]]} for row in rows_of(videos)]
    assert redone(rows) == 0
    assert not caplog.records, "there was nothing before"
    assert redone(rows) == 0
    assert redone(rows[:-1]) == 2
    assert "of 3 fits of a network on a kind of clips, 2 learn from other clips" in caplog.text


def network_fold(study, fold, target, **changes):
    """Train a small network on a fold, let it predict, and return the data and the facts."""
    folder, out = study
    data = fold_data(read_clips([out["clips"]], "8x32"), read_folds(out["folds"]), 0, fold, store=folder / "store")
    recipe = Recipe(config("small_cnn"), batch=4, micro_batch=2, epochs=2)
    unit = f"small_cnn 0 {fold}"
    facts = fit_network(data, recipe, unit=unit, folder=target, state=target / "s.safetensors", **changes)
    paths = {name: target / f"predictions{name and '.'}{name}.parquet" for name in ("", "middle", "shuffled")}
    predict_fold(data, target, unit=unit, seed=1, out=paths)
    return data, facts


def test_a_fold_trains_on_augmented_clips_and_tests_on_originals(study):
    folder, out = study
    data = fold_data(read_clips([out["clips"]], "8x32"), read_folds(out["folds"]), 0, 0, store=folder / "store")
    names = {part: {clip.name.split("#")[0] for clip in getattr(data, part)} for part in ("train", "inner", "outer")}
    assert {clip.name[-2:] for clip in data.train} == {"#0", "#1"}
    assert all(clip.name.endswith("#0") for clip in [*data.inner, *data.outer])
    assert not names["train"] & names["inner"]
    assert not (names["train"] | names["inner"]) & names["outer"]
    assert sum(map(len, names.values())) == 16


def test_a_fold_is_written_whole_and_loads_as_a_model(study, tmp_path):
    data, facts = network_fold(study, 0, tmp_path)
    assert facts["status"] == "ok"
    assert facts["done"]["work"] > 0
    assert not (tmp_path / "s.safetensors").exists()
    rows = read_table(tmp_path / "predictions.parquet", PREDICTIONS).to_pylist()
    assert {row["part"] for row in rows} == {"outer", "inner"}
    model = load_model(tmp_path)
    first = next(row for row in rows if row["part"] == "outer")
    clip = next(clip for clip in data.outer if clip.name == f"{first['video']}#0")
    frames = torch.from_numpy(clip.read()).permute(0, 3, 1, 2).float() / 255
    assert model.scores(frames).tolist() == pytest.approx(first["logits"], abs=1e-5)
    middle = read_table(tmp_path / "predictions.middle.parquet", PREDICTIONS).to_pylist()
    assert {row["part"] for row in middle} == {"outer"}
    assert any(one["logits"] != other["logits"] for one, other in zip(middle, rows, strict=False))


def test_the_same_fold_gives_the_same_bytes(study, tmp_path):
    for name in ("one", "two"):
        network_fold(study, 1, tmp_path / name)
    for file in ("model.safetensors", "predictions.parquet", "history.parquet", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_halving_the_micro_batch_goes_on_and_is_said(study, tmp_path):
    folder, out = study
    data = fold_data(read_clips([out["clips"]], "8x32"), read_folds(out["folds"]), 0, 0, store=folder / "store")
    wanted = Recipe(config("small_cnn"), batch=4, micro_batch=2, epochs=2)

    def killed(done, _):
        if done == 3:
            raise MemoryError

    given = {"unit": "u", "folder": tmp_path, "state": tmp_path / "s.safetensors", "save_every_s": 0.0}
    with pytest.raises(MemoryError):
        fit_network(data, wanted, progress=killed, **given)
    facts = fit_network(data, replace(wanted, micro_batch=1), **given)
    assert facts["status"] == "approximate"
    assert "from 2 to 1" in facts["reason"]
    assert facts["epochs"] == 2


def test_all_models_together(study, tmp_path):
    folder, out = study
    features = read_features([folder / "f.parquet"])
    assert all(len(values) == len(NAMES) for values in features.values())
    folds = read_folds(out["folds"])
    pieces = []
    for fold in range(3):
        network_fold(study, fold, tmp_path / f"cnn-{fold}")
        for control in ("", "middle", "shuffled"):
            name = f"predictions.{control}.parquet" if control else "predictions.parquet"
            pieces.append(Piece("small_cnn", control, 0, fold, tmp_path / f"cnn-{fold}" / name))
        for kind, control in (
            ("logistic_regression", ""),
            ("svm", ""),
            ("logistic_regression", "permuted"),
            ("logistic_regression", "metadata"),
        ):
            target = tmp_path / f"{kind}{control}-{fold}"
            fit_baseline(kind, features, folds, repeat=0, fold=fold, folder=target, class_weights="balanced", seed=1,
                         control=control)  # fmt: skip
            failed = {"status": "failed", "reason": "killed"} if (kind, control, fold) == ("svm", "", 2) else {}
            pieces.append(Piece(kind, control, 0, fold, target / "predictions.parquet", **failed))
    names = ("predictions", "metrics", "comparisons", "calibration")
    target = {name: tmp_path / f"{name}.parquet" for name in names}
    target |= {"predictions_csv": tmp_path / "predictions.csv", "leaderboard": tmp_path / "leaderboard.csv"}
    evaluate(pieces, out["folds"], out=target, folds=3, seed=1, draws=50)

    with target["predictions_csv"].open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["model", "repeat", "fold", "video", "label", "predicted", "p_left", "p_right"]
    assert sum(row["model"] == "small_cnn" for row in found) == 16
    with target["leaderboard"].open(newline="") as file:
        board = {(row["model"], row["control"]): row for row in csv.DictReader(file)}
    assert board["svm", ""]["folds"] == "2 of 3 folds"
    assert board["svm", ""]["status"] == "partial"
    assert board["small_cnn", ""]["folds"] == "3 of 3 folds"
    assert {control for _, control in board} == {"", "middle", "shuffled", "permuted", "metadata"}
    metrics = read_table(target["metrics"], METRICS).to_pylist()
    accuracy = next(
        row
        for row in metrics
        if (row["model"], row["control"], row["fold"], row["metric"], row["class"])
        == ("logistic_regression", "", "all", "accuracy", "all")
    )
    own = [row for row in found if row["model"] == "logistic_regression"]
    assert accuracy["value"] == pytest.approx(np.mean([row["label"] == row["predicted"] for row in own]))
    assert accuracy["n_groups"] == 8
    assert read_table(target["predictions"], ALL_PREDICTIONS).num_rows > 36
    compared = read_table(target["comparisons"], COMPARISONS).to_pylist()
    assert {(row["model_a"], row["model_b"]): row["n_groups"] for row in compared}["small_cnn", "svm"] in (5, 6)
    assert all(row["status"] == "undecided" or row["p_least"] <= 0.05 for row in compared)


def test_undeclared_duplicates_end_the_run_or_join(study, videos):
    folder, _ = study
    rows = rows_of(videos)
    sources = read_table(folder / "s.parquet", SOURCES)
    changed = sources.to_pylist()
    changed[4]["hashes"], changed[4]["sha256"] = changed[0]["hashes"], "other"
    write_table(folder / "s2.parquet", changed, SOURCES)
    given = {"folds": 3, "repeats": 1, "inner": 0.4, "duplicate_distance": 0.12, "seed": 1, "sheet": "t.tsv"}
    out = {name: folder / f"{name}-2.parquet" for name in ("folds", "duplicates", "clips")} | {
        "fits": folder / "f2.tsv"
    }

    def run(how):
        return make_folds(rows, [folder / "c.parquet"], [folder / "s2.parquet"], out=out, duplicates=how, **given)

    with pytest.raises(TrainingError, match=r"swim-00.*swim-04"):
        run("fail")
    pairs = read_table(out["duplicates"], DUPLICATES).to_pylist()
    assert [(row["video_a"], row["video_b"], row["declared"]) for row in pairs] == [("swim-00", "swim-04", False)]
    assert run("join")["groups"] == 7
    folds = {row["video"]: row["fold"] for row in read_folds(out["folds"])}
    assert folds["swim-00"] == folds["swim-04"]
    assert run("report")["groups"] == 8


def test_a_test_set_shares_no_group(study, videos):
    folder, _ = study
    with pytest.raises(TrainingError, match="test set"):
        folds_of(folder, rows_of(videos, swim_00={"test": True}), folds=2, inner=0.5)


def test_nothing_readable_is_told(tmp_path):
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"x")
    spec = Spec((Sampling(8, 32),), 0, {}, seed=1)
    make_shard(
        [("b", str(broken))],
        spec,
        tmp_path,
        clips=tmp_path / "c.parquet",
        sources=tmp_path / "s.parquet",
        notes=tmp_path / "w",
    )
    with pytest.raises(SheetError, match="no video can be read"):
        folds_of(tmp_path, [vars(Row(2, "b", str(broken), "cod", "g"))])
