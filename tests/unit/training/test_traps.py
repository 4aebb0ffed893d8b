"""A label known only through its group: chance where groups are whole, a false triumph where they are not."""

import numpy as np
import pytest

from longtake.store.tables import read_table
from longtake.training.baseline import fit_baseline
from longtake.training.features import NAMES
from longtake.training.folds import place
from longtake.training.sheet import Row
from longtake.training.tables import PREDICTIONS

GROUPS, EACH, FOLDS = 24, 5, 3


def confounded():
    """Videos that look like their group; whether a group is cod or ray is drawn, so looks say nothing of new groups."""
    random = np.random.default_rng(4)
    labels = random.permutation(["cod", "ray"] * (GROUPS // 2))
    looks = random.standard_normal((GROUPS, len(NAMES)))
    rows, features = [], {}
    for group in range(GROUPS):
        for number in range(EACH):
            video = f"v{group:02d}-{number}"
            rows.append(Row(len(rows) + 2, video, f"/x/{video}.mp4", str(labels[group]), f"g{group:02d}"))
            features[video] = looks[group] + 0.1 * random.standard_normal(len(NAMES))
    return rows, features


def accuracy(rows, features, folder):
    placed = place(rows, folds=FOLDS, repeats=1, inner=0.2, seed=1)
    table = [{**vars(each), "inner": list(each.inner)} for each in placed]
    right = []
    for fold in range(FOLDS):
        target = folder / f"fold-{fold}"
        given = {"repeat": 0, "fold": fold, "folder": target, "class_weights": "balanced", "seed": 1}
        fit_baseline("logistic_regression", features, table, **given)
        found = read_table(target / "predictions.parquet", PREDICTIONS).to_pylist()
        right += [
            ("cod", "ray")[int(np.argmax(row["probabilities"]))] == row["label"]
            for row in found
            if row["part"] == "outer"
        ]
    return np.mean(right)


def test_groups_that_are_whole_give_chance_and_split_ones_a_triumph(tmp_path):
    rows, features = confounded()
    assert accuracy(rows, features, tmp_path / "grouped") == pytest.approx(0.5, abs=0.17)
    apart = [row.with_group(row.video) for row in rows]
    assert accuracy(apart, features, tmp_path / "split") > 0.95
