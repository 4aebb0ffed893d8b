import itertools

import numpy as np
import pytest

from longtake.gradients.clips import (
    ObjectTrack,
    Region,
    boxes_at,
    choose_clips,
    clip_region,
    crop,
    crop_mask,
    even_clips,
    read_tracks,
)
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

WINDOW = Window("pond", 1, 0, 240, 0, 200, 0.0, 12.0)


def track_of(frames, box=lambda frame: (10.0, 20.0, 30.0, 40.0), name="eel-1"):
    frames = np.array(list(frames), dtype=np.int64)
    return ObjectTrack(name, "eel", frames, np.array([box(f) for f in frames], float), {}, (100, 200))


def choose(track, processed, window=WINDOW, **changes):
    options = {"n_frames": 31, "stride": 1, "clips_per_window": 2, "aspect": 1.0, "margin": 0.25, **changes}
    return choose_clips(np.array(list(processed), dtype=np.int64), track, window, **options)


def spans(clips):
    return [(clip.frames[0], clip.frames[-1]) for clip in clips]


def test_one_clip_in_each_half_of_the_emitted_range():
    clips = choose(track_of(range(240)), range(240))
    assert [clip.clip for clip in clips] == [0, 1]
    assert all(clip.status == "ok" and len(clip.frames) == 31 for clip in clips)
    # Equal areas: the earliest whose centre (start + 15) lies in 0..99 and in 100..199.
    assert spans(clips) == [(0, 30), (85, 115)]


def test_the_largest_animal_is_taken():
    def box(frame):
        reach = 30 - abs(frame - 150) / 10
        return (50 - reach, 50 - reach, 50 + reach, 50 + reach)

    clips = choose(track_of(range(240), box), range(240))
    assert spans(clips)[1] == (135, 165)
    # In the first half the animal grows, so its last clip (centre 99) is the largest.
    assert spans(clips)[0] == (84, 114)


def test_centres_lie_in_the_emitted_range_while_frames_may_reach_over_its_end():
    late = Window("pond", 0, 0, 240, 180, 200, 0, 12)
    clips = choose(track_of(range(240)), range(240), late, clips_per_window=1)
    assert spans(clips) == [(165, 195)]
    grows = choose(track_of(range(240), lambda f: (0, 0, f + 1, 10)), range(240), late, clips_per_window=1)
    assert spans(grows) == [(184, 214)]


def test_clips_of_neighbouring_windows_have_different_centres():
    track = track_of(range(400))
    windows = [Window("pond", k, 100 * k, 100 * k + 160, 100 * k, 100 * k + 100, 0, 0) for k in range(3)]
    centres = [c.frames[15] for w in windows for c in choose(track, range(400), w, clips_per_window=3)]
    assert len(set(centres)) == len(centres)
    assert all(w.emit_start <= c.frames[15] < w.emit_stop for w in windows for c in choose(track, range(400), w))


def test_visible_in_every_processed_frame():
    """Hidden on frame 60 of a grid of 20: clips lie before or behind, though 60 itself is only one sample."""
    processed = range(0, 240, 20)
    clips = choose(track_of(f for f in processed if f != 60), processed, clips_per_window=4)
    assert spans(clips) == [(0, 30), (80, 110), (111, 141), (142, 172)]
    assert all(not 40 < frame < 80 for clip in clips for frame in clip.frames)


def test_too_short_fails_with_the_reason_and_absent_is_no_failure():
    (failed,) = choose(track_of(range(50, 64)), range(240))
    assert failed.status == "failed"
    assert failed.reason == "visible for at most 14 frames in a row around here; a clip needs 31"
    assert failed.frames == ()
    assert failed.region is None
    # Visible only beyond the emitted range: the next window's business.
    assert choose(track_of(range(205, 240)), range(240), clips_per_window=1) == []


def test_a_clip_without_company_goes_before_a_larger_one():
    def near(frame):
        return (50.0, 50, 70 + frame / 20, 70)

    visitor = track_of(range(150, 200), lambda f: (60.0, 60, 80, 80), "cod-2")
    far = track_of(range(240), lambda f: (160.0, 0, 200, 30), "ray-3")
    (alone,) = choose(track_of(range(240), near), range(240), clips_per_window=1)
    assert spans([alone]) == [(184, 214)]
    (clip,) = choose(track_of(range(240), near), range(240), clips_per_window=1, others=[visitor, far])
    assert spans([clip]) == [(119, 149)]


def test_stride_spreads_the_frames():
    (clip,) = choose(track_of(range(240)), range(240), stride=4, clips_per_window=1)
    assert clip.frames[:3] == (0, 4, 8)
    assert clip.frames[-1] == 120
    assert clip.stride == 4


def test_clips_of_an_object_do_not_overlap():
    clips = choose(track_of(range(240)), range(240), clips_per_window=20)
    assert all(a.frames[-1] < b.frames[0] for a, b in itertools.pairwise(clips))
    # 31 frames each, centres within 200 frames.
    assert len(clips) == 6


