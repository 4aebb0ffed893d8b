"""A file is known by its stamp, and told from another by every byte of it."""

import json
import os

import pytest

from longtake.sources import ABSENT, Stamps, content_digest, stamp

BYTES = bytes(range(256)) * 4096  # a MiB: more than sixteen blocks of 64 KiB would see


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pictures"
    path.mkdir()
    for number in range(3):
        (path / f"{number}.png").write_bytes(BYTES[number:])
    (path / "notes.txt").write_text("no picture")
    return path


def in_place(path, place):
    """Change one byte, and set the time of modification back, as a copy that keeps times leaves it."""
    looked_at = path.stat()
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(looked_at.st_atime_ns, looked_at.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) == (
        looked_at.st_size, looked_at.st_mtime_ns, looked_at.st_ino
    )  # fmt: skip


@pytest.mark.parametrize("place", [0, 65_536 + 7, 100_001, len(BYTES) - 1])
def test_one_byte_anywhere_is_seen_whatever_the_times_say(video, place):
    before = stamp(video), content_digest(video)
    in_place(video, place)
    assert stamp(video) != before[0]
    assert content_digest(video) != before[1]


def test_an_older_file_put_in_its_place_is_seen(video, tmp_path):
    before = stamp(video), content_digest(video)
    other = tmp_path / "other.mp4"
    other.write_bytes(BYTES[::-1])
    os.utime(other, (1e9, 1e9))
    other.replace(video)
    assert video.stat().st_mtime < 1.1e9
    assert stamp(video) != before[0]
    assert content_digest(video) != before[1]


def test_a_picture_written_in_place_and_one_renamed_are_seen(folder):
    before = stamp(folder), content_digest(folder)
    (folder / "notes.txt").write_text("other notes")
    assert (stamp(folder), content_digest(folder)) == before, "what is no picture does not count"
    in_place(folder / "1.png", 70_000)
    changed = stamp(folder), content_digest(folder)
    (folder / "2.png").rename(folder / "3.png")
    renamed = stamp(folder), content_digest(folder)
    assert len({before[0], changed[0], renamed[0]}) == len({before[1], changed[1], renamed[1]}) == 3


def test_what_is_not_there_has_no_stamp(tmp_path):
    assert stamp(tmp_path / "gone.mp4") == ABSENT


def test_a_stamp_reads_nothing_and_a_digest_reads_once(video, monkeypatch):
    content_digest(video)
    monkeypatch.setattr("pathlib.Path.open", None)
    assert stamp(video) != ABSENT
    assert content_digest(video) == content_digest(str(video))


@pytest.fixture
def summary(video, tmp_path):
    path = tmp_path / "a.json"
    facts = {"stamp": stamp(video), "content": content_digest(video), "source_bytes": video.stat().st_size}
    path.write_text(json.dumps(facts))
    return path


def test_a_video_that_was_only_touched_keeps_the_stamp_of_its_probe(video, summary):
    known = stamp(video)
    os.utime(video, (1e9, 1e9))
    assert stamp(video) != known
    assert Stamps().of(str(video), summary) == known
    in_place(video, 500)
    assert Stamps().of(str(video), summary) == stamp(video)


def test_a_driver_reads_only_so_much_to_find_out(video, summary):
    known = stamp(video)
    video.touch()
    stamps = Stamps(left=len(BYTES) + 10)
    assert stamps.of(str(video), summary) == known
    assert stamps.left == 10
    assert stamps.of(str(video), summary) == stamp(video), "left to the probe"
    assert Stamps().of(str(video), summary.with_name("none.json")) == stamp(video)
    assert Stamps(left=0).of(str(video), summary) == stamp(video)
