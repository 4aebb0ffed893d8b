"""What is said of a study: the subject is the unit, scales are one for all, pictures show what the map says."""

import numpy as np
import pytest

from longtake.attribution.options import Options
from longtake.attribution.pictures import overlay, shown_slices
from longtake.attribution.summary import by_subject, summarise
from longtake.attribution.tables import CURVES, REGIONS, RESULTS
from longtake.demo.oct import render
from longtake.store.tables import write_table


def case(folder, volume, subject, right, share):
    """A volume with one map, 60 % of whose evidence lies in region 1."""
    place = folder / volume
    place.mkdir()
    values = np.zeros((4, 4, 4), np.float32)
    values[0, 0, 0] = 10 * share
    np.save(place / "gradcam.npy", values)
    about = {"volume": volume, "subject": subject, "split": "test", "label": "a", "eye": ""}
    row = {
        **about,
        "method": "gradcam",
        "layer": "l",
        "target": "a",
        "status": "ok",
        "reason": "",
        "file": "gradcam.npy",
    }
    row |= {"predicted": "a" if right else "b", "true": "a", "correct": right, "min": 0.0, "max": 10 * share}
    row |= {f"{kind}{control}": 0.5 for kind in ("deletion", "insertion") for control in ("", "_random", "_edges")}
    row |= {"deletion": 0.3, "insertion": 0.8, "mask_share": 0.1, "mask_evidence": share}
    write_table(place / "results.parquet", [row], RESULTS)
    region = {
        **about,
        "method": "gradcam",
        "layer": "l",
        "target": "a",
        "predicted": row["predicted"],
        "correct": right,
    }
    region |= {"region": 1, "name": "one", "voxels": 16, "voxel_share": 0.25, "evidence": 1.0, "evidence_share": share}
    write_table(place / "regions.parquet", [{**region, "mean": 0.0, "max": 1.0}], REGIONS)
    curve = {**about, "method": "gradcam", "layer": "l", "target": "a", "probability": None}
    evenly = [{"kind": "profile", "order": "H", "step": at, "at": (at + 0.5) / 7, "value": 1 / 7} for at in range(7)]
    drawn = {"kind": "randomisation", "order": "out", "step": 0, "at": 0.5, "value": 0.1}
    write_table(place / "curves.parquet", [{**curve, **each} for each in [*evenly, drawn]], CURVES)
    return place


@pytest.fixture
def findings(tmp_path):
    """Eight subjects, each with two volumes; two answers of sixteen are wrong."""
    import json

    folders = [case(tmp_path, f"v{at}", f"s{at // 2}", right=at > 1, share=0.55 + 0.01 * (at // 2)) for at in range(16)]
    outs = {name: tmp_path / f"{name}.out" for name in ("results_out", "regions_out", "findings_out")}
    summarise(folders, **outs, percentile=99.5, seed=1, level=0.95)
    assert len(outs["results_out"].read_text().splitlines()) == 17
    return json.loads(outs["findings_out"].read_text())


def test_subjects_are_counted_and_not_volumes(findings):
    assert findings["volumes"] == 16
    assert findings["subjects"] == 8
    accuracy = findings["accuracy"][0]
    assert accuracy["mean"] == pytest.approx(14 / 16)
    assert accuracy["n"] == 8
    assert findings["confusion"] == {"a": {"a": 14, "b": 2}}


def test_evidence_above_a_regions_share_of_voxels_is_found(findings):
    region = findings["regions"][0]
    assert region["voxel_share"] == 0.25
    assert region["evidence_n"] == 8
    assert 0.55 < region["evidence_low"] < region["evidence_mean"] < region["evidence_high"] < 0.63
    assert region["p_holm"] == pytest.approx(2 / 2**8)  # all eight on one side: the least that sign flips can give


def test_deletion_below_its_controls_counts_for_the_map(findings):
    by_kind = {(row["kind"], row["control"]): row for row in findings["faithfulness"]}
    assert by_kind["deletion", "random"]["difference"] == pytest.approx(0.2)
    assert by_kind["insertion", "edges"]["difference"] == pytest.approx(0.3)


def test_one_scale_is_of_the_study(findings):
    assert 5.5 < findings["scale"]["gradcam"] <= 6.2 + 1e-3


def test_evidence_that_lies_evenly_has_a_flat_profile(findings):
    """Whatever the number of slices: seven do not go evenly into the profile's bins."""
    (profile,) = findings["profiles"]
    np.testing.assert_allclose(profile["mean"], 1 / len(profile["mean"]))


def test_drawn_weights_are_told_by_the_methods_name(findings):
    (row,) = findings["randomisation"]
    assert (row["method"], row["layer"], row["mean"]) == ("gradcam", "out", pytest.approx(0.1))


def test_values_that_are_none_do_not_count_as_zero():
    rows = [{"subject": "a", "x": 1.0}, {"subject": "a", "x": None}, {"subject": "b", "x": None}]
    assert by_subject(rows, lambda row: row["x"]) == {"a": 1.0}


def test_where_a_map_is_zero_the_slice_stays_grey_and_where_it_is_strong_it_does_not():
    grey = np.full((2, 2), 100, np.uint8)
    values = np.array([[0.0, 1.0], [-1.0, 2.0]], np.float32)
    made = overlay(grey, values, top=1.0, alpha=0.5)
    assert made[0, 0].tolist() == [100, 100, 100]
    assert made[0, 1, 0] > made[0, 1, 2]  # warm where it speaks for the class
    assert made[1, 0, 2] > made[1, 0, 0]  # cold where it speaks against it
    assert made[1, 1].tolist() == made[0, 1].tolist()  # beyond the scale's end nothing changes


def test_the_slice_with_most_evidence_is_shown():
    values = np.zeros((20, 3, 3), np.float32)
    values[13] = 1
    assert 13 in shown_slices(values, 4)
    assert len(shown_slices(values, 4)) == 4


def test_synthetic_volumes_tell_their_own_truth():
    fluid, drusen = (render(label, "v", 1, (64, 64, 32)) for label in ("fluid", "drusen"))
    assert fluid.volume[fluid.mask].mean() < 0.5 * fluid.volume[fluid.regions == 1].mean()
    assert set(np.unique(fluid.regions)) == {0, 1, 2, 3}
    assert (fluid.volume[fluid.regions == 2] > 0.9).all()
    assert 2 not in drusen.regions
    assert drusen.mask.any()
    assert not render("normal", "v", 1, (64, 64, 32)).mask.any()
    np.testing.assert_array_equal(fluid.volume, render("fluid", "v", 1, (64, 64, 32)).volume)


def test_all_stands_for_every_method():
    chosen = Options(volumes="x", model="m:f", axes="HWB", model_axes="BHW", methods=["all"])
    assert len(chosen.asked) == 8
    assert chosen.layers == ("",)
