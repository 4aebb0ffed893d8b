"""The job of one volume: maps in the file's order, tables, what fails alone, resuming, and what is refused."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from longtake.attribution.faithfulness import cascade, curves, edges, randomly, rank_correlation
from longtake.attribution.ladder import ladder
from longtake.attribution.measures import localisation, numbers, region_rows
from longtake.attribution.sheet import VolumeRow, leaks, selected
from longtake.errors import SheetError
from longtake.models.volumes import BareVolumeModel
from longtake.supervise.ladder import from_rung

ROOT = Path(__file__).parents[3]
TABLES = ("results", "regions", "curves")
SIZE = (12, 16, 18)  # height, width, B-scans: the file's order


def test_every_method_leaves_a_map_in_the_files_order(place, run):
    facts, rows = run(
        place, row={"mask": str(place / "mask.npy"), "regions": str(place / "regions.npy")}, methods=["all"]
    )
    assert facts["ok"] + facts["approximate"] == 8
    net = sys.modules["nets_of_tests"].plain("cpu")
    volume = torch.from_numpy(np.load(place / "v.npy")).permute(2, 0, 1)[None, None]
    leaf = volume.clone().requires_grad_()
    scores = net(leaf)[0]
    predicted = int(scores.argmax())
    (gradient,) = torch.autograd.grad(scores[predicted], leaf)
    expected = gradient[0, 0].abs().permute(1, 2, 0).numpy()
    np.testing.assert_allclose(np.load(place / "out/saliency.npy"), expected, rtol=1e-4, atol=1e-7)
    for row in rows["results"]:
        values = np.load(place / "out" / row["file"])
        assert values.shape == SIZE
        assert values.dtype == np.float32
        assert row["max"] == pytest.approx(float(values.max()))
        assert tuple(row["peak_voxel"]) == np.unravel_index(values.argmax(), SIZE)
        assert row["logits"] == pytest.approx(scores.tolist(), rel=1e-5)
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["predicted"] == net.class_names[predicted]
        assert row["mask_share"] == pytest.approx(48 / np.prod(SIZE))
    assert np.load(place / "out/gradcam.layer.npy").shape == (6, 8, 9)
    shares = {}
    for row in rows["regions"]:
        shares.setdefault(row["method"], 0)
        shares[row["method"]] += row["evidence_share"] or 0
    assert all(share == pytest.approx(1) for share in shares.values() if share)
    assert not (place / "out/.work").exists()


def test_what_is_not_asked_for_any_more_leaves_no_map(place, run):
    run(place, methods=["gradcam", "saliency"])
    run(place, methods=["saliency"])
    assert sorted(path.name for path in (place / "out").glob("*.npy")) == ["saliency.npy"]


def test_tile_and_budget_change_no_number(place, run):
    one, other = (run(place, out=name, methods=["all"], tile=tile)[1]["results"] for name, tile in (("a", 0), ("b", 4)))
    for row, again in zip(one, other, strict=True):
        assert row["status"] == again["status"]
        for name in ("max", "sum", "weight_ratio", "completeness", "score"):
            expected = None if again[name] is None else pytest.approx(again[name], rel=1e-4, abs=1e-7)
            assert row[name] == expected, (row["method"], name)
    assert {row["way"] for row in other} != {row["way"] for row in one}


def test_several_layers_targets_and_a_contrast_have_rows_and_files_of_their_own(place, run):
    _, rows = run(place, methods=["gradcam"], layer=["second", "first"], target=["true", "dark"], contrast="dark")
    found = {(row["layer"], row["target"], row["contrast"], row["file"]) for row in rows["results"]}
    assert found == {
        ("second", "bright", "dark", "gradcam.npy"),
        ("second", "dark", "", "gradcam.dark.npy"),
        ("first", "bright", "dark", "gradcam.first.npy"),
        ("first", "dark", "", "gradcam.first.dark.npy"),
    }


def test_vanishing_weights_fail_alone_and_name_the_layer_behind(place, run):
    _, rows = run(place, model="nets_of_tests:instance", layer="first.0", methods=["gradcam", "layercam", "saliency"])
    by_method = {row["method"]: row for row in rows["results"]}
    assert by_method["gradcam"]["status"] == "failed"
    assert "attribution.layer to 'first.1'" in by_method["gradcam"]["reason"]
    assert by_method["gradcam"]["file"] == ""
    assert by_method["layercam"]["status"] == by_method["saliency"]["status"] == "ok"


def test_paths_that_do_not_add_up_are_approximate(place, run):
    _, rows = run(place, methods=["integrated_gradients"], ig_steps=1, completeness=1e-6)
    row = rows["results"][0]
    assert row["status"] == "approximate"
    assert "add up to" in row["reason"]
    assert row["completeness"] > 1e-6


def test_a_map_of_zeros_stays_ok_and_says_so(place, run):
    _, rows = run(place, model="nets_of_tests:zero", methods=["gradcam"], row={"regions": str(place / "regions.npy")})
    assert rows["results"][0]["status"] == "ok"
    assert "nothing speaks for the class" in rows["results"][0]["reason"]
    assert {row["evidence_share"] for row in rows["regions"]} == {None}


def test_a_constant_volume_fails_where_noise_is_relative_to_its_range(place, run):
    np.save(place / "v.npy", np.ones(SIZE, np.float32))
    _, rows = run(place, methods=["smoothgrad", "gradcam"])
    by_method = {row["method"]: row for row in rows["results"]}
    assert "is constant" in by_method["smoothgrad"]["reason"]
    assert by_method["gradcam"]["status"] == "ok"


@pytest.mark.parametrize("kinds", [("bfloat16",), ("half resolution", "bfloat16")])
def test_ways_that_are_not_exact_come_last_and_say_how_far_they_are_off(place, run, kinds):
    arguments = {"row": {"row": 2, "volume": "v", "path": str(place / "v.npy")}, "device": "cpu"}
    arguments["options"] = {"volumes": "x", "model": "nets_of_tests:plain", "axes": "HWB", "model_axes": "BHW"}
    rungs = ladder(arguments)
    assert [rung.exact for rung in rungs] == [True] * (len(rungs) - 2) + [False] * 2
    assert from_rung(rungs, 0) == rungs[:-2], "only where memory.allow_approximate says so"
    (rung,) = [each for each in rungs if each.changes.get("lossy") == kinds]
    words = rung.errors[0](**{**arguments, **rung.changes})
    told = float(re.search(r"differs from the exact one by ([\d.]+)%", words)[1]) / 100
    # The volume is smaller than the part that is looked at, so that the error is that of its saliency.
    exact, coarse = (
        run(place, out=name, methods=["saliency", "gradcam"], target="dark", **how)
        for name, how in (("exact", {}), ("coarse", {"job": {**rung.changes, "approximate": words}}))
    )
    for row in coarse[1]["results"]:
        assert (row["status"], row["rung"]) == ("approximate", rung.name)
        assert words in row["reason"]
        assert np.load(place / "coarse" / row["file"]).shape == SIZE
    one, other = (np.load(place / name / "saliency.npy") for name in ("exact", "coarse"))
    assert 0 < np.linalg.norm(other - one) / np.linalg.norm(one) <= told * 1.01 + 1e-4
    assert {row["status"] for row in exact[1]["results"]} == {"ok"}


def test_weights_of_a_checkpoint_are_taken_either_way(place, run):
    net = sys.modules.get("nets_of_tests") or __import__("nets_of_tests")
    torch.manual_seed(9)
    weights = {name: torch.randn_like(value) for name, value in net.Net().state_dict().items()}
    torch.save(weights, place / "w.pt")
    logits = [
        run(place, model=f"nets_of_tests:{name}", checkpoint=str(place / "w.pt"), methods=["gradcam"])[1]["results"][0][
            "logits"
        ]
        for name in ("plain", "with_checkpoint")
    ]
    assert logits[0] == logits[1]
    assert logits[0] != run(place, methods=["gradcam"])[1]["results"][0]["logits"]


def rows_of(*cells):
    return [VolumeRow(at, f"v{at}", "p", split=split, subject=subject) for at, (split, subject) in enumerate(cells)]


def test_splits_are_selected_by_seed_and_leaks_are_found():
    rows = rows_of(*[("test", "")] * 9, ("train", "s"), ("test", "s"))
    assert len(selected(rows, "test", 0, 1)) == 10
    some = selected(rows, "all", 4, 1)
    assert some == selected(rows, "all", 4, 1)
    assert len(some) == 4
    assert leaks(rows) == ["s"]
    with pytest.raises(SheetError, match="has only: test, train"):
        selected(rows, "val", 0, 1)


KILLED = """
    import sys
    sys.path[:0] = [{root!r}, {place!r}]
    from pathlib import Path
    from longtake.attribution.volume import analyse_volume
    place = Path({place!r})
    tables = {{f"{{name}}_out": place / "cut" / f"{{name}}.parquet" for name in ("results", "regions", "curves")}}
    options = dict(volumes="x", model="nets_of_tests:plain", axes="HWB", model_axes="BHW", faithfulness=False,
                   methods=["smoothgrad", "vargrad"], n_samples=50)
    row = dict(row=2, volume="v", path=str(place / "v.npy"), label="bright")
    analyse_volume(row=row, options=options, out=place / "cut", seed=3, **tables)
