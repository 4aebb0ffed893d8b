"""Sheets: what is wrong is said with row, value and remedy, before any job."""

import json
import os
from dataclasses import asdict

import pytest

from longtake.annotate.sheet import Prompt, mask_digest, most_at_once, most_prompted, read_prompts
from longtake.errors import SheetError
from longtake.settings.videos import read_videos


@pytest.fixture
def sheet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.mp4").touch()

    def write(*lines, name="sheet.tsv"):
        path = tmp_path / name
        path.write_text("".join("\t".join(line.split("|")) + "\n" for line in lines), encoding="utf-8")
        return path

    return write


def test_videos_read(sheet):
    (video,) = read_videos(sheet("video|path|species", "# a remark", "", "pond-1|a b.mp4|darter"))
    assert (video.video, video.path, video.species, video.row) == ("pond-1", "a b.mp4", "darter", 4)


def test_a_byte_order_mark_is_no_column(sheet, tmp_path):
    path = sheet("video|path", "x|a b.mp4")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_videos(path)[0].video == "x"


def test_the_header_may_stand_below_remarks(sheet):
    (video,) = read_videos(sheet("", "# video and path, by hand", "#", "video|path", "", "x|a b.mp4"))
    assert (video.video, video.row) == ("x", 6)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_ends_of_lines_end_lines(sheet, tmp_path, end):
    name = "a\x85b\u2028c.mp4"
    (tmp_path / name).touch()
    path = sheet(name="videos.tsv")
    path.write_bytes(end.join(["video\tpath\tspecies", f"x\t{name}\teel", "y\ta b.mp4\tcod"]).encode())
    assert [(video.path, video.species, video.row) for video in read_videos(path)] == [
        (name, "eel", 2),
        ("a b.mp4", "cod", 3),
    ]


def test_names_that_are_just_short_enough(sheet):
    (video,) = read_videos(sheet("video|path|species", f"x|a b.mp4|{'ü' * 100}"))
    assert len(video.species) == 100


def test_an_object_may_be_wanted_on_the_first_frame_alone(sheet):
    (one,) = read_prompts(sheet("video|object|frame|points|until_s", "v|a|0|3,4|0"), ["v"])["v"]
    assert one.until_s == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["video|path"], ["holds no video"]),
        (["vidoe|path", "x|a b.mp4"], ["'vidoe'", "Did you mean 'video'?"]),
        (["video|species", "x|y"], ["'path' is missing"]),
        (["video,path", "x,a b.mp4"], ["tabs"]),
        (["video|path|path", "x|y|z"], ["column 'path'"]),
        (["video|path", "x|a b.mp4", "x|a b.mp4"], ["row 3", "'x'", "row 2"]),
        (["video|path", "x|a b.mp4", "X|a b.mp4"], ["row 3", "'x'"]),
        (["video|path", "x|missing.mp4"], ["row 2", "'missing.mp4'", "does not exist"]),
        (["video|path", "../x|a b.mp4"], ["row 2", "'../x'", "letters"]),
        (["video|path", "a/b|a b.mp4"], ["'a/b'"]),
        (["video|path", ".hidden|a b.mp4"], ["'.hidden'"]),
        (["video|path", "x y|a b.mp4"], ["'x y'"]),
        (["video|path", "x'; rm|a b.mp4"], ["rm"]),
        (["video|path", "é|a b.mp4"], ["'é'"]),
        (["video|path", f"{'x' * 101}|a b.mp4"], ["xxx"]),
        (["video|path", "|a b.mp4"], ["column video is empty"]),
        (["video|path", "x|"], ["column path is empty"]),
        (["video|path", "x|a b.mp4|y|z"], ["row 2", "4 cells"]),
        (["video|path", "x|http://example.org/a.mp4"], ["address", "local files"]),
        (["video|path", "x|rtsp://10.0.0.1/a"], ["address"]),
        (["video|path", "x|concat:a|b"], ["cells"]),
    ],
)
def test_bad_videos(sheet, lines, words):
    with pytest.raises(SheetError) as caught:
        read_videos(sheet(*lines))
    for word in words:
        assert word in str(caught.value)


