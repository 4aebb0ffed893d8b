"""A damaged file gives fewer frames or tainted ones, and says which; it never gives wrong ones silently."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.errors import UnreadableVideo
from longtake.media.index import CORRUPT, KEY, index_video
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames


def damage(source, target, packet, index):
    """Overwrite the first three quarters of one packet, its headers included.

    Noise that happens to parse as video is beyond what any decoder can notice.
    """
    data = bytearray(source.read_bytes())
    start, size = int(index.packet_position[packet]), int(index.packet_size[packet])
    noise = np.random.default_rng(3).integers(0, 256, size, dtype=np.uint8).tobytes()
    data[start : start + 3 * size // 4] = noise[: 3 * size // 4]
    target.write_bytes(data)


@pytest.mark.parametrize("after_key", [0, 4])
@pytest.mark.parametrize("name", ["gop60.mp4", "gop250.mp4", "open_gop.mp4", "hevc.mp4", "gop12.ts", "fragmented.mp4"])
def test_a_corrupt_middle_is_reported_up_to_the_next_keyframe(tmp_path, clip, barcode, name, after_key):
    truth = clip(name)
    sound = index_video(truth.path)
    keys = sound.keys.tolist()
    start = keys[len(keys) // 2 - 1]
    hurt = next(k for k in range(start + after_key, len(sound.packet_pts)) if sound.packet_size[k] > 100)
    bad = tmp_path / name
    damage(truth.path, bad, hurt, sound)
    index = index_video(bad)
    reference = {item.frame: item.pixels for item in read_frames(sound, range(sound.n_frames))}
    missing = []
    given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, _: missing.append(frame)))
    rank = {int(pts): frame for frame, pts in enumerate(sound.pts)}
    tainted = [rank[int(index.pts[item.frame])] for item in given if item.tainted]
    wrong = [
        frame
        for frame, item in ((rank[int(index.pts[item.frame])], item) for item in given)
        if not np.array_equal(item.pixels, reference[frame])
    ]
    assert set(wrong) <= set(tainted)
    assert tainted or missing or "cannot be decoded" in index.facts.reason
    after = next((key for key in keys if key > hurt), len(sound.packet_pts))
    reached = {frame for frame in range(sound.n_frames) if hurt - 2 <= sound.order[frame] < after + 4}
    assert set(tainted) <= reached
    assert all(
        barcode(item.pixels) == truth.numbers[rank[int(index.pts[item.frame])]] for item in given if not item.tainted
    )


def test_damage_that_loses_packets_taints_what_follows_the_gap(tmp_path, clip):
    truth = clip("gop250.mkv")
    sound = index_video(truth.path)
    data = bytearray(truth.path.read_bytes())
    first = int(sound.packet_position[130])
    data[first - 8 : first + 400] = b"\xff" * 408
    bad = tmp_path / "gap.mkv"
    bad.write_bytes(data)
    index = index_video(bad)
    assert index.n_frames < sound.n_frames
    assert np.any(index.packet_flags & CORRUPT)
    reference = {int(sound.pts[item.frame]): item.pixels for item in read_frames(sound, range(sound.n_frames))}
    given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, reason: None))
    wrong = [item.frame for item in given if not np.array_equal(item.pixels, reference[int(index.pts[item.frame])])]
    assert wrong
    assert set(wrong) <= {item.frame for item in given if item.tainted}
    assert not given[0].tainted


@pytest.mark.parametrize("name", ["gop60.mp4", "open_gop.ts", "ten_bit.mp4", "baseline.mp4", "scaled.mkv"])
def test_a_lost_picture_taints_all_that_refers_to_it(tmp_path, clip, remux_clip, name):
    """The decoder says nothing of it; the numbering of the pictures does."""
    truth = clip(name)
    sound = index_video(truth.path)
    reference = {int(sound.pts[item.frame]): item.pixels for item in read_frames(sound, range(sound.n_frames))}
    start, stop = (int(key) for key in [*sound.keys, len(sound.packet_pts)][1:3])
    seen = 0
    for lost in range(start + 1, start + 9):
        index = index_video(remux_clip(truth, tmp_path / f"lost{truth.path.suffix}", drop=lost).path)
        assert index.n_frames == sound.n_frames - 1
        given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, reason: None))
        wrong = {item.frame for item in given if not np.array_equal(item.pixels, reference[int(index.pts[item.frame])])}
        tainted = {item.frame for item in given if item.tainted}
        assert wrong <= tainted
        assert all(lost <= index.order[frame] < stop + 4 for frame in tainted)
        seen += len(wrong)
    assert seen > 20


def test_a_loss_before_a_keyframe_leaves_what_follows_it_sound(clip, tmp_path, remux_clip):
    truth = clip("open_gop.mp4")
    key = int(index_video(truth.path).keys[2])
    index = index_video(remux_clip(truth, tmp_path / "lost.mp4", drop=key - 1).path)
    assert index.packet_flags[key - 1] & KEY
    assert not np.any(index.packet_flags & CORRUPT)


def test_concealed_damage_taints_by_the_log_alone(tmp_path, clip, remux_clip, monkeypatch):
    """Without the numbering: from the decoder's first complaint on, nothing passes as sound."""
    truth = clip("gop60.mp4")
    sound = index_video(truth.path)
    lost = int(sound.keys[1]) + 3
    monkeypatch.setattr("longtake.media.h264.FrameNumbers.follows_gap", lambda self, packet: False)
    index = index_video(remux_clip(truth, tmp_path / "lost.mp4", drop=lost).path)
    reference = {int(sound.pts[item.frame]): item.pixels for item in read_frames(sound, range(sound.n_frames))}
    given = list(read_frames(index, range(index.n_frames)))
    wrong = {item.frame for item in given if not np.array_equal(item.pixels, reference[int(index.pts[item.frame])])}
    tainted = {item.frame for item in given if item.tainted}
    noticed = min(index.order[frame] for frame in tainted)
    assert lost <= noticed <= lost + 3
    assert len(wrong) > 40
    assert {frame for frame in wrong if index.order[frame] >= noticed} <= tainted
    assert all(index.order[frame] < index.keys[2] for frame in tainted)


