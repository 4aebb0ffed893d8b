"""What jobs keep to of memory, before they work."""

from pathlib import Path

import numpy as np
import pytest

from longtake.errors import BudgetError
from longtake.latents import tables, workload
from longtake.latents.bounds import Held, computing, keeping, read_ahead_within, reading
from longtake.latents.index import index_videos
from longtake.latents.layout import find_videos
from longtake.latents.options import Options
from longtake.latents.shard import PARTS, measure_shard
from longtake.latents.study import compare_steps
from longtake.latents.workload import workloads
from longtake.memory.budget import MIB
from longtake.planning.calibrate import measure
from longtake.planning.driver import Ask
from longtake.store.tables import read_table, write_table
from longtake.unit import Study

HELD = Held(elements=10**6, stored=2 * 10**6, latents=100)
BASE = 400 * MIB


def needed_mb(read_ahead):
    return -(-(BASE + computing(HELD) + reading(HELD, read_ahead) + keeping(HELD)) // MIB)


def test_less_is_read_ahead_where_memory_is_short_and_what_cannot_be_held_is_refused():
    assert read_ahead_within(HELD, 64, 0, BASE) == 64
    for read_ahead in (0, 5, 64):
        found = read_ahead_within(HELD, 64, needed_mb(read_ahead), BASE)
        assert read_ahead <= found <= min(64, read_ahead + 1)
    with pytest.raises(BudgetError, match=r"latents.memory_gb is 0.25.* 100 latents.* Set it to 0\.\d\d or more"):
        read_ahead_within(HELD, 64, 256, BASE)


@pytest.fixture
def index(tmp_path, study):
    path = tmp_path / "0000.parquet"
    write_table(path, index_videos(find_videos(str(study)), axes="auto"), tables.INDEX)
    return path


def test_a_job_that_cannot_keep_to_its_memory_says_so_before_it_reads(tmp_path, study, index):
    out = {name: str(tmp_path / f"{name}.parquet") for name in ("videos", *PARTS)}
    (study / "calm/v0/step_000.npy").unlink()
    with pytest.raises(BudgetError, match=r"latents.memory_gb is 0.0\d+, but measuring 18 latents"):
        measure_shard(index, tmp_path / "work", out, options=Options(), code="a", memory_mb=50)
    assert not (tmp_path / "work").exists()
    assert not Path(out["videos"]).exists()
    # Within a limit that holds it, it is measured as it is.
    fact = measure_shard(index, tmp_path / "work", out, options=Options(), code="a", memory_mb=2**20)
    assert (fact["read_ahead"], fact["ok"], fact["failed"]) == (2, 5, 1)


def test_the_plan_asks_for_what_is_read_ahead_within_the_limit(index, monkeypatch):
    monkeypatch.setattr(workload, "loaded", lambda *_: BASE)
    stored = 2 * 4 * 5 * 12 * 14
    least = BASE + computing(Held(4 * 5 * 12 * 14, stored, 18)) + 2 * stored + keeping(Held(0, 0, 18))

    def frames(memory_gb):
        facts = {"options": Options(read_ahead=64, memory_gb=memory_gb).model_dump()}
        (found,) = workloads(Ask(Study(Path(), facts), [index]))
        return found.footprint.host["frames"]

    assert frames(0) == 66 * stored
    assert frames((least / MIB + 0.25) / 1024) < 66 * stored
    with pytest.raises(BudgetError, match=r"latents\.memory_gb"):
        frames((BASE / MIB) / 1024)


def test_more_videos_than_are_compared_are_left_out_and_too_many_for_memory_refused(tmp_path, study, index):
    videos = tmp_path / "videos.parquet"
    rows = [{name: row[name] for name in tables.VIDEOS.names if name != "compared"} | {"compared": True}
            for row in read_table(index, tables.INDEX).to_pylist()]  # fmt: skip
    write_table(videos, rows, tables.VIDEOS)
    out = {name: str(tmp_path / f"s.{name}.parquet") for name in ("videos", "groups")}
    about = {"baseline": "calm", "pair_by_seed": "auto", "scratch": tmp_path / "s"}
    grams = [str(tmp_path / "1.npy")]
    with pytest.raises(BudgetError, match=r"comparing 6 videos at a step takes .* lower latents.most_compared"):
        compare_steps([str(index)], str(videos), [1], grams, out, memory_mb=50, **about)
    assert not Path(grams[0]).exists()
    assert compare_steps([str(index)], str(videos), [1], grams, out, most=5, **about)["steps_left_out"] == [1]
    assert np.load(grams[0]).shape == (0, 0)
    assert not read_table(out["videos"], tables.STEP_VIDEOS).num_rows
    assert compare_steps([str(index)], str(videos), [1], grams, out, most=6, **about)["steps_left_out"] == []
    assert np.load(grams[0]).shape == (6, 6)


def test_a_job_stays_within_its_memory_where_reading_ahead_would_take_more(tmp_path, disk):
    first = disk.save(tmp_path / "latents/g/v/step_000.npy", disk.noise(shape=(1, 4, 32, 64, 128), dtype=np.float64))
    for step in range(1, 40):
        first.with_name(f"step_{step:03d}.npy").hardlink_to(first)
    index = tmp_path / "index.parquet"
    write_table(index, index_videos(find_videos(str(tmp_path / "latents")), axes="auto"), tables.INDEX)
    peaks, digests, limit_mb = [], [], 0
    for _ in range(2):
        out = {name: str(tmp_path / f"{limit_mb}.{name}.parquet") for name in ("videos", *PARTS)}
        options = Options(read_ahead=64, families=["spatial"]).model_dump()
        given = {"index": index, "kept_in": tmp_path / f"{limit_mb}", "out": out, "options": options, "code": "a"}
        peaks.append(measure(measure_shard, given | {"memory_mb": limit_mb}).rss / MIB)
        digests.append([Path(path).read_bytes() for path in out.values()])
        # What that machine's libraries take is part of it, so the limit is told by the first run.
        limit_mb = round(peaks[0]) - 30
    assert peaks[1] < limit_mb, peaks
    assert digests[0] == digests[1]
