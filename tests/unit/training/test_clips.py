"""Clips: frames by time, augmentations as data, one store, and near-duplicates."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.training.conftest import moving, swimmer

from longtake.errors import ConfigError, SchemaError, UnreadableVideo
from longtake.media.index import index_video
from longtake.store.tables import read_table
from longtake.training.augment import OPERATIONS, apply, as_text, draw, from_text
from longtake.training.clips import Spec, make_shard, make_video, noise_key, replay
from longtake.training.hashes import BITS, difference_hash, distances, near_pairs
from longtake.training.options import Augment
from longtake.training.sampling import Sampling, bordered, frame_numbers, read_clip, sample_times
from longtake.training.store import clip_path, get_clip
from longtake.training.tables import CLIPS, SOURCES

SAMPLING = Sampling(8, 48)
EVERYTHING = {name: {**value, "p": 1.0} for name, value in Augment().model_dump().items()}


@pytest.fixture
def spec():
    return Spec((SAMPLING,), 2, EVERYTHING, seed=7)


def test_times_are_uniform_over_the_whole_video(videos):
    index = index_video(videos["swim-00"])
    assert sample_times(2.0, 4).tolist() == [0, 0.5, 1.0, 1.5]
    # 30 frames at 15 a second: the frames shown at i * 2 / 8 s.
    assert frame_numbers(index, 8) == [0, 3, 7, 11, 15, 18, 22, 26]


def test_a_frame_that_lasts_long_is_shown_as_long_as_it_lasts(videos):
    index = index_video(videos["swim-00"])

    class Slow:
        """The same, but the first frame lasts a second."""

        pts = np.concatenate([[0], 15 + np.arange(29)])
        time_base, duration_s, n_frames = 1 / 15, 44 / 15, 30

    assert frame_numbers(Slow, 4) == [0, 0, 8, 19]
    assert len(frame_numbers(index, 30)) == 30


def test_the_whole_picture_is_kept_or_its_middle_is_cut(videos):
    index = index_video(videos["swim-00"])
    assert read_clip(index, SAMPLING).pixels.shape == (8, 32, 48, 3)
    assert read_clip(index, Sampling(8, 48, "crop")).pixels.shape == (8, 48, 48, 3)
    square = bordered(read_clip(index, SAMPLING).pixels, 48)
    assert square.shape == (8, 48, 48, 3)
    assert not square[:, :8].any()
    assert not square[:, 40:].any()


def test_a_short_video_is_refused_or_repeats_frames(tmp_path):
    index = index_video(swimmer(tmp_path / "short.mp4", 1, left=True, seconds=0.3))
    with pytest.raises(UnreadableVideo, match="4 different frames"):
        read_clip(index, SAMPLING)
    assert len(set(read_clip(index, Sampling(8, 48, short="repeat")).frames)) == 4


def test_clips_are_read_back_replayed_and_shared(tmp_path, videos, spec):
    counts = make_shard(
        list(videos.items())[:2],
        spec,
        tmp_path / "store",
        clips=tmp_path / "c.parquet",
        sources=tmp_path / "s.parquet",
        notes=tmp_path / "w",
    )
    assert counts == {"videos": 2, "clips": 6, "failed_videos": [], "read": 2}
    rows = read_table(tmp_path / "c.parquet", CLIPS).to_pylist()
    assert [row["kind"] for row in rows[:3]] == ["original", "augmented", "augmented"]
    for row in rows:
        stored = get_clip(tmp_path / "store", row["key"], row["sha256"])
        key = noise_key(spec.seed, row["video"], row["clip"])
        again = replay(videos[row["video"]], from_text(row["parameters"]), SAMPLING, key)
        assert np.array_equal(stored, again)
    assert json.loads(rows[1]["parameters"]).keys() == EVERYTHING.keys()


def test_another_range_remakes_augmented_clips_alone(tmp_path, videos, spec):
    def keys(spec):
        return [row["key"] for row in make_video("swim-00", videos["swim-00"], spec, tmp_path)[0]]

    before = keys(spec)
    wider = {**EVERYTHING, "rotate": {"p": 1.0, "degrees": 40.0}}
    after = keys(Spec((SAMPLING,), 2, wider, seed=7))
    assert before[0] == after[0]
    assert not set(before[1:]) & set(after[1:])
    assert keys(Spec((SAMPLING,), 3, EVERYTHING, seed=7))[:3] == before


def test_moving_a_file_changes_no_clip(tmp_path, videos, spec):
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "other name.mp4"
    moved.write_bytes(Path(videos["swim-00"]).read_bytes())
    one = make_video("swim-00", videos["swim-00"], spec, tmp_path)[0]
    other = make_video("swim-00", str(moved), spec, tmp_path)[0]
    assert [row["key"] for row in one] == [row["key"] for row in other]


def test_a_clip_that_was_changed_on_disk_is_refused(tmp_path, videos, spec):
    row = make_video("swim-00", videos["swim-00"], spec, tmp_path)[0][0]
    path = clip_path(tmp_path, row["key"])
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(SchemaError, match="does not hold the pixels"):
        get_clip(tmp_path, row["key"], row["sha256"])


def test_an_unreadable_video_is_a_row_and_the_others_go_on(tmp_path, videos, spec):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    given = [("broken", str(tmp_path / "broken.mp4")), ("swim-01", videos["swim-01"])]
    counts = make_shard(
        given, spec, tmp_path, clips=tmp_path / "c.parquet", sources=tmp_path / "s.parquet", notes=tmp_path / "w"
    )
    assert counts["failed_videos"] == ["broken"]
    rows = read_table(tmp_path / "c.parquet", CLIPS).to_pylist()
    assert [row["status"] for row in rows] == ["failed", "ok", "ok", "ok"]
    assert rows[0]["reason"]
    assert read_table(tmp_path / "s.parquet", SOURCES).num_rows == 2


def test_draws_belong_to_the_video_and_the_number():
    one = draw(EVERYTHING, 1, "a", 1, 8)
    assert one == draw(EVERYTHING, 1, "a", 1, 8)
    others = [draw(EVERYTHING, 2, "a", 1, 8), draw(EVERYTHING, 1, "b", 1, 8), draw(EVERYTHING, 1, "a", 2, 8)]
    assert all(other != one for other in others)
    assert from_text(as_text(one)) == one
    without = draw({name: value for name, value in EVERYTHING.items() if name != "rotate"}, 1, "a", 1, 8)
    assert {name: value for name, value in one.items() if name != "rotate"} == without


def test_every_frame_is_treated_alike():
    """A still clip stays still under every operation but noise, which is of single pixels."""
    still = np.repeat(moving(3)[:1], 8, 0)
    for name in OPERATIONS:
        if name != "noise":
            changed = apply(still, draw({name: EVERYTHING[name]}, 1, "a", 1, 8), (1, "a", "n"))
            assert changed.shape == still.shape
            assert (changed == changed[:1]).all(), name


def test_what_operations_do():
    clip = moving(3)
    assert np.array_equal(apply(clip, {"flip": True}, (1, "a", "n")), clip[:, :, ::-1])
    assert np.array_equal(apply(clip, {"reverse": True}, (1, "a", "n")), clip[::-1])
    dropped = apply(clip, {"drop": [3]}, (1, "a", "n"))
    assert np.array_equal(dropped[3], clip[2])
    assert np.array_equal(dropped[4], clip[4])
    twice = apply(clip, {"duplicate": [3]}, (1, "a", "n"))
    assert np.array_equal(twice[4], clip[3])
    assert np.array_equal(twice[7], clip[6])
    covered = apply(clip, {"cutout": {"x": 0.25, "y": 0.5, "size": 0.25}}, (1, "a", "n"))
    assert not covered[:, 16:24, 8:16].any()
    moved = apply(clip, {"affine": {"x": 4 / 32, "y": 0, "scale": 1, "shear": 0}}, (1, "a", "n"))
    assert np.array_equal(moved[:, :, 4:], clip[:, :, :-4])
    grey = apply(clip, {"jitter": {"brightness": 0.1, "contrast": 1.0, "saturation": 1.0}}, (1, "a", "n"))
    assert np.abs(grey.astype(int) - np.minimum(clip + 25.5, 255)).max() <= 1


def test_unknown_parameters_are_refused_by_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'rotate'"):
        from_text('{"rotates": 3}')


def hashes_of(path):
    clip = read_clip(index_video(path), Sampling(8, 128, short="repeat"))
    return difference_hash(clip.pixels)


def test_copies_are_near_and_others_are_far(tmp_path, videos):
    ids = list(videos)
    hashes = np.stack([hashes_of(videos[video]) for video in ids])
    copies = {
        "again": swimmer(tmp_path / "a.mp4", 3, left=False, crf=34),
        "brighter": swimmer(tmp_path / "b.mp4", 3, left=False, brightness=1.15),
        "half": swimmer(tmp_path / "h.mp4", 3, left=False, seconds=2.0),
    }
    for path in copies.values():
        apart = distances(hashes_of(path), hashes)
        assert apart.argmin() == 3
        assert apart[3] <= 0.12
    among = np.stack([distances(each, hashes) for each in hashes])
    assert (among[~np.eye(len(ids), dtype=bool)] > 0.12).all()
    assert not among.diagonal().any()
    assert BITS == 144


def test_blank_frames_are_no_evidence(tmp_path):
    blank = np.zeros((8, 3), np.uint64)
    assert distances(blank, blank[None]).tolist() == [1.0]


def test_pairs_of_the_same_bytes_are_exact(videos):
    hashes = np.stack([hashes_of(videos["swim-00"])] * 2 + [hashes_of(videos["swim-05"])])
    pairs = list(near_pairs(["a", "b", "c"], ["x", "x", "y"], hashes, 0.12))
    assert [(pair.video_a, pair.video_b, pair.kind, pair.distance) for pair in pairs] == [("a", "b", "exact", 0.0)]


def test_a_shard_with_one_more_video_reads_that_one_alone(tmp_path, videos, spec):
    def make(count):
        given = list(videos.items())[:count]
        paths = {"clips": tmp_path / "c.parquet", "sources": tmp_path / "s.parquet"}
        return make_shard(given, spec, tmp_path / "store", notes=tmp_path / "work", **paths)

    assert make(2)["read"] == 2
    before = read_table(tmp_path / "c.parquet", CLIPS).to_pylist()
    assert make(3)["read"] == 1
    assert read_table(tmp_path / "c.parquet", CLIPS).to_pylist()[: len(before)] == before
    clip_path(tmp_path / "store", before[0]["key"]).unlink()
    assert make(3)["read"] == 1


def test_compressed_clips_hold_the_same_pixels(tmp_path, videos, spec):
    packed = replace(spec, compression="zstd")
    row = make_video("swim-00", videos["swim-00"], packed, tmp_path / "packed")[0][0]
    plain = make_video("swim-00", videos["swim-00"], spec, tmp_path / "plain")[0][0]
    assert row["key"] == plain["key"]
    assert np.array_equal(
        get_clip(tmp_path / "packed", row["key"], row["sha256"]),
        get_clip(tmp_path / "plain", row["key"], row["sha256"]),
    )
    sizes = [clip_path(tmp_path / name, row["key"]).stat().st_size for name in ("packed", "plain")]
    assert sizes[0] < sizes[1]
