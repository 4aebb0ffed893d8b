"""A folder of pictures is read like a video: the same calls, the same errors."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from longtake.errors import FrameUnavailable, MediaError, UnreadableVideo
from longtake.media.index import index_video
from longtake.media.index_file import load_index, save_index
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames

N, WIDTH, HEIGHT = 12, 40, 24


def paint(frame):
    pixels = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    pixels[:, : 3 * frame + 1] = (200, 10 * frame, 60)
    return pixels


@pytest.fixture
def folder(tmp_path):
    """Named like YouTube-VIS names them, every fifth of a longer video, and without leading zeros."""
    path = tmp_path / "0065b171f9"
    path.mkdir()
    for frame in range(N):
        Image.fromarray(paint(frame)).save(path / f"{5 * frame}.png")
    (path / "notes.txt").write_text("not a picture")
    (path / "._5.png").write_bytes(b"what some systems leave behind")
    return path


def test_frames_are_the_pictures_in_the_order_of_their_numbers(folder):
    index = index_video(folder, picture_rate=6)
    assert (index.n_frames, index.width, index.height, index.fps) == (N, WIDTH, HEIGHT, 6)
    assert (index.time_base, index.duration_s) == (Fraction(1, 6), pytest.approx(2))
    found = list(read_frames(index, range(0, N, 2)))
    assert [frame.frame for frame in found] == list(range(0, N, 2))
    for frame in found:
        assert np.array_equal(frame.pixels, paint(frame.frame))
        assert frame.pixels.flags.c_contiguous
        assert frame.time_s == pytest.approx(frame.frame / 6)
        assert not frame.tainted


def test_scaling_and_threads(folder):
    index = index_video(folder)
    (half,) = read_frames(index, [3], size=(20, 12), threads=4)
    assert half.pixels.shape == (12, 20, 3)
    assert np.abs(half.pixels.astype(int) - paint(3)[::2, ::2]).mean() < 6


def test_the_index_goes_through_its_file_and_notices_another_picture(folder, tmp_path):
    index = index_video(folder, picture_rate=2.5)
    save_index(index, tmp_path / "i.parquet")
    again = load_index(tmp_path / "i.parquet", folder)
    assert (again.pts.tolist(), again.time_base, again.facts) == (index.pts.tolist(), index.time_base, index.facts)
    assert np.array_equal(next(iter(read_frames(again, [11]))).pixels, paint(11))
    Image.fromarray(paint(0)).save(folder / "55.png")
    with pytest.raises(MediaError, match="other content"):
        load_index(tmp_path / "i.parquet", folder)


def test_facts(folder):
    facts = probe_video(folder)
    assert (facts["status"], facts["frames"], facts["container"], facts["codec"]) == ("ok", N, "pictures", "png")
    assert (facts["keyframes"], facts["variable_rate"]) == (N, False)


def test_pictures_on_their_side_are_turned_once(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(paint(2)).save(tmp_path / "0.jpg", exif=exif, quality=95)
    index = index_video(tmp_path)
    assert (index.width, index.height) == (HEIGHT, WIDTH)
    (frame,) = read_frames(index, [0])
    assert np.abs(frame.pixels.astype(int) - np.rot90(paint(2), -1)).mean() < 6


def test_what_is_no_video(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableVideo, match="a folder without pictures"):
        index_video(tmp_path / "empty")
    Image.fromarray(paint(0)[:-1]).save(folder / "99.png")
    with pytest.raises(UnreadableVideo, match=r"99\.png: 40 x 23 pixels, but 0\.png has 40 x 24"):
        index_video(folder)
    (folder / "99.png").write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(UnreadableVideo, match=r"99\.png: not a picture"):
        index_video(folder)
    assert probe_video(folder)["status"] == "unreadable"


def test_a_picture_cut_short_is_missing_and_never_replaced(folder):
    index = index_video(folder)
    path = folder / "25.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FrameUnavailable, match="frame 5 does not decode"):
        list(read_frames(index, range(N)))
    missing = []
    found = [f.frame for f in read_frames(index, range(N), on_missing=lambda frame, reason: missing.append(frame))]
    assert (missing, found) == ([5], [k for k in range(N) if k != 5])


@pytest.mark.parametrize(("frames", "error"), [([3, 3], ValueError), ([N], FrameUnavailable), ([5, 2], ValueError)])
def test_frames_must_exist_and_ascend(folder, frames, error):
    with pytest.raises(error):
        list(read_frames(index_video(folder), frames))
