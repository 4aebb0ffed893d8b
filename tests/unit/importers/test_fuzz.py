"""Any bytes give rows or an error of longtake's own: files that are right but for some of their values."""

from __future__ import annotations

import copy
import io
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from longtake.annotate.sheet import read_prompts
from longtake.errors import LongtakeError
from longtake.importers import import_coco, import_cvat, import_hd_epic, import_ytvis, write_rows

ROUNDS = int(os.environ.get("LONGTAKE_FUZZ_ROUNDS", "250"))
NAMES = [
    "v/00042_1920x1080.jpg",
    "v\\7.png",
    "../../x_1_2.jpg",
    "v/\ud800 3.jpg",
    "=1\t+2.png",
    "v/4_mp4-5_jpg.rf.ab1.jpg",
]
NUMBERS = [0, -1, 1, 2.5, -0.0, 1e308, 10**400, 2**31, 2**63, 4294967294, True]
OTHERS = [
    None,
    "",
    "x",
    "0",
    "1e9",
    "é\u2028\x00",
    "{a}",
    "x" * 300,
    [],
    [[]],
    {},
    [None],
    {"size": [9, 9], "counts": [81]},
]
VALUES = [*NAMES, *NUMBERS, *OTHERS]


def coco() -> Any:
    images = [{"id": n, "file_name": f"v/{n}.jpg", "height": 9, "width": 9} for n in range(3)]
    mask = [{"size": [9, 9], "counts": [0, 5, 76]}, [[1, 1, 5, 1, 5, 5]], {"size": [9, 9], "counts": "05\\2"}]
    annotations = [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "bbox": [1, 1, 3, 3],
            "segmentation": mask[n],
            "attributes": {"track_id": 1},
        }
        for n in range(3)
    ]
    return {"images": images, "categories": [{"id": 1, "name": "cod"}], "annotations": annotations, "videos": []}


def vis() -> Any:
    video = {"id": 1, "file_names": ["v/0.jpg", "v/5.jpg", "v/9.jpg"], "height": 9, "width": 9}
    drawn = [None, {"size": [9, 9], "counts": [0, 5, 76]}, [[1, 1, 5, 1, 5, 5]]]
    track = {"id": 1, "video_id": 1, "category_id": 1, "bboxes": [None, [1, 1, 3, 3], [0, 0, 0, 0]]}
    return {
        "videos": [video],
        "categories": [{"id": 1, "name": "cod"}],
        "annotations": [track | {"segmentations": drawn}],
    }


def epic() -> Any:
    tracks = {"v": {"a": {"name": "mug", "tracks": [{"track_id": "t", "time_segment": [0, 3], "masks": ["m"]}]}}}
    return [tracks, {"v": {"m": {"frame_number": 30, "bbox": [1, 1, 5, 5]}}}]


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><id>1</id>
<original_size><width>9</width><height>9</height></original_size><source>v.mp4</source></task></meta>
<track id="0" label="cod"><box frame="0" outside="0" keyframe="1" xtl="1" ytl="1" xbr="4" ybr="4" rotation="3">
<attribute name="object">x</attribute></box><polygon frame="1" points="1,1;5,1;5,5"/><points frame="2" points="9,9"/>
<mask frame="3" rle="1,2,3" left="0" top="0" width="3" height="2"/><box frame="5" outside="1" xtl="1" ytl="1" xbr="4"
ybr="4"/></track></annotations>"""


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a nest of lists and objects."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(part, (*path, key))


def spoilt(whole: Any, draw: random.Random) -> Any:
    """A copy with one to three values replaced, removed or doubled."""
    whole = copy.deepcopy(whole)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice(list(spots(whole)))
        if not path:
            continue
        part = whole
        for key in path[:-1]:
            part = part[key]
        what = draw.randrange(4)
        if what == 0:
            del part[path[-1]]
        elif what == 1 and isinstance(part, list):
            part.append(copy.deepcopy(part[path[-1]]))
        else:
            part[path[-1]] = copy.deepcopy(draw.choice(VALUES))
    return whole


def tried(write: Any, tmp_path: Any, importer: Any, texts: list[Any], draw: random.Random) -> bool:
    """Import and read back as the workflow does; whether there were rows."""
    options: dict[str, Any] = {}
    if importer is not import_hd_epic:
        options = {"with_masks": draw.random() < 0.9, "every_box": draw.random() < 0.5, "video": draw.choice(["", "v"])}
    paths = [write(f"{number}", text) for number, text in enumerate(texts)]
    try:
        rows, file = list(importer(*paths, **options)), io.StringIO()
        write_rows(rows, file)
        (tmp_path / "prompts.tsv").write_bytes(file.getvalue().encode("utf-8"))
        read_prompts(tmp_path / "prompts.tsv", {row.video for row in rows})
    except LongtakeError:
        return False
    return bool(rows)


@pytest.mark.parametrize(
    ("importer", "make"),
    [(import_coco, coco), (import_ytvis, vis), (import_hd_epic, epic)],
    ids=["coco", "ytvis", "epic"],
)
def test_spoilt_json_gives_rows_or_a_word(write: Any, tmp_path: Any, importer: Any, make: Any) -> None:
    draw, read = random.Random(7), 0
    for _ in range(ROUNDS):
        found = spoilt(make(), draw)
        parts = found if importer is import_hd_epic and isinstance(found, list) and len(found) == 2 else [found]
        texts = [json.dumps(part) for part in parts]
        if importer is import_hd_epic and len(texts) == 1:
            texts *= 2
        read += tried(write, tmp_path, importer, texts, draw)
    assert 0.03 * ROUNDS < read < 0.97 * ROUNDS, "some are still right, and some are not"


def test_spoilt_xml_gives_rows_or_a_word(write: Any, tmp_path: Any) -> None:
    draw, read = random.Random(8), 0
    for _ in range(ROUNDS):
        text = CVAT
        for _ in range(draw.randint(1, 2)):
            start = draw.randrange(len(text))
            stop = min(len(text), start + draw.randrange(12))
            put = draw.choice(
                ["", "9", "-", "e9", "<", "'", '"', "<track id='1' label='é'>", text[start:stop] * 3, "&lt;", "="]
            )
            text = text[:start] + put + text[stop:]
        read += tried(write, tmp_path, import_cvat, [text], draw)
    assert 0.03 * ROUNDS < read < 0.97 * ROUNDS


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 50, b"\xff\xfe{\x00", b"\x1f\x8b\x08", b'{"a":' * 100_000, b"[" * 3000]
)
def test_what_is_no_text_at_all(tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    for importer in (import_coco, import_ytvis, import_cvat, lambda one: import_hd_epic(one, one)):
        with pytest.raises(LongtakeError, match="given"):
            list(importer(path))


@pytest.mark.parametrize("encoding", ["utf-7", "shift_jis", "no-such", "utf-16", "utf-32", "idna", "rot13", "hex"])
def test_xml_in_an_encoding_that_it_is_not_in(tmp_path: Any, encoding: str) -> None:
    path = tmp_path / "given"
    path.write_text(CVAT.replace("utf-8", encoding), encoding="utf-8")
    with pytest.raises(LongtakeError, match="given"):
        list(import_cvat(path, with_masks=True))
