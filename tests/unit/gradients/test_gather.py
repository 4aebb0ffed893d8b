import numpy as np
import pytest

from longtake.errors import FrameUnavailable
from longtake.gradients import gather
from longtake.gradients.clips import Clip, Region, crop, read_tracks
from longtake.gradients.gather import gather_clips
from longtake.media.index import index_video
from longtake.media.reader import read_frames

REGION = Region(0, 20, 60, 80)


@pytest.fixture
def index(pond):
    return index_video(pond.video)


@pytest.fixture
def tracks(pond):
    return {track.object: track for track in read_tracks(pond.detections, pond.window)[1]}


def clip(first, *, stride=1, name="eel-1", number=0, region=REGION):
    return Clip(name, name[:3], number, tuple(range(first, first + 9 * stride, stride)), stride, region)


def gathered(index, clips, tracks, **changes):
    options = {"input_size": lambda height, width: (24, 32), "flow_width": 80, **changes}
    return list(gather_clips(index, clips, tracks, **options))


def test_pixels_are_the_crops_of_the_frames(index, tracks):
    (entry,) = gathered(index, [clip(5)], tracks)
    frames = list(read_frames(index, range(5, 14)))
    assert np.array_equal(entry.pixels, np.stack([crop(f.pixels, REGION, 24, 32) for f in frames]))
    assert entry.time_s == [f.time_s for f in frames]


def test_masks_are_cropped_like_the_pixels(index, tracks):
    (entry,) = gathered(index, [clip(5)], tracks, input_size=lambda height, width: (height, width))
    # The eel on frame 5 is 15..39 x 30..50; the crop starts at (0, 20).
    expected = np.zeros((60, 60), bool)
    expected[10:30, 15:39] = True
    assert np.array_equal(entry.inside[0], expected)


def test_motion_starts_at_the_second_frame_and_follows_the_animal(index, tracks):
    (entry,) = gathered(index, [clip(5, stride=2)], tracks)
    assert (entry.motion_frame[0], entry.motion_region[0], entry.motion_object[0]) == (None, None, None)
    assert np.mean(entry.motion_object[1:]) == pytest.approx(2, rel=0.35)
    assert np.mean(entry.motion_frame[1:]) < np.mean(entry.motion_region[1:]) < np.mean(entry.motion_object[1:])


def test_without_a_mask_there_is_no_motion_of_the_object(index, pond):
    tracks = {track.object: track for track in read_tracks(pond.sparse, pond.window)[1]}
    (entry,) = gathered(index, [clip(5)], tracks)
    assert [value is not None for value in entry.motion_object] == [offset == 5 for offset in range(9)]
    assert [mask is not None for mask in entry.inside] == [offset in (0, 5) for offset in range(9)]
    assert None not in entry.motion_region[1:]


def test_one_pass_shares_frames_and_flow_and_hands_on_early(index, tracks, monkeypatch):
    read, flows = [], []
    original = gather.motion_field
    monkeypatch.setattr(gather, "motion_field", lambda *given, **named: flows.append(1) or original(*given, **named))
    options = {"input_size": lambda height, width: (24, 32), "flow_width": 80}
    clips = [clip(12, number=1), clip(5), clip(30, number=2), clip(5, name="cod-2", region=Region(90, 40, 150, 90))]
    order = []
    for entry in gather_clips(index, clips, tracks, progress=lambda done, total: read.append((done, total)), **options):
        order.append((entry.clip.object, entry.clip.clip, len(read)))
    # 5..20 and 30..38 are 25 frames, read once; two clips are done at frame 13, the ninth that is read.
    assert read == [(done, 25) for done in range(1, 26)]
    assert order == [("cod-2", 0, 8), ("eel-1", 0, 8), ("eel-1", 1, 15), ("eel-1", 2, 24)]
    assert len(flows) == 15 + 8


def test_a_missing_frame_fails_its_clips_only(index, tracks, monkeypatch):
    def broken(index, frames):
        for frame in read_frames(index, frames):
            if frame.frame == 15:
                raise FrameUnavailable("frame 15 does not decode")
            yield frame

    monkeypatch.setattr(gather, "read_frames", broken)
    found = gathered(index, [clip(0), clip(12, number=1), clip(15, number=2), clip(16, number=3)], tracks)
    assert len(found) == 4
    assert {entry.clip.clip: entry.clip.status for entry in found} == {0: "ok", 1: "failed", 2: "failed", 3: "ok"}
    assert next(entry for entry in found if entry.clip.clip == 1).clip.reason == "frame 15 does not decode"


def test_damaged_frames_make_a_clip_approximate(index, tracks, monkeypatch):
    def tainted(index, frames):
        for frame in read_frames(index, frames):
            object.__setattr__(frame, "tainted", frame.frame in (7, 8))
            yield frame

    monkeypatch.setattr(gather, "read_frames", tainted)
    first, second = gathered(index, [clip(0), clip(9, number=1)], tracks)
    assert first.clip.status == "approximate"
    assert first.clip.reason == "2 of 9 frames follow a decoding error and may be damaged"
    assert second.clip.status == "ok"