def test_boxes_between_processed_frames_are_linear():
    track = track_of([0, 10], lambda f: (f, 0, f + 20, 10 + f))
    assert boxes_at(track, np.array([5]))[0].tolist() == [5, 0, 25, 15]


def test_region_is_a_square_around_the_union_with_margin():
    boxes = np.array([[40.0, 40, 60, 50], [60, 40, 80, 60]])
    # Union 40..80 x 40..60: longer side 40, margin 10 on each side: 60 wide; centre (60, 50).
    assert clip_region(boxes, 1.0, 0.25, 100, 200) == (Region(30, 20, 90, 80), True)


def test_region_is_shifted_inside_and_gives_up_its_margin():
    corner = np.array([[0.0, 0, 20, 20]])
    assert clip_region(corner, 1.0, 0.25, 100, 200) == (Region(0, 0, 30, 30), True)
    tall = np.array([[90.0, 5, 110, 95]])
    assert clip_region(tall, 1.0, 0.25, 100, 200) == (Region(50, 0, 150, 100), True)


def test_a_way_longer_than_the_frame_is_high_is_approximate():
    region, fits = clip_region(np.array([[20.0, 40, 170, 60]]), 1.0, 0.25, 100, 200)
    assert not fits
    assert region == Region(20, 0, 170, 100)
    (clip,) = choose(track_of(range(240), lambda f: (20, 40, 170, 60)), range(240), clips_per_window=1)
    assert clip.status == "approximate"
    assert "undistorted" in clip.reason


def test_whole_frame_and_native_aspect():
    assert clip_region(np.array([[0.0, 0, 9, 9]]), None, 0.25, 100, 200) == (Region(0, 0, 200, 100), True)
    region, fits = clip_region(np.array([[40.0, 40, 60, 60]]), 2.0, 0.25, 100, 200)
    assert fits
    assert (region.width, region.height) == (60, 30)


def test_crops_keep_colours_and_places():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 30:40] = (200, 100, 50)
    cut = crop(pixels, Region(30, 10, 50, 30), 10, 10)
    assert cut.shape == (10, 10, 3)
    assert (cut[:5, :5] == (200, 100, 50)).all()
    assert not cut[5:].any()
    mask = crop_mask(pixels[..., 0] > 0, Region(30, 10, 50, 30), 10, 10)
    assert mask[:5, :5].all()
    assert mask.sum() == 25
    assert crop(pixels, Region(0, 0, 6, 4), 8, 12).shape == (8, 12, 3)


def even(window=WINDOW, **changes):
    options = {"n_frames": 31, "stride": 1, "clips_per_window": 2, **changes}
    return even_clips(window, name="frame", label="eel", size=(100, 200), **options)


def test_even_clips_lie_in_the_middle_of_equal_parts():
    clips = even()
    # Emitted 0..199: middles of the halves are 50 and 150.
    assert spans(clips) == [(35, 65), (135, 165)]
    assert [clip.frames[15] for clip in clips] == [50, 150]
    assert all(clip.region == Region(0, 0, 200, 100) and clip.status == "ok" for clip in clips)
    assert spans(even(stride=4)) == [(0, 120)]  # the second would begin at 90, inside the first


def test_even_clips_stay_in_the_window_and_do_not_overlap():
    start = Window("pond", 0, 0, 240, 0, 20, 0, 12)
    assert spans(even(start)) == [(0, 30)]
    end = Window("pond", 1, 200, 240, 220, 240, 0, 12)
    assert spans(even(end)) == [(209, 239)]
    assert all(a.frames[-1] < b.frames[0] for a, b in itertools.pairwise(even(clips_per_window=50)))
    (failed,) = even(Window("pond", 1, 220, 240, 225, 240, 0, 12))
    assert (failed.status, failed.frames) == ("failed", ())
    assert failed.reason == "no clip of 31 frames with its centre in this window fits into frames 220 to 239"


@pytest.fixture
def detections(tmp_path):
    rows = []
    for frame in range(0, 300, 30):
        for name, visible in (("eel-1", frame != 60), ("jelly-2", False)):
            box = {"x_min": 1.0, "y_min": 2.0, "x_max": 30.0, "y_max": 40.0, "mask": "abc"} if visible else {}
            rows.append(
                {"video": "pond", "frame": frame, "time_s": frame / 20, "object": name, "label": name[:-2]}
                | {"height": 100, "width": 200, "score": 1.0, "visible": visible, "prompted": False}
                | {"window": 1, "status": "ok", "direction": "forward"}
                | box
            )
    write_table(tmp_path / "detections.parquet", rows, DETECTIONS)
    return tmp_path / "detections.parquet"


def test_read_tracks_takes_the_frames_that_the_window_emits(detections):
    processed, tracks = read_tracks(detections, WINDOW)
    assert processed.tolist() == list(range(0, 200, 30))
    (track,) = tracks
    assert (track.object, track.label, track.size) == ("eel-1", "eel", (100, 200))
    assert track.frames.tolist() == [0, 30, 90, 120, 150, 180]
    assert track.boxes[0].tolist() == [1, 2, 30, 40]
    assert set(track.masks) == set(track.frames.tolist())
