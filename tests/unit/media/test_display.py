"""Source pixels are those that people see: square, and upright."""

from fractions import Fraction

import numpy as np
import pytest

from longtake.errors import UnreadableVideo
from longtake.media.geometry import Geometry, pixel_aspect
from longtake.media.index import index_video
from longtake.media.index_file import load_index, save_index
from longtake.media.probe import probe_video
from longtake.media.reader import read_frames

WAY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


@pytest.fixture
def squeezed(tmp_path, encode_clip, run_ffmpeg):
    """A function: a clip of 128 x 96 stored pixels of a given aspect, turned by some degrees."""

    def make(aspect, rotation=0):
        plain = encode_clip(tmp_path / "plain.mp4", frames=24, rotation=rotation)
        path = tmp_path / "squeezed.mp4"
        tag = f"h264_metadata=sample_aspect_ratio={aspect}"
        run_ffmpeg(["-i", str(plain.path), "-c", "copy", "-bsf:v", tag, "-aspect", _display(aspect), str(path)])
        return path

    return make


def _display(aspect):
    shown = Fraction(128, 96) * Fraction(aspect)
    return f"{shown.numerator}:{shown.denominator}"


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        ("4/3", 0, (171, 96)),
        ("3/4", 0, (128, 128)),
        ("1/1", 0, (128, 96)),
        ("4/3", 90, (96, 171)),
        ("2/1", 180, (256, 96)),
    ],
)
def test_the_size_is_the_displayed_one(squeezed, tmp_path, barcode, aspect, rotation, size):
    path = squeezed(aspect, -rotation)
    index = index_video(path)
    assert (index.width, index.height) == size
    save_index(index, tmp_path / "i.parquet")
    index = load_index(tmp_path / "i.parquet", path)
    (frame,) = read_frames(index, [13])
    assert frame.pixels.shape == (size[1], size[0], 3)
    assert index.rotation == rotation
    # Turned back and at the stored shape, the number can be read: nothing was cut.
    upright = np.rot90(frame.pixels, k=rotation // 90)
    columns = (np.arange(128) + 0.5) * upright.shape[1] / 128
    rows = (np.arange(96) + 0.5) * upright.shape[0] / 96
    assert barcode(np.ascontiguousarray(upright[rows.astype(int)][:, columns.astype(int)])) == 13
    told = probe_video(path)
    assert Fraction(told["pixel_aspect"]) == Fraction(aspect)
    assert ("128 x 96 stored, shown and counted as" in told["reason"]) == (aspect != "1/1")


def test_a_box_drawn_on_the_display_is_where_it_was_drawn(squeezed):
    """The white bar of bit 0 spans a ninth of the picture, stored or shown."""
    index = index_video(squeezed("2/1"))
    (frame,) = read_frames(index, [1])
    white = frame.pixels[12].mean(axis=1) > 128
    first, last = np.flatnonzero(white)[[0, -1]]
    assert (first, last) == (pytest.approx(0, abs=2), pytest.approx(27, abs=2))
    (half,) = read_frames(index, [1], size=(128, 48))
    assert half.pixels.shape == (48, 128, 3)


def grown(data, extra):
    """The boxes of an MP4 on the way to its first sample entry, each longer by `extra`, which ends that entry."""
    if data[4:8] not in WAY:
        return data
    skip = {b"stsd": 16, b"avc1": len(data)}.get(data[4:8], 8)
    inside, at, parts = data[skip:], 0, []
    while at < len(inside):
        length = int.from_bytes(inside[at : at + 4], "big")
        parts.append(grown(inside[at : at + length], extra))
        at += length
    body = data[8:skip] + b"".join(parts) + (extra if data[4:8] == b"avc1" else b"")
    return (len(body) + 8).to_bytes(4, "big") + data[4:8] + body


@pytest.mark.parametrize(("shown", "refused"), [((120, 90), True), ((128, 96), False)])
def test_a_clean_aperture_is_refused_where_it_is_not_the_picture(tmp_path, encode_clip, shown, refused):
    plain = encode_clip(tmp_path / "plain.mp4", frames=24).path.read_bytes()
    at = plain.find(b"moov") - 4
    numbers = (shown[0], 1, shown[1], 1, 0, 1, 0, 1)
    clap = (40).to_bytes(4, "big") + b"clap" + b"".join(number.to_bytes(4, "big") for number in numbers)
    length = int.from_bytes(plain[at : at + 4], "big")
    path = tmp_path / "clap.mp4"
    # The header lies behind the pictures, so that nothing in the file moves.
    path.write_bytes(plain[:at] + grown(plain[at : at + length], clap) + plain[at + length :])
    facts = probe_video(path)
    assert (facts["status"] == "unreadable") == refused
    assert ("its header wants 120 x 90 of its 128 x 96 pixels shown" in facts["reason"]) == refused


@pytest.mark.parametrize(("side", "shown"), [("54aa", (128, 88)), ("54bb", (128, 88)), ("54cc", (120, 96))])
def test_what_matroska_wants_cropped_is_refused(tmp_path, encode_clip, run_ffmpeg, side, shown):
    plain = encode_clip(tmp_path / "plain.mp4", frames=24)
    path = tmp_path / "crop.mkv"
    run_ffmpeg(["-i", str(plain.path), "-c", "copy", "-aspect", "2:1", str(path)])
    data = path.read_bytes()
    wide = data.find(bytes.fromhex("54b081"))
    assert wide > 0, "the width on display, an element as long as the one in its place"
    assert "wants" not in probe_video(path)["reason"]
    path.write_bytes(data[:wide] + bytes.fromhex(f"{side}8108") + data[wide + 4 :])
    facts = probe_video(path)
    assert facts["status"] == "unreadable"
    assert f"wants {shown[0]} x {shown[1]} of its 128 x 96 pixels shown" in facts["reason"]


def test_geometry_by_hand():
    stored = Geometry(720, 576, Fraction(16, 15), 90, mirrored=False)
    assert stored.size == (576, 768)
    assert stored.before_turning((288, 384)) == (384, 288)
    assert Geometry(720, 480, Fraction(8, 9), 0, mirrored=False).size == (720, 540)


def test_an_aspect_that_no_pixel_has_is_refused():
    assert pixel_aspect(None) == pixel_aspect(Fraction(0)) == 1
    with pytest.raises(ValueError, match="100 times as wide as high"):
        pixel_aspect(Fraction(100))
    assert issubclass(UnreadableVideo, Exception)
