"""Jobs of whole videos, the study's tables, and what is inferred from them, without Snakemake."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.latents import tables
from longtake.latents.comparisons import bands, contrasts, intervals, trends
from longtake.latents.crossings import Place, cross
from longtake.latents.index import index_videos
from longtake.latents.layout import check_groups, find_videos, shards
from longtake.latents.names import metrics
from longtake.latents.options import Options
from longtake.latents.results import study_statistics
from longtake.latents.separability import separate, shuffled
from longtake.latents.shard import PARTS, measure_shard
from longtake.latents.study import compare_steps, judge, put_together
from longtake.latents.threads import one_thread_of_all
from longtake.latents.values import Values
from longtake.store.tables import read_table, write_table
from longtake.streams import stream

OPTIONS = Options(families=["spatial", "temporal", "frequency"], permutations=200)


def measured(folder, study, latents_per_job, options=OPTIONS, code="a"):
    """All jobs of a study, and its tables put together: paths by name, and what each job did."""
    paths = {part: [] for part in ("videos", *PARTS)}
    facts, indices = [], []
    for number, part in enumerate(shards(find_videos(str(study)), latents_per_job)):
        index = folder / f"index-{number}.parquet"
        write_table(index, index_videos(part, axes="auto"), tables.INDEX)
        indices.append(str(index))
        out = {name: str(folder / f"{number}.{name}.parquet") for name in paths}
        facts.append(measure_shard(index, folder / "work", out, options=options, code=code))
        for name, path in out.items():
            paths[name].append(path)
    whole = {name: str(folder / f"{name}.parquet") for name in paths}
    whole |= {"csv": str(folder / "videos.csv"), "ways": str(folder / "ways.csv")}
    put_together(shards=paths, out=whole, options=options.model_dump())
    return whole, facts, indices


def digests(paths):
    return {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in paths.items()}


def test_jobs_of_any_size_and_a_job_that_goes_on_give_the_same_bytes(tmp_path, study):
    one, facts, _ = measured(tmp_path / "one", study, 1000)
    many, _, _ = measured(tmp_path / "many", study, 1, OPTIONS.model_copy(update={"read_ahead": 0}))
    assert digests(one) == digests(many)
    assert facts[0]["latents_measured"] == 18
    again, facts, _ = measured(tmp_path / "one", study, 7)
    assert sum(fact["latents_kept"] for fact in facts) == 18
    assert digests(again) == digests(one)


def test_threads_and_the_order_of_files_on_disk_change_no_byte(tmp_path, study):
    from threadpoolctl import threadpool_limits

    other = tmp_path / "other" / "latents"
    for path in sorted(study.rglob("*.*"), reverse=True):
        copied = other / path.relative_to(study)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copied)
    before, seen = torch.get_num_threads(), []
    for threads, folder in ((1, study), (2, other), (2, study)):
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            whole, _, indices = measured(tmp_path / f"{threads} {folder.parent.name}", folder, 7)
            out = {name: str(tmp_path / f"{len(seen)}.{name}") for name in ("videos", "groups")}
            grams = [str(tmp_path / f"{len(seen)}.npy")]
            about = {"baseline": "calm", "pair_by_seed": "auto", "scratch": tmp_path / "s"}
            compare_steps(indices, whole["videos"], [2], grams, out, **about)
        seen.append(digests(whole) | digests(out) | digests({"gram": grams[0]}))
    torch.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]


def test_the_map_of_many_videos_is_the_same_with_any_number_of_threads():
    from threadpoolctl import threadpool_limits

    vectors = stream(1, "threads", "test").standard_normal((400, 3000))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads), one_thread_of_all():
            places = [Place("ab"[n % 2], n // 2) for n in range(400)]
            found.append(cross(vectors @ vectors.T, 3000, places, "a").places)
    np.testing.assert_array_equal(*found)


def test_a_killed_job_goes_on_and_an_added_video_is_measured_alone(tmp_path, study, disk):
    whole, _, _ = measured(tmp_path / "a", study, 1000)
    before = digests(whole)
    # A job that was killed has some of its videos in the work folder, and one half written.
    (tmp_path / "a/work/calm/v1.json").unlink()
    (tmp_path / "a/work/wild/v2.json").write_text('{"key": "')
    again, (fact,), _ = measured(tmp_path / "a", study, 1000)
    assert (fact["latents_measured"], fact["latents_kept"]) == (6, 12)
    assert digests(again) == before
    disk.save_video(study / "calm" / "v11", disk.noise("new", (3, 4, 5, 12, 14), np.float16), seed=11)
    _, facts, _ = measured(tmp_path / "a", study, 6)
    assert sum(fact["latents_measured"] for fact in facts) == 3
    _, facts, _ = measured(tmp_path / "a", study, 6, code="b")
    assert sum(fact["latents_measured"] for fact in facts) == 21


def spoil(study, disk):
    latent = disk.noise(dtype=np.float16)
    latent[1, 2, 3, 4] = np.inf
    disk.save(study / "calm/v0/step_001.npy", latent[None])
    disk.save_video(study / "calm/v9", disk.noise(shape=(3, 4, 5, 10, 14)), seed=9)
    disk.save_video(study / "calm/v8", np.full((3, 4, 5, 12, 14), 0.5, np.float16), seed=1)
    data = (study / "wild/v1/step_002.npy").read_bytes()
    disk.save(study / "wild/v1/step_002.npy.gz", disk.noise(dtype=np.float16)[None])
    (study / "wild/v1/step_002.npy").unlink()
    gz = study / "wild/v1/step_002.npy.gz"
    gz.write_bytes(gz.read_bytes()[:-20])
    assert data


def test_bad_videos_are_left_out_with_a_reason_and_others_are_compared(tmp_path, study, disk):
    spoil(study, disk)
    whole, _, indices = measured(tmp_path, study, 6)
    rows = {row["video"]: row for row in read_table(whole["videos"], tables.VIDEOS).to_pylist()}
    assert rows["calm/v0"]["status"] == rows["wild/v1"]["status"] == "failed"
    assert "inf at [1, 2, 3, 4]" in rows["calm/v0"]["reason"]
    assert "cut off" in rows["wild/v1"]["reason"]
    assert (rows["calm/v9"]["status"], rows["calm/v9"]["compared"]) == ("ok", False)
    assert "not that of the study" in rows["calm/v9"]["reason"]
    assert "seed 1 stands twice in calm" in rows["calm/v8"]["notices"][0]
    found = read_table(whole["metrics"], tables.metrics_table(metrics(OPTIONS.families))).to_pylist()
    assert {row["video"] for row in found} == set(rows) - {"calm/v0", "wild/v1"}
    still = next(row for row in found if row["video"] == "calm/v8")
    assert still["spatial_variance"] == 0.0
    assert still["frame_correlation"] is still["spectral_slope"] is None
    out = {"videos": str(tmp_path / "sv.parquet"), "groups": str(tmp_path / "sg.parquet")}
    about = {"baseline": "calm", "pair_by_seed": "auto", "scratch": tmp_path / "s"}
    compare_steps(indices, whole["videos"], [1], [str(tmp_path / "gram.npy")], out, **about)
    # calm: v1, v2, v8; wild: v0, v2.
    assert np.load(tmp_path / "gram.npy").shape == (5, 5)
    compared = read_table(out["videos"], tables.STEP_VIDEOS).to_pylist()
    assert [row["branch_distance"] is not None for row in compared] == [False, True, False, False, True]


def values(groups, seeds, numbers, steps=4):
    """Values of videos with made-up numbers [videos, measures]."""
    videos = [{"video": f"{g}/{s}", "group": g, "seed": s, "shape": [1, 1, 1, 1]} for g in groups for s in range(seeds)]
    measures = [(f"m{n}", "last") for n in range(numbers.shape[1])]
    subjects = [f"seed {video['seed']}" for video in videos]
    curves = np.repeat(numbers[:, None, :], steps, 1)
    names = [name for name, _ in measures]
    return Values(videos, subjects, measures, numbers, list(range(steps)), curves, names)


DRAWN = {"draws": 200}


def test_null_studies_have_few_false_findings_and_a_planted_one_is_found():
    false = 0
    for study in range(40):
        numbers = stream(study, "null", "test").standard_normal((24, 30))
        rows = contrasts(values("ab", 12, numbers), baseline="a", which="baseline", seed=study, **DRAWN)
        false += any((row["p_maxt"] or 1.0) < 0.05 for row in rows)
    assert false <= 5
    numbers = stream(1, "planted", "test").standard_normal((24, 30))
    numbers[12:, 3] += 3.0
    rows = contrasts(values("ab", 12, numbers), baseline="a", which="baseline", seed=1, draws=2000)
    assert [row["metric"] for row in rows if row["p_maxt"] < 0.05] == ["m3"]
    assert rows[3]["group"] == "b"
    assert rows[3]["difference"] > 2
    assert (rows[3]["n_paired"], rows[3]["n_single"]) == (12, 0)
    assert all(row["p_holm"] >= row["least_possible_p_holm"] > 0 for row in rows)


def test_one_group_is_undecided_and_pairs_are_asked_for_or_not():
    numbers = stream(1, "pairs", "test").standard_normal((18, 2))
    rows = contrasts(values("a", 18, numbers), baseline="a", which="baseline", seed=1, **DRAWN)
    assert {(row["status"], row["reason"]) for row in rows} == {("undecided", "one group")}
    nothing = contrasts(values("", 0, numbers[:0]), baseline="", which="baseline", seed=1, **DRAWN)
    assert {row["reason"] for row in nothing} == {"no video can be compared"}
    three = values("abc", 6, numbers)
    for which, n in (("baseline", 2), ("all", 3)):
        rows = contrasts(three, baseline="a", which=which, seed=1, **DRAWN)
        assert len({(row["group"], row["baseline"]) for row in rows}) == n


def test_a_planted_trend_is_found_within_seeds():
    numbers = stream(1, "trend", "test").standard_normal((24, 2))
    numbers[8:16, 0] += 4.0
    numbers[16:, 0] += 8.0
    first, second = trends(values("abc", 8, numbers), ["a", "b", "c"])
    assert first["p_holm"] < 0.01 < 0.05 < second["p"]
    assert "rising" in first["method"]
    assert trends(values("abc", 8, numbers), ["c", "b", "a"])[0]["method"].endswith("falling")
    assert trends(values("abc", 8, numbers), ["a", "b"])[0]["status"] == "undecided"


def test_intervals_and_bands_hold_the_mean_and_rest_on_videos():
    numbers = stream(1, "bands", "test").standard_normal((12, 2)) + 5.0
    made = values("a", 12, numbers)
    rows = intervals(made)
    assert [row["n"] for row in rows] == [12, 12]
    assert all(row["low"] < row["mean"] < row["high"] for row in rows)
    steps = bands(made, [{"group": "a", "step": 0, "corridor_width": 1.5}], seed=1, **DRAWN)
    assert len(steps) == 8
    assert all(row["band_low"] < row["mean"] < row["band_high"] for row in steps)
    assert [row["corridor_width"] for row in steps[:4]] == [1.5, None, None, None]


def test_groups_that_differ_are_told_apart_and_others_are_not():
    numbers = stream(2, "forest", "test").standard_normal((24, 6))
    rows = separate(values("ab", 12, numbers, steps=1), seed=1, permutations=200, trees=60)
    assert rows[0]["p"] > 0.05
    assert rows[0]["folds_by"] == "seed"
    numbers[12:, :2] += 4.0
    rows = separate(values("ab", 12, numbers, steps=1), seed=1, permutations=200, trees=60)
    assert rows[0]["accuracy"] > 0.8
    assert rows[0]["p"] == pytest.approx(0.05)
    assert rows[0]["distance_ratio"] > 1.1
    confusion = [row for row in rows if row["features"] == "confusion"]
    assert sum(row["count"] for row in confusion) == 24


@pytest.mark.parametrize(
    ("groups", "seeds", "reason"),
    [("", 0, "no video can be compared"), ("a", 9, "one group"), ("ab", 2, "a group has fewer than 3 videos"),
     ("ab", 5, "no measure differs that all videos have")],
)  # fmt: skip
def test_what_no_forest_can_tell_apart_is_undecided(groups, seeds, reason):
    still = np.full((len(groups) * seeds, 2), 0.5)
    (row,) = separate(values(groups, seeds, still), seed=1, permutations=100)
    assert (row["status"], row["reason"]) == ("undecided", reason)


def test_labels_are_shuffled_within_seeds_alone():
    labels, blocks = np.tile([0, 1, 2], 5), np.repeat(np.arange(5), 3)
    moved = shuffled(labels, blocks, stream(1, "shuffle", "test"))
    assert not np.array_equal(moved, labels)
    for block in range(5):
        assert sorted(moved[blocks == block]) == [0, 1, 2]


def test_the_studys_results_are_written_whole_and_the_same_each_time(tmp_path, study):
    whole, _, indices = measured(tmp_path, study, 1000)
    crossed = {"videos": str(tmp_path / "sv.parquet"), "groups": str(tmp_path / "sg.parquet")}
    grams = [str(tmp_path / f"g{step}.npy") for step in range(3)]
    about = {"baseline": "calm", "pair_by_seed": "auto", "scratch": tmp_path / "s"}
    compare_steps(indices, whole["videos"], [0, 1, 2], grams, crossed, **about)
    given = {**whole, "step_videos": [crossed["videos"]], "step_groups": [crossed["groups"]]}
    seen = []
    for turn in range(2):
        out = {name: str(tmp_path / f"{turn}-{name}") for name in ("groups", "group_steps", "tests", "separability")}
        out |= {f"{name}_csv": f"{path}.csv" for name, path in out.items()} | {
            "results": str(tmp_path / f"{turn}.json")
        }
        study_statistics(given=given, out=out, options=OPTIONS.model_copy(update={"separability": False}), seed=1)
        seen.append(digests(out))
    assert seen[0] == seen[1]
    held = json.loads((tmp_path / "0.json").read_text())
    assert set(held["sections"]) == {"spatial", "temporal", "frequency", "trajectory", "across_videos"}
    assert held["sections"]["temporal"]["wild"]["motion"]["last"]["n"] == 3
    assert held["study"]["groups"] == {"calm": 3, "wild": 3}


def test_names_of_groups_are_checked_and_another_shape_is_never_compared():
    from longtake.errors import ConfigError

    with pytest.raises(ConfigError, match="Did you mean 'calm'"):
        check_groups({"calm", "wild"}, "calmm", [])
    with pytest.raises(ConfigError, match="order names 'x'"):
        check_groups({"calm"}, "", ["calm", "x"])
    rows = [{"status": "ok", "group": "a", "seed": None, "shape": [1, 1, n, 1], "notices": []} for n in (2, 2, 3)]
    judge(rows)
    assert [row["compared"] for row in rows] == [True, True, False]
