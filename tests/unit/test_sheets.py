"""Sheets: what is wrong is said with row, value and remedy, before any job."""

import pytest

from longtake.errors import SheetError
from longtake.sheets import read_prompts, read_videos


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


HEADER = "video|object|label|frame|time_s|x_min|y_min|x_max|y_max|until_s"


def test_prompts_read(sheet):
    found = read_prompts(sheet(HEADER, "v|o1|eel|12||1|2|3.5|4|", "v|o2|||0.5|1|2|3|4|9"), ["v", "w"])
    first, second = found["v"]
    assert (first.frame, first.time_s, first.x_max, first.label) == (12, None, 3.5, "eel")
    assert (second.frame, second.time_s, second.until_s, second.row) == (None, 0.5, 9.0, 3)
    assert found["w"] == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("u|o|||0.5|1|2|3|4|", ["row 2", "'u'"]),
        ("v|o|||| 1|2|3|4|", ["row 2", "either frame or time_s"]),
        ("v|o||3|0.5|1|2|3|4|", ["either frame or time_s"]),
        ("v|o||3||3|2|3|4|", ["empty", "'o'"]),
        ("v|o||3||1|4|3|2|", ["empty"]),
        ("v|o||3||a|2|3|4|", ["x_min is 'a'"]),
        ("v|o||3||nan|2|3|4|", ["x_min is 'nan'"]),
        ("v|o||3||inf|2|3|4|", ["x_min is 'inf'"]),
        ("v|o||-3||1|2|3|4|", ["frame is '-3'"]),
        ("v|o||3.5||1|2|3|4|", ["frame is '3.5'"]),
        ("v|o||3|||2|3|4|", ["x_min is empty"]),
        ("v|a/b||3||1|2|3|4|", ["object is 'a/b'"]),
        ("v|o|||8|1|2|3|4|7", ["until_s 7", "before"]),
    ],
)
def test_bad_prompts(sheet, row, words):
    with pytest.raises(SheetError) as caught:
        read_prompts(sheet(HEADER, row), ["v"])
    for word in words:
        assert word in str(caught.value)


def test_one_object_has_one_label(sheet):
    with pytest.raises(SheetError, match="'eel' here and 'darter' above"):
        read_prompts(sheet(HEADER, "v|o|darter|1||1|2|3|4|", "v|o|eel|9||1|2|3|4|"), ["v"])