"""


def test_a_job_killed_in_its_draws_goes_on_to_the_same_bytes(place, run):
    """SIGKILL in the midst of fifty draws; the next job computes only what is left."""
    code = textwrap.dedent(KILLED).format(root=str(ROOT / "workflow"), place=str(place))
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = place / "cut/.work"
    deadline = time.monotonic() + 120
    while not list(work.glob("noise-*/[1-9]*.sums")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = max((int(path.stem) for path in work.glob("noise-*/[1-9]*.sums")), default=0)
    assert 0 < done < 50, "it was to be killed on its way"
    told = []
    run(place, out="cut", methods=["smoothgrad", "vargrad"], n_samples=50, progress=lambda at, _: told.append(at))
    run(place, out="whole", methods=["smoothgrad", "vargrad"], n_samples=50)
    assert len(told) <= 50 - done + 1
    for name in ("smoothgrad.npy", "vargrad.npy"):
        digests = {hashlib.sha256((place / out / name).read_bytes()).hexdigest() for out in ("cut", "whole")}
        assert len(digests) == 1


class Sum(nn.Module):
    """Score 1 is the sum of the voxels of the corner."""

    def forward(self, x):
        corner = x[:, 0, :2, :2, :2].sum((1, 2, 3))
        return torch.stack([corner * 0, corner], 1)


def test_deletion_falls_fastest_in_the_order_that_is_true():
    given = torch.ones(1, 1, 6, 6, 6)
    truth = np.zeros((6, 6, 6), np.float32)
    truth[:2, :2, :2] = 1
    model = BareVolumeModel(Sum())
    common = {"target": lambda scores: scores[1], "index": 1, "steps": 27, "fill": "mean", "seed": 1, "volume": "v"}
    given[:, :, 2:] = 0
    rows = list(curves(model.scores, given, truth, **common))
    deletion = [row["value"] for row in rows if row["kind"] == "deletion"]
    assert deletion[0] == 8
    assert deletion[1] == pytest.approx(8 * float(given.mean()), rel=1e-5)  # 8 of 216 voxels are one step
    insertion = [row["value"] for row in rows if row["kind"] == "insertion"]
    assert insertion[1] == 8
    blind = list(curves(model.scores, given, randomly((6, 6, 6), 1, "v"), **common))
    assert sum(row["value"] for row in blind if row["kind"] == "deletion") > sum(deletion)


@pytest.mark.parametrize("fill", ["blur", "mean", "noisy-linear"])
def test_ties_are_taken_in_a_seeded_order_and_every_share_is_kept(fill):
    given = torch.rand((1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    flat = np.zeros((4, 4, 4), np.float32)
    seen = []

    def ask(volume):
        seen.append(float((volume != given).float().mean()))
        return torch.zeros(2)

    common = {"target": lambda scores: scores[0], "index": 0, "steps": 4, "fill": fill, "volume": "v"}
    list(curves(ask, given, flat, seed=1, **common))
    assert seen[0] == 0
    assert seen[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.13)


def test_drawn_weights_are_drawn_from_the_output_on_and_leave_the_model_alone():
    net = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2)).eval()
    model = BareVolumeModel(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    stages = list(cascade(model, 1))
    assert [name for name, _, _ in stages] == ["3", "0"]
    assert stages[-1][1] == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    drawn = stages[-1][2].module.state_dict()
    assert torch.equal(drawn["0.weight"].flatten().sort().values, before["0.weight"].flatten().sort().values)


def test_a_planted_mask_is_found_and_chance_stands_beside():
    mask = np.zeros((6, 6, 6), bool)
    mask[1:3, 1:3, 1:3] = True
    perfect = localisation(mask.astype(np.float32), mask)
    assert perfect == {
        "mask_share": 8 / 216,
        "pointing": 1.0,
        "mask_evidence": 1.0,
        "mask_auprc": 1.0,
        "mask_iou": 1.0,
    }
    chance = localisation(np.random.default_rng(0).random((6, 6, 6)).astype(np.float32), mask)
    assert chance["mask_evidence"] == pytest.approx(chance["mask_share"], abs=0.03)
    assert chance["mask_auprc"] < 0.3
    assert localisation(np.zeros((6, 6, 6), np.float32), mask)["mask_evidence"] is None


def test_numbers_and_regions_are_those_of_the_map():
    values = np.zeros((2, 2, 2), np.float32)
    values[1, 0, 1], values[0, 0, 0] = 3, -1
    regions = np.array([[[0, 0], [0, 0]], [[4, 4], [4, 4]]])
    assert numbers(values) == {"min": -1, "max": 3, "mean": 0.25, "sum": 2, "peak_voxel": [1, 0, 1]}
    found = list(region_rows(values, regions, {"4": "retina"}))
    assert [(row["name"], row["voxels"], row["evidence_share"], row["max"]) for row in found] == [
        ("elsewhere", 4, 0.0, 0.0),
        ("retina", 4, 1.0, 3.0),
    ]


def test_an_edge_map_knows_no_model_and_ranks_compare_maps():
    step = torch.zeros(1, 1, 4, 4, 4)
    step[:, :, 2:] = 1
    assert edges(step)[1:3].min() > 0
    assert edges(step)[[0, 3]].max() == 0
    values = np.arange(8.0)
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, np.ones(8)) is None
