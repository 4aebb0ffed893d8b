"""Whose motion stands for a clip: one series in the column of its source, never a mix."""

import pytest

from longtake.gradients.figures import motion_of
from longtake.species.temporal import SERIES as KEPT
from longtake.species.temporal import curve_means
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import write_table

SERIES = {
    "object": ([None, 5.0, 6.0], [None, 3.0, 4.0], "motion_animal", [None, 5.0, 6.0]),
    "region": ([None, None, 6.0], [None, 3.0, 4.0], "motion_crop", [None, 3.0, 4.0]),
}


def tables_of(folder, source, own, crop, clips=1):
    keys = [{"video": "v", "window": 0, "object": "o", "label": "carp", "clip": k} for k in range(clips)]
    rows = [
        key
        | dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude", "magnitude"), 1.0)
        | {"offset": n, "frame": n, "time_s": n / 10, "motion_object": own[n], "motion_region": crop[n]}
        | {"motion_frame": [None, 1.0, 2.0][n]}
        for key in keys
        for n in range(3)
    ]
    write_table(folder / "curves.parquet", rows, CURVES)
    write_table(folder / "clips.parquet", [key | {"status": "ok", "motion": source} for key in keys], CLIPS)
    return rows, *curve_means(folder / "curves.parquet", folder / "clips.parquet", "v")


@pytest.mark.parametrize("source", SERIES)
def test_one_series_for_one_clip(source, tmp_path):
    own, crop, column, expected = SERIES[source]
    rows, means, series = tables_of(tmp_path, source, own, crop)
    assert [row[column] for row in means] == expected
    (other,) = {"motion_animal", "motion_crop"} - {column}
    assert [row[other] for row in means] == [None] * 3
    assert motion_of(rows)[1:].tolist() == expected[1:]
    assert [(row["source"], row["offset"], row["motion"]) for row in series] == [
        (column.removeprefix("motion_"), n, expected[n]) for n in (1, 2)
    ]


def test_few_series_are_kept_of_many_clips(tmp_path):
    _, means, series = tables_of(tmp_path, "object", *SERIES["object"][:2], clips=9)
    assert means[0]["n_clips"] == 9
    assert len({row["clip"] for row in series}) == KEPT
