"""The annotated video: right frames, right times, right pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from longtake import masks
from longtake.errors import SchemaError
from longtake.export.drawing import color_of, draw_caption, draw_objects
from longtake.export.overlay import overlay_stills, write_overlay
from longtake.export.rows import WindowOf, by_frame, rows_at
from longtake.figures.style import looks
from longtake.media.index import index_video
from longtake.media.reader import read_frames
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table, write_table

SPECIES = ("perch", "Äsche")
N, INTERVAL, BASE = 30, 5, 90
FRAMES = list(range(0, N, INTERVAL))


def test_processed_frames_keep_their_times(make_clip: Any, tmp_path: Path) -> None:
    clip, out = make_clip(), tmp_path / "overlay.mp4"
    seen: list[tuple[int, int]] = []
    facts = write_overlay(
        **clip.arguments(), frame_interval=INTERVAL, species=SPECIES, out=out,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert facts == {"frames": 6, "frames_missing": 0, "width": 160, "height": 96}
    source, written = index_video(clip.video_path), index_video(out)
    times = [written.time_s(k) for k in range(written.n_frames)]
    assert times == pytest.approx([source.time_s(frame) for frame in FRAMES])
    assert seen == [(k, 6) for k in range(1, 7)]


@pytest.mark.parametrize(("interval", "last_frame"), [(5, 25), (7, 28), (1, 29)])
def test_the_last_frame_is_shown_to_the_end_of_the_video(
    make_clip: Any, tmp_path: Path, interval: int, last_frame: int
) -> None:
    clip, out = make_clip(), tmp_path / "overlay.mp4"
    write_overlay(**clip.arguments(), frame_interval=interval, species=SPECIES, out=out)
    source = index_video(clip.video_path)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        last = max(packets, key=lambda packet: packet.pts)
        shown = float((last.pts + last.duration - min(packet.pts for packet in packets)) * stream.time_base)
        duration = float(stream.duration * stream.time_base)
    left_s, tick_s = source.duration_s - source.time_s(last_frame), float(source.time_base)
    assert float(last.duration * stream.time_base) == pytest.approx(left_s, abs=tick_s)
    assert (shown, duration) == pytest.approx((source.duration_s, source.duration_s), abs=tick_s)


def test_masks_are_where_the_objects_are(make_clip: Any, tmp_path: Path) -> None:
    clip, out = make_clip(), tmp_path / "overlay.mp4"
    write_overlay(**clip.arguments(), frame_interval=INTERVAL, species=SPECIES, out=out)
    frames = [frame.pixels.astype(int) for frame in read_frames(index_video(out), range(6))]
    for k, frame in enumerate(FRAMES):
        inside = frames[k][66:74, 16 + 4 * frame : 24 + 4 * frame]
        changed = np.abs(inside - BASE).max() > 20
        assert changed == (frame != 15), f"frame {frame}"
    # Away from masks, tags and caption the source is untouched but for the codec.
    assert np.abs(frames[0][5:40, 100:155] - BASE).max() < 8


def test_all_frames_hold_the_last_masks(make_clip: Any, tmp_path: Path) -> None:
    clip, out = make_clip(), tmp_path / "overlay.mp4"
    facts = write_overlay(**clip.arguments(), frame_interval=INTERVAL, species=SPECIES, out=out, every_frame=True)
    assert facts["frames"] == N
    frames = [frame.pixels.astype(int) for frame in read_frames(index_video(out), range(N))]
    held = [bool(np.abs(frame[66:74, 36:44] - BASE).max() > 20) for frame in frames]
    # The square of processed frame 5 lies there, and stays until frame 10 is processed.
    assert [k for k, seen in enumerate(held) if seen] == [5, 6, 7, 8, 9]


def test_the_output_is_never_larger_than_the_source(make_clip: Any, tmp_path: Path) -> None:
    clip = make_clip()
    facts = write_overlay(
        **clip.arguments(), frame_interval=INTERVAL, species=SPECIES, out=tmp_path / "small.mp4", width=81
    )
    assert (facts["width"], facts["height"]) == (82, 50)


def test_stills_show_the_fullest_frames(make_clip: Any) -> None:
    stills = overlay_stills(**make_clip().arguments(), species=SPECIES, n=3, width=160)
    assert [time_s for time_s, _ in stills] == pytest.approx([0.0, 0.4, 0.813])
    assert stills[0][1].shape == (96, 160, 3)


def test_no_detection_gives_no_still(make_clip: Any) -> None:
    clip = make_clip()
    write_table(clip.detections, [], DETECTIONS)
    assert overlay_stills(**clip.arguments(), species=SPECIES) == []


def row(mask: np.ndarray, label: str = "perch") -> dict[str, Any]:
    edges = dict(zip(("x_min", "y_min", "x_max", "y_max"), masks.box(mask) or (), strict=True))
    height, width = mask.shape
    return {
        "mask": masks.encode(mask), "height": height, "width": width, "visible": True, "object": "s1",
        "label": label, **edges,
    }  # fmt: skip


def test_masks_are_scaled_to_the_frame() -> None:
    mask = np.zeros((200, 400), dtype=bool)
    mask[100:180, 100:200] = True
    known = looks(["perch"])
    drawn = draw_objects(np.zeros((100, 200, 3), dtype=np.uint8), [row(mask)], known)
    expected = np.array(color_of(known["perch"])) * 0.38
    assert np.allclose(drawn[60:80, 60:90], expected, atol=2)
    assert not drawn[95:, 150:].any()


def test_tags_do_not_cover_each_other() -> None:
    mask = np.zeros((300, 400), dtype=bool)
    mask[150:160, 100:110] = True
    blank = np.zeros((300, 400, 3), dtype=np.uint8)
    known = looks(["perch", "carp"])
    one = draw_objects(blank, [row(mask, "perch")], known)
    two = draw_objects(blank, [row(mask, "perch"), row(mask, "carp")], known)

    def ground(pixels: np.ndarray, label: str) -> int:
        return int((pixels == color_of(known[label])).all(axis=2).sum())

    assert ground(two, "perch") >= ground(one, "perch") > 500
    assert ground(two, "carp") > 500


def test_a_frame_without_objects_is_unchanged() -> None:
    blank = np.full((50, 60, 3), 7, dtype=np.uint8)
    assert (draw_objects(blank, [{"visible": False}], {}) == blank).all()
    assert (draw_caption(blank, 61.25, 3, window=None, n_visible=0) != blank).any()
    assert (blank == 7).all()


def test_rows_of_a_frame_over_batches(make_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    detections = make_clip().detections
    whole = [(frame, [r["object"] for r in rows]) for frame, rows in by_frame(detections)]
    assert whole == [(frame, ["s1", "s2"]) for frame in FRAMES]
    monkeypatch.setattr("longtake.export.rows.BATCH_ROWS", 3)
    assert [(frame, [r["object"] for r in rows]) for frame, rows in by_frame(detections)] == whole
    held = [(frame, len(rows)) for frame, rows in rows_at(detections, iter([4, 5, 8, 29]), hold=3)]
    assert held == [(4, 0), (5, 2), (8, 2), (29, 0)]


def test_rows_out_of_order_are_refused(make_clip: Any) -> None:
    clip = make_clip()
    rows = read_table(clip.detections, DETECTIONS).to_pylist()
    write_table(clip.detections, rows[::-1], DETECTIONS)
    with pytest.raises(SchemaError, match="follows frame"):
        list(by_frame(clip.detections))


def test_window_of_a_frame(make_clip: Any) -> None:
    window_of = WindowOf(make_clip().windows)
    assert [window_of(frame) for frame in (0, 14, 15, 29, 30)] == [0, 0, 1, 1, None]
