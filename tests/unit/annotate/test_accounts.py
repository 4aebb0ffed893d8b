"""A window job in the ledger: who holds what, in which stage; and neither counting nor letting go changes a number."""

from itertools import count

import pytest

from longtake.annotate.accounts import WAITING
from longtake.annotate.pipeline import Room, ahead
from longtake.annotate.window import annotate_window
from longtake.media.windows import Window
from longtake.memory import cleaning
from longtake.memory.ledger import Ledger, MemoryPolicy
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

MIB = 2**20
WIDTH, HEIGHT, FRAMES = 96, 56, 12


@pytest.fixture(scope="module")
def job(make_video, prompt, model_dir, tmp_path_factory):
    path, index_path, _ = make_video("pond", FRAMES, WIDTH, HEIGHT)

    def run(name, **more):
        folder = tmp_path_factory.mktemp(name)
        out = folder / "detections.parquet"
        record = annotate_window(
            video_path=path, index_path=index_path, window=Window("pond", 0, 0, FRAMES, 0, FRAMES, 0.0, FRAMES / 10),
            prompts=[prompt("a", 0, (8, 8, 40, 40)), prompt("b", 2, (30, 4, 90, 50), row=3)], model_dir=model_dir,
            scale=1.0, frame_interval=1, state_in=None, detections_out=out,
            state_out=folder / "state.safetensors", **more,
        )  # fmt: skip
        return record, read_table(out, DETECTIONS).to_pylist(), (folder / "state.safetensors").read_bytes()

    return run


@pytest.fixture(scope="module")
def plain(job):
    return job("plain")


def test_the_ledger_knows_the_model_the_state_and_the_frames(job, plain, tracker):
    with Ledger() as kept:
        record, rows, state = job("kept")
    assert (rows, state) == plain[1:]
    stages = kept.facts()["stages"]
    assert list(stages) == ["start", "load", "track", "hand over"]
    held = stages["track"]["host"]
    assert held["parameters"] == pytest.approx(
        sum(p.nbytes for p in tracker.model.parameters()) / MIB, rel=0.05, abs=0.1
    )
    assert held["state"] == pytest.approx(record["session_bytes"] / MIB, rel=0.02, abs=0.06)
    frame = 12 * tracker.preprocessing.image_size**2
    assert held["frames"] == pytest.approx((3 * frame + 2 * 3 * WIDTH * HEIGHT) / MIB, abs=0.06)
    assert held["activations"] > 0
    facts = kept.facts()
    assert (facts["steps"], facts["counted_steps"]) == (FRAMES, 5)  # 0, 1, 2, 4, 8


def test_what_is_let_go_when_memory_is_short_changes_no_number(job, plain, tracker, monkeypatch):
    # Whether this process grows depends on what earlier tests have freed in it.
    monkeypatch.setattr(cleaning, "_rss", count(step=MIB).__next__)
    with Ledger(MemoryPolicy(host=MIB, clean_up_at=0.5)) as kept:
        _, rows, state = job("short")
    assert (rows, state) == plain[1:]
    done = kept.facts()["clean_ups"]
    assert done["times"] >= 1
    assert done["let_go_mb"] == {WAITING: pytest.approx(12 * tracker.preprocessing.image_size**2 / MIB, abs=0.06)}


class Item:
    """Counts how many of it are alive."""

    alive = most = 0

    def __init__(self):
        Item.alive += 1
        Item.most = max(Item.most, Item.alive)

    def __del__(self):
        Item.alive -= 1


def test_a_narrower_room_holds_fewer_items_and_loses_none():
    room, seen, most = Room(4), 0, []
    for _ in ahead((Item() for _ in range(40)), room=room):
        seen += 1
        if seen == 20:
            assert (room.narrow(), room.narrow()) == (3, 0)
        if seen in (19, 26):
            most.append(Item.most)
        if seen == 25:
            Item.most = 0
    assert seen == 40
    assert most[0] >= 4
    assert most[1] <= 2
