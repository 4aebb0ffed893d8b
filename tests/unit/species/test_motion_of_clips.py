"""Which motion stands for a clip: one series, never a mix."""

import pytest

from longtake.figures.gradients import motion_of
from longtake.species.temporal import curve_means
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import write_table

SERIES = {
    "all known": ([None, 5.0, 6.0], [None, 3.0, 4.0], [None, 5.0, 6.0]),
    "a gap in the mask": ([None, None, 6.0], [None, 3.0, 4.0], [None, 3.0, 4.0]),
    "the frame only": ([None, None, 6.0], [None, None, None], [None, 1.0, 2.0]),
}


@pytest.mark.parametrize("case", SERIES)
def test_one_series_for_one_clip(case, tmp_path):
    own, crop, expected = SERIES[case]
    key = {"video": "v", "window": 0, "object": "o", "label": "carp", "clip": 0}
    rows = [
        key
        | dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude", "magnitude"), 1.0)
        | {"offset": n, "frame": n, "time_s": n / 10, "motion_object": own[n], "motion_region": crop[n]}
        | {"motion_frame": [None, 1.0, 2.0][n]}
        for n in range(3)
    ]
    write_table(tmp_path / "curves.parquet", rows, CURVES)
    write_table(tmp_path / "clips.parquet", [key | {"status": "ok"}], CLIPS)
    means = curve_means(tmp_path / "curves.parquet", tmp_path / "clips.parquet", "v")
    assert [row["motion"] for row in means] == expected
    assert motion_of(rows)[1:].tolist() == expected[1:]