def test_sound_files_are_not_suspected(clip, barcode_name):
    index = index_video(clip(barcode_name).path)
    assert not np.any(index.packet_flags & CORRUPT)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.95, 0.995])
@pytest.mark.parametrize("name", ["gop60.ts", "gop250.mkv", "fragmented.mp4", "hevc.ts", "faststart.mp4"])
def test_a_truncated_tail_keeps_the_frames_before_it(tmp_path, clip, remux_clip, barcode, name, share):
    if name == "faststart.mp4":
        truth = remux_clip(clip("gop60.mp4"), tmp_path / name, {"movflags": "+faststart"})
    else:
        truth = clip(name)
    data = truth.path.read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(data[: int(len(data) * share)])
    index = index_video(cut)
    rank = {int(pts): frame for frame, pts in enumerate(index_video(truth.path).pts)}
    assert 0.5 * share * len(truth.numbers) < index.n_frames <= len(truth.numbers)
    missing = []
    given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, _: missing.append(frame)))
    sound = [item for item in given if not item.tainted]
    assert len(sound) >= index.n_frames - 6
    assert all(barcode(item.pixels) == truth.numbers[rank[int(index.pts[item.frame])]] for item in sound)


def test_a_header_that_promises_more_frames_is_not_believed(tmp_path, clip, remux_clip):
    truth = remux_clip(clip("gop60.mp4"), tmp_path / "fast.mp4", {"movflags": "+faststart"})
    data = truth.path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    facts = probe_video(cut)
    assert facts["header_frames"] == 200
    assert facts["frames"] < 150


def test_an_mp4_without_its_tail_is_unreadable(tmp_path, clip):
    data = clip("gop60.mp4").path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises(UnreadableVideo, match=r"cut\.mp4"):
        index_video(cut)
    assert probe_video(cut)["status"] == "unreadable"


def test_damage_that_raises_taints_even_where_nothing_is_logged(tmp_path, clip, monkeypatch):
    truth = clip("gop60.mp4")
    sound = index_video(truth.path)
    hurt = int(sound.keys[1]) + 4
    bad = tmp_path / "bad.mp4"
    damage(truth.path, bad, hurt, sound)
    monkeypatch.setattr("longtake.media.complaints.is_error", lambda logs: False)
    monkeypatch.setattr("longtake.media.h264.FrameNumbers.follows_gap", lambda self, packet: False)
    index = index_video(bad)
    given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, reason: None))
    tainted = {item.frame for item in given if item.tainted}
    assert len(tainted) > 40
    assert all(hurt - 1 <= index.order[frame] < index.keys[2] for frame in tainted)


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6, 0.75])
@pytest.mark.parametrize("name", ["mpeg2.ts", "gop60.ts", "gop12.ts"])
def test_noise_in_a_transport_stream_never_passes_as_sound(tmp_path, clip, name, share):
    """Two transport packets are overwritten, headers and all, so whole pictures can be lost."""
    truth = clip(name)
    sound = index_video(truth.path)
    data = bytearray(truth.path.read_bytes())
    place = int(share * len(data))
    data[place : place + 300] = np.random.default_rng(5).integers(0, 256, 300, dtype=np.uint8).tobytes()
    bad = tmp_path / name
    bad.write_bytes(data)
    index = index_video(bad)
    reference = {int(sound.pts[item.frame]): item.pixels for item in read_frames(sound, range(sound.n_frames))}
    given = list(read_frames(index, range(index.n_frames), on_missing=lambda frame, reason: None))
    wrong = {item.frame for item in given if not np.array_equal(item.pixels, reference[int(index.pts[item.frame])])}
    assert wrong <= {item.frame for item in given if item.tainted}
    assert sum(item.tainted for item in given) < 0.7 * len(given)