def test_a_sheet_that_does_not_exist_or_is_no_text(sheet, tmp_path):
    with pytest.raises(SheetError, match="nowhere"):
        read_videos(tmp_path / "nowhere.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"video\tpath\n\xe9\xff\tb\n")
    with pytest.raises(SheetError, match="UTF-8"):
        read_videos(tmp_path / "latin.tsv")


def test_rendered_videos_may_be_missing(sheet):
    assert read_videos(sheet("video|path", "x|later.mp4"), rendered=True)


HEADER = "video|object|label|frame|time_s|x_min|y_min|x_max|y_max|points|negative_points|mask|until_s"


def test_prompts_read(sheet):
    found = read_prompts(sheet(HEADER, "v|o1|eel|12||1|2|3.5|4||||", "v|o2|||0.5|1|2|3|4||||9"), ["v", "w"])
    first, second = found["v"]
    assert (first.frame, first.time_s, first.box, first.label) == (12, None, (1, 2, 3.5, 4), "eel")
    assert (second.frame, second.time_s, second.until_s, second.row) == (None, 0.5, 9.0, 3)
    assert first.kind == "box"
    assert found["w"] == []


def test_points_and_masks_read(sheet, tmp_path):
    (tmp_path / "it.png").touch()
    lines = [
        "v|a||0|||||| 4,5  6.5,-7e0 |||",
        "v|b||0||1|2|3|4||2,2||",
        "v|c||0|||||||| PPYo0Z1 |",
        "v|d||0||||||||it.png|",
        "v|e||0||1|2|3|4|2,3|0,0||",
    ]
    points, box, run_lengths, file, both = read_prompts(sheet(HEADER, *lines), ["v"])["v"]
    assert (points.kind, points.points, points.box) == ("points", ((4, 5), (6.5, -7)), None)
    assert (box.kind, box.negative_points) == ("box and points", ((2, 2),))
    assert (run_lengths.kind, run_lengths.mask, run_lengths.mask_file) == ("mask", "PPYo0Z1", "")
    assert (file.kind, file.mask_file) == ("mask", "it.png")
    assert both.kind == "box and points"


def test_prompts_are_plain_values(sheet):
    """They travel through the workflow's params: as JSON, and as keys."""
    (one,) = read_prompts(sheet(HEADER, "v|a||0||||||4,5 6,7|8,9||"), ["v"])["v"]
    again = json.loads(json.dumps(asdict(one)))
    assert again["points"] == [[4, 5], [6, 7]]
    assert hash(one) == hash(Prompt(**asdict(one)))


def test_a_sheet_needs_the_columns_that_it_uses_alone(sheet):
    (one,) = read_prompts(sheet("video|object|time_s|points", "v|a|0.5|3,4"), ["v"])["v"]
    assert (one.points, one.box, one.mask, one.until_s) == (((3, 4),), None, "", None)


def test_a_long_mask(sheet):
    (one,) = read_prompts(sheet("video|object|frame|mask", f"v|a|0|{'P1' * 200_000}"), ["v"])["v"]
    assert len(one.mask) == 400_000


BAD_PROMPTS = {
    "unknown video": ("u|o|||0.5|1|2|3|4||||", ["row 2", "'u'"]),
    "neither frame nor time": ("v|o|||| 1|2|3|4||||", ["row 2", "either frame or time_s"]),
    "frame and time": ("v|o||3|0.5|1|2|3|4||||", ["either frame or time_s"]),
    "box without width": ("v|o||3||3|2|3|4||||", ["x 3 to 3", "empty", "'o'"]),
    "box upside down": ("v|o||3||1|4|3|2||||", ["y 4 to 2", "empty"]),
    "no number": ("v|o||3||a|2|3|4||||", ["x_min is 'a'"]),
    "not a number": ("v|o||3||nan|2|3|4||||", ["x_min is 'nan'"]),
    "infinite": ("v|o||3||inf|2|3|4||||", ["x_min is 'inf'"]),
    "negative frame": ("v|o||-3||1|2|3|4||||", ["frame is '-3'"]),
    "broken frame": ("v|o||3.5||1|2|3|4||||", ["frame is '3.5'"]),
    "box with three edges": ("v|o||3|||2|3|4||||", ["x_min is empty", "all four"]),
    "unsafe id": ("v|a/b||3||1|2|3|4||||", ["object is 'a/b'"]),
    "id of a seed": ("v|auto-0001-02||3||1|2|3|4||||", ["'auto-0001-02'", "give another"]),
    "end before prompt": ("v|o|||8|1|2|3|4||||7", ["until_s 7", "before"]),
    "nothing": ("v|o||3|||||||||", ["nothing shows object 'o'", "points, both, or a mask"]),
    "point of one number": ("v|o||3||||||4,5 6||| ", ["'6' in points", "x,y"]),
    "point of three numbers": ("v|o||3||||||4,5,6|||", ["'4,5,6' in points"]),
    "point with a blank": ("v|o||3||||||4, 5|||", ["'4,' in points"]),
    "points by semicolon": ("v|o||3||||||4,5;6,7|||", ["'4,5;6,7' in points"]),
    "point that is no number": ("v|o||3||||||4,nan|||", ["'4,nan' in points"]),
    "point at infinity": ("v|o||3||1|2|3|4||1e999,0||", ["'1e999,0' in negative_points"]),
    "points beside alone": ("v|o||3|||||||4,5||", ["none on it", "'o'"]),
    "mask and box": ("v|o||3||1|2|3|4|||PP1|", ["a mask and", "keep one"]),
    "mask and points": ("v|o||3||||||1,1||PP1|", ["a mask and", "keep one"]),
    "mask that is no run length": ("v|o||3|||||||| 12 34|", ["mask '12 34'", "RLE counts", "PNG"]),
    "mask that breaks off": ("v|o||3||||||||0P|", ["mask '0P'"]),
    "mask of JSON": ("v|o||3||||||||[3,4]|", ["mask '[3,4]'"]),
    "mask of another format": ("v|o||3||||||||a.jpg|", ["'a.jpg' is no PNG"]),
    "mask that is not there": ("v|o||3||||||||no/a.png|", ["'no/a.png'", "does not exist", "'o'"]),
}


@pytest.mark.parametrize(("row", "words"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_bad_prompts(sheet, row, words):
    with pytest.raises(SheetError) as caught:
        read_prompts(sheet(HEADER, row), ["v"])
    for word in ["row 2", *words]:
        assert word in str(caught.value)


def test_one_object_has_one_label(sheet):
    with pytest.raises(SheetError, match="'eel' here and 'darter' above"):
        read_prompts(sheet(HEADER, "v|o|darter|1||1|2|3|4||||", "v|o|eel|9||1|2|3|4||||"), ["v"])


def test_an_edited_picture_of_a_mask_is_another_prompt(sheet, tmp_path):
    picture = tmp_path / "it.png"
    picture.write_bytes(b"one")
    lines = [HEADER, "v|a||0||||||||it.png|", "v|b||0||1|2|3|4||||"]
    drawn, boxed = read_prompts(sheet(*lines), ["v"])["v"]
    before = mask_digest(drawn)
    assert mask_digest(boxed) == ""
    assert mask_digest(drawn) == before
    picture.write_bytes(b"two")
    os.utime(picture, ns=(5, 5))
    assert mask_digest(drawn) != before


@pytest.mark.parametrize(
    ("rows", "most"),
    [
        ([], 0),
        (["v|a||0||1|2|3|4||||", "v|b||90||1|2|3|4||||"], 2),
        (["v|a||0||1|2|3|4||||2.5", "v|b||30||1|2|3|4||||"], 1),  # frame 30 is second 3
        (["v|a||0||1|2|3|4||||3", "v|b||30||1|2|3|4||||"], 2),
        (["v|a|||0|1|2|3|4||||2", "v|b|||2.5|1|2|3|4||||4", "v|c|||3|1|2|3|4||||4"], 2),
        # One object with two prompts is one; what the latest says of its end counts.
        (["v|a||0||1|2|3|4||||9", "v|a||10||1|2|3|4||||2", "v|b||30||1|2|3|4||||"], 1),
        # It goes, and comes again.
        (["v|a||0||1|2|3|4||||1", "v|b||20||1|2|3|4||||3", "v|a||40||1|2|3|4||||5"], 1),
    ],
)
def test_the_most_objects_at_a_time(sheet, rows, most):
    assert most_at_once(read_prompts(sheet(HEADER, *rows), ["v"])["v"], fps=10) == most


@pytest.mark.parametrize(
    ("rows", "most"),
    [
        ([], 0),
        (["v|a||0||1|2|3|4||||", "v|b||90||1|2|3|4||||"], 1),
        (["v|a||0||1|2|3|4||||", "v|b||0||1|2|3|4||||", "v|a||90||1|2|3|4||||", "v|a||30||1|2|3|4||||"], 3),
        # Every third frame is processed: 0 and 1 act on one, 2 and 4 on another.
        ([f"v|a||{frame}||1|2|3|4||||" for frame in (0, 1, 2, 4)], 2),
        # Frame 30 is second 3.
        (["v|a||30||1|2|3|4||||", "v|a|||3|1|2|3|4||||", "v|a|||9|1|2|3|4||||"], 2),
    ],
)
def test_the_most_prompted_frames_of_an_object(sheet, rows, most):
    assert most_prompted(read_prompts(sheet(HEADER, *rows), ["v"])["v"], fps=10, frame_interval=3) == most


@pytest.mark.parametrize(
    ("frames", "most"), [((0, 30, 60, 90), 2), ((27, 30, 33, 57), 3), ((98, 99), 1), ((58, 62), 1)]
)
def test_the_most_prompted_frames_of_an_object_in_a_window_that_stands_alone(sheet, frames, most):
    """Two windows share frames 28 to 33; 98 and 99 act on the last frame that is processed."""
    prompts = read_prompts(sheet(HEADER, *(f"v|a||{frame}||1|2|3|4||||" for frame in frames)), ["v"])["v"]
    spans = [(0, 34), (28, 60), (60, 100)]
    assert most_prompted(prompts, fps=10, frame_interval=3, spans=spans) == most


def test_a_sheet_without_a_row_will_do_where_that_is_said(sheet):
    assert read_videos(sheet("video|path"), empty=True) == []


def test_run_lengths_longer_than_any_are_refused_before_they_are_looked_at(sheet):
    path = sheet("video|object|frame|mask", f"v|a|0|{'1' * (2**20 + 1)}")
    with pytest.raises(SheetError, match=r"row 2: the mask of object 'a' is 1048577 characters of run lengths"):
        read_prompts(path, ["v"])


def test_a_picture_needs_its_number(sheet):
    with pytest.raises(SheetError, match=r"row 2: picture is '5\.png', which needs its number in the column frame"):
        read_prompts(sheet("video|object|time_s|points|picture", "v|a|0|1,1|5.png"), ["v"])


def test_a_label_that_is_a_formula_for_a_spreadsheet_comes_back(sheet):
    (one,) = read_prompts(sheet("video|object|label|frame|points", "v|a|'=1+1|0|1,1"), ["v"])["v"]
    assert one.label == "=1+1"
