"""What figures show of tables: labels, units, and nothing that hides."""

import numpy as np

from longtake.figures import style
from longtake.latents.figures import channels, curves, effects, slopes, step_map

KNOWN = style.looks({"calm", "wild", "x"})


def test_channels_are_scaled_by_what_lies_off_the_diagonal_and_constant_ones_left_out():
    rows = [
        {"step": 0, "channel": c, "correlation": row}
        for values in (
            [[1.0, 0.2, None], [0.2, 1.0, None], [None] * 3],
            [[1.0, 0.4, None], [0.4, 1.0, None], [None] * 3],
        )
        for c, row in enumerate(values)
    ]
    (image,) = channels(rows).axes[0].images
    shown = np.ma.filled(image.get_array().astype(float), np.nan)
    np.testing.assert_allclose(shown[0, 1], 0.3)
    assert np.isnan(np.diag(shown)).all()
    assert np.isnan(shown[2]).all()
    np.testing.assert_allclose(image.get_clim(), (-0.3, 0.3))


def contrast(group, baseline, metric="motion"):
    return {"test": "contrast", "group": group, "baseline": baseline, "metric": metric, "summary": "last", "p": 0.01,
            "p_maxt": 0.02, "hedges_g": 2.0, "n_paired": 4}  # fmt: skip


def test_comparisons_name_both_groups_where_there_is_more_than_one_baseline():
    one = effects([contrast("wild", "calm"), contrast("x", "calm")], KNOWN).axes[0]
    assert one.get_xlabel() == "Hedges' g against calm"
    assert [label.get_text() for label in one.get_yticklabels()] == ["wild: motion (last)", "x: motion (last)"]
    all_pairs = effects([contrast("wild", "calm"), contrast("x", "wild")], KNOWN).axes[0]
    assert [label.get_text() for label in all_pairs.get_yticklabels()][1] == "x against wild: motion (last)"


def test_axes_have_units_also_of_patches_of_any_size():
    of_group = {"metric": "patch5_variance", "group": "calm", "mean": 1.0, "band_low": None, "band_high": None}
    rows = [of_group | {"step": step} for step in range(3)]
    assert curves(rows, KNOWN, ["patch5_variance"]).axes[0].get_ylabel() == "variance"
    metrics = [{"video": f"{g}/0", "group": g, "seed": 0, "step": 1, "motion": 0.5} for g in ("calm", "wild")]
    panel = slopes(metrics, [contrast("wild", "calm")], KNOWN, "calm").axes[0]
    assert panel.get_ylabel() == "latent units"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["calm", "wild"]


def test_videos_on_one_place_do_not_hide_each_other():
    rows = [{"step": 0, "group": group, "map_x": 1.0, "map_y": 2.0} for group in KNOWN]
    sizes = [line.get_markersize() for line in step_map(rows, KNOWN).axes[0].lines if len(line.get_xdata()) == 1]
    assert len(sizes) == len(set(sizes)) == 3
    assert sizes == sorted(sizes, reverse=True)
