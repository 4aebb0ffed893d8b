"""Every other format, read back by a reader of its own; MOT and MOTS by TrackEval too."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import trackeval
from pycocotools import mask as coco

from longtake import masks
from longtake.errors import SchemaError
from longtake.export.formats import WRITERS
from longtake.export.mot import write_mot
from longtake.export.mots import write_mots
from longtake.export.options import Options
from longtake.export.rows import Annotated
from longtake.importers import import_coco, import_cvat, import_ytvis
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table, write_table

N, HEIGHT, WIDTH = 30, 96, 160
FRAMES = [0, 5, 10, 15, 20, 25]
SEEN = [0, 5, 10, 20, 25]


@pytest.fixture
def clip(make_clip: Any) -> Annotated:
    return Annotated("pond", **make_clip("pond").arguments())


def square(frame: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[60:80, 10 + 4 * frame : 30 + 4 * frame] = True
    return mask


def export(name: str, item: Annotated, out: Path) -> dict[str, Any]:
    return WRITERS[name](item, frame_interval=5, categories=["perch", "carp"], out=out)


def add_rows(clip: Annotated, *changes: dict[str, Any]) -> Annotated:
    """Add rows, each a change of the square's row on that frame."""
    rows = read_table(clip.detections, DETECTIONS).to_pylist()
    first = {row["frame"]: row for row in rows if row["object"] == "s1"}
    rows += [{**first[change["frame"]], **change} for change in changes]
    write_table(clip.detections, sorted(rows, key=lambda row: row["frame"]), DETECTIONS)
    return clip


def shape(mask: np.ndarray) -> dict[str, Any]:
    edges = dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, masks.box(mask) or ()), strict=True))
    return {"mask": masks.encode(mask), "visible": True, **edges}


def test_every_format_of_the_settings_has_a_writer_and_an_ending() -> None:
    names = list(get_args(get_args(Options.model_fields["formats"].annotation)[0]))
    assert names == list(WRITERS)
    rules = (Path(__file__).parents[3] / "rules" / "export.smk").read_text()
    for name in names:
        assert f'    "{name}": "' in rules


@pytest.mark.parametrize("name", WRITERS)
def test_same_table_same_bytes_and_nothing_left_over(
    name: str, clip: Annotated, tmp_path: Path, monkeypatch: Any
) -> None:
    """Whatever the batches and however much waits on disk; and nothing but the file is left behind."""
    export(name, clip, tmp_path / "out" / "one")
    monkeypatch.setattr("longtake.export.rows.BATCH_ROWS", 3)
    monkeypatch.setattr("longtake.store.spill.WAITING_BYTES", 10)
    export(name, clip, tmp_path / "out" / "two")
    assert (tmp_path / "out/one").read_bytes() == (tmp_path / "out/two").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_found(name: str, clip: Annotated, tmp_path: Path) -> None:
    write_table(clip.detections, [], DETECTIONS)
    export(name, clip, tmp_path / "out")
    text = (tmp_path / "out").read_text()
    if name in ("coco", "ytvis"):
        assert json.loads(text)["annotations"] == []
    elif name == "cvat":
        assert ET.fromstring(text).findall("track") == []
    elif name == "jsonl":
        assert [json.loads(line)["objects"] for line in text.splitlines()] == [[]] * 6
    else:
        assert len(text.splitlines()) == (name == "stationary")


# --- YouTube-VIS


class YtVis:
    """A reader after the format's description: per video and annotation, a mask for each frame that has one."""

    def __init__(self, path: Path) -> None:
        whole = json.loads(path.read_text(encoding="utf-8"))
        self.videos = {video["id"]: video for video in whole["videos"]}
        self.categories = {category["id"]: category["name"] for category in whole["categories"]}
        self.tracks = {annotation["id"]: annotation for annotation in whole["annotations"]}
        for track in self.tracks.values():
            video = self.videos[track["video_id"]]
            assert len(video["file_names"]) == video["length"]
            for key in ("segmentations", "bboxes", "areas"):
                assert len(track[key]) == video["length"]

    def masks(self, track: int) -> dict[str, np.ndarray]:
        """Give file name -> mask."""
        found = self.tracks[track]
        names = self.videos[found["video_id"]]["file_names"]
        return {
            name: coco.decode(segment).astype(bool)
            for name, segment in zip(names, found["segmentations"], strict=True)
            if segment is not None
        }


def test_ytvis_read_back(clip: Annotated, tmp_path: Path) -> None:
    out = tmp_path / "ytvis.json"
    # A second object that comes late, and a label that nobody named.
    late = shape(square(0))
    add_rows(clip, {"frame": 20, "object": "s9", "label": "Äsche", **late, "score": 0.75})
    assert export("ytvis", clip, out) == {"frames": 6, "annotations": 2, "categories": 3}
    read = YtVis(out)
    assert read.categories == {1: "carp", 2: "perch", 3: "Äsche"}
    (video,) = read.videos.values()
    assert (video["frames"], video["times_s"][1], video["width"]) == (FRAMES, 0.213, WIDTH)
    found = read.masks(1)
    assert list(found) == [f"pond/frame_{frame:08d}.jpg" for frame in SEEN]
    for frame in SEEN:
        assert (found[f"pond/frame_{frame:08d}.jpg"] == square(frame)).all()
    first, second = read.tracks.values()
    assert first["bboxes"] == [[10.0 + 4 * f, 60.0, 20.0, 20.0] if f in SEEN else None for f in FRAMES]
    assert first["areas"] == [400 if f in SEEN else None for f in FRAMES]
    assert (first["object"], first["score"], first["category_id"]) == ("s1", 0.5, 2)
    assert [f for f, box in zip(FRAMES, second["bboxes"], strict=True) if box] == [20]
    assert (second["object"], second["score"], second["category_id"]) == ("s9", 0.75, 3)


@pytest.mark.parametrize(("name", "importer"), [("ytvis", import_ytvis), ("coco", import_coco)])
def test_json_comes_back_by_its_importer(name: str, importer: Any, clip: Annotated, tmp_path: Path) -> None:
    export(name, clip, tmp_path / "x.json")
    rows = list(importer(tmp_path / "x.json", every_box=True))
    assert [(row.video, row.object, row.label, row.frame, row.box) for row in rows] == [
        ("pond", "s1", "perch", frame, (10 + 4 * frame, 60, 30 + 4 * frame, 80)) for frame in SEEN
    ]


# --- MOT and MOTS


def test_mot_read_back(clip: Annotated, tmp_path: Path) -> None:
    facts = export("mot", clip, tmp_path / "pond.txt")
    assert facts == {"lines": 5, "tracks": {"s1": 1, "s2": 2}}
    lines = [line.split(",") for line in (tmp_path / "pond.txt").read_text().splitlines()]
    # Frames and pixels from 1: left is x_min + 1, and x_max is left + width - 1 again.
    assert lines[1] == ["6", "1", "31", "61", "20", "20", "0.5000", "-1", "-1", "-1"]
    assert [int(line[0]) - 1 for line in lines] == SEEN


def overlapping(clip: Annotated) -> Annotated:
    wide = np.zeros((HEIGHT, WIDTH), dtype=bool)
    wide[50:70, 0:60] = True
    return add_rows(
        clip,
        {"frame": 0, "object": "s3", "label": "carp", "score": 0.25, **shape(wide)},
        {"frame": 5, "object": "s3", "label": "carp", "score": 0.75, **shape(wide)},
        {"frame": 10, "object": "s3", "label": "carp", "score": 0.25, **shape(square(10))},
    )


def test_mots_read_back(clip: Annotated, tmp_path: Path) -> None:
    facts = export("mots", overlapping(clip), tmp_path / "pond.txt")
    assert facts["tracks"] == {"s1": 2001, "s2": 3001, "s3": 1001}
    assert facts["classes"] == {"carp": 1, "perch": 2, "Äsche": 3}
    assert (facts["lines"], facts["masks_cut"], facts["masks_hidden"]) == (7, 2, 1)
    found: dict[tuple[int, int], np.ndarray] = {}
    for line in (tmp_path / "pond.txt").read_text().splitlines():
        frame, track, kind, height, width, counts = line.split(" ")
        assert int(track) // 1000 == int(kind)
        found[int(frame) - 1, int(track)] = coco.decode({"size": [int(height), int(width)], "counts": counts}) > 0
    wide = coco.decode({"size": [HEIGHT, WIDTH], "counts": shape_of_wide()}) > 0
    # The higher score keeps the shared pixels; the one that loses them all has no line.
    assert (found[0, 2001] == square(0)).all()
    assert (found[0, 1001] == (wide & ~square(0))).all()
    assert (found[5, 1001] == wide).all()
    assert (found[5, 2001] == (square(5) & ~wide)).all()
    assert (10, 1001) not in found


def shape_of_wide() -> str:
    wide = np.zeros((HEIGHT, WIDTH), dtype=bool)
    wide[50:70, 0:60] = True
    return masks.encode(wide)


def test_mots_keeps_off_the_class_to_ignore(clip: Annotated, tmp_path: Path) -> None:
    species = [f"a{n:02d}" for n in range(9)]
    facts = write_mots(clip, frame_interval=5, categories=[*species, "perch"], out=tmp_path / "x.txt")
    assert facts["classes"]["perch"] == 11
    assert 10 not in facts["classes"].values()


def test_mots_has_no_number_for_a_thousandth_object(clip: Annotated, tmp_path: Path) -> None:
    add_rows(clip, *({"frame": 0, "object": f"x{n}", "visible": False} for n in range(999)))
    with pytest.raises(SchemaError, match="999 objects are labelled 'perch'"):
        write_mots(clip, frame_interval=5, categories=[], out=tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize("name", ["mot", "mots"])
def test_trackeval_reads_it(name: str, clip: Annotated, tmp_path: Path) -> None:
    # Class 2 is the only one that MOTSChallenge scores; truth in its format has nine columns, as MOT's.
    overlapping(clip)
    folder = tmp_path / "trackers" / "longtake" / "data"
    folder.mkdir(parents=True)
    export(name, clip, folder / "pond.txt")
    truth = tmp_path / "truth" / "pond" / "gt"
    truth.mkdir(parents=True)
    lines = (folder / "pond.txt").read_text().splitlines()
    if name == "mot":
        lines = [",".join([*line.split(",")[:6], "1", "1", "1"]) for line in lines]
    (truth / "gt.txt").write_text("\n".join(lines) + "\n")
    kind = {"mot": trackeval.datasets.MotChallenge2DBox, "mots": trackeval.datasets.MOTSChallenge}[name]
    settings = {
        "GT_FOLDER": str(tmp_path / "truth"), "TRACKERS_FOLDER": str(tmp_path / "trackers"), "SEQ_INFO": {"pond": N},
        "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False, "TRACKERS_TO_EVAL": ["longtake"], "DO_PREPROC": False,
    }  # fmt: skip
    dataset = kind(settings)
    raw = dataset.get_raw_seq_data("longtake", "pond")
    data = dataset.get_preprocessed_seq_data(raw, "pedestrian")
    assert [t for t in range(N) if len(data["tracker_dets"][t])] == SEEN
    for metric, key in ((trackeval.metrics.HOTA, "HOTA"), (trackeval.metrics.Identity, "IDF1")):
        config = {} if key == "HOTA" else {"PRINT_CONFIG": False}
        result = (metric(config) if config else metric()).eval_sequence(data)
        assert np.mean(result[key]) == pytest.approx(1.0)


# --- CVAT


def test_cvat_comes_back_by_its_importer(clip: Annotated, tmp_path: Path) -> None:
    name = 'eel <&"\x01'
    add_rows(clip, {"frame": 20, "object": "s9", "label": name, **shape(square(0))})
    assert export("cvat", clip, tmp_path / "x.xml") == {"tracks": 2, "boxes": 6, "labels": 3}
    rows = list(import_cvat(tmp_path / "x.xml", fps=5))
    seen = [(row.video, row.object, row.label, row.frame, row.box, row.until_s) for row in rows]
    # The square is away on frame 15; the late one is gone on frame 25: both are followed to the frame before.
    assert seen == [
        *(("pond", "s1", "perch", f, (10 + 4 * f, 60, 30 + 4 * f, 80), 2.8 if f < 15 else None) for f in SEEN),
        ("pond", "s9", 'eel <&"\ufffd', 20, (10, 60, 30, 80), 4.8),
    ]


def test_cvat_as_cvat_reads_it(clip: Annotated, tmp_path: Path) -> None:
    export("cvat", clip, tmp_path / "x.xml")
    root = ET.parse(tmp_path / "x.xml").getroot()
    assert root.findtext("meta/task/mode") == "interpolation"
    assert (root.findtext("meta/task/size"), root.findtext("meta/task/original_size/width")) == ("30", "160")
    named = [label.findtext("name") for label in root.findall("meta/task/labels/label")]
    assert named == ["carp", "perch"]
    (track,) = root.findall("track")
    assert track.get("label") in named
    assert [(int(box.get("frame")), box.get("outside")) for box in track] == [
        (0, "0"), (5, "0"), (10, "0"), (15, "1"), (20, "0"), (25, "0"),
    ]  # fmt: skip
    first = track[0]
    assert [float(first.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")] == [10, 60, 30, 80]


# --- JSONL and stationary objects


def test_jsonl_read_back(clip: Annotated, tmp_path: Path) -> None:
    assert export("jsonl", clip, tmp_path / "x.jsonl") == {"frames": 6, "boxes": 5}
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [
        {
            "frame_number": frame,
            "objects": [{"assoc_id": "s1", "assoc_name": "perch", "bbox": [10 + 4 * frame, 60, 30 + 4 * frame, 80]}]
            if frame in SEEN
            else [],
        }
        for frame in FRAMES
    ]


def test_a_frame_without_rows_says_so(clip: Annotated, tmp_path: Path) -> None:
    """Neither held from the frame before, nor left out: a window that failed, or no object that is followed."""
    rows = [row for row in read_table(clip.detections, DETECTIONS).to_pylist() if row["frame"] != 10]
    write_table(clip.detections, rows, DETECTIONS)
    for name in ("jsonl", "cvat", "ytvis"):
        export(name, clip, tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [(line["frame_number"], len(line["objects"])) for line in lines] == [
        (0, 1), (5, 1), (10, 0), (15, 0), (20, 1), (25, 1),
    ]  # fmt: skip
    (track,) = ET.parse(tmp_path / "cvat").getroot().findall("track")
    assert [box.get("frame") for box in track if box.get("outside") == "1"] == ["10"]
    assert [box is None for box in YtVis(tmp_path / "ytvis").tracks[1]["bboxes"]] == [f in (10, 15) for f in FRAMES]


def test_stationary(clip: Annotated, tmp_path: Path) -> None:
    still, nudged = [], []
    for k, frame in enumerate(SEEN):
        # A box of 30 x 40 has a diagonal of 50: a quarter is 12.5. One strays 12 px and comes back, the other 13.
        for rows, name, away in ((still, "still", 12), (nudged, "nudged", 13)):
            left = 10.0 + (away if k == 2 else 0)
            rows.append(
                {"frame": frame, "object": name, "x_min": left, "y_min": 5.0, "x_max": left + 30, "y_max": 45.0}
            )
    once = {"frame": 5, "object": "once", **shape(square(5))}
    assert export("stationary", add_rows(clip, *still, *nudged, once), tmp_path / "x.tsv") == {
        "objects": 4,
        "stationary": 1,
    }
    header, *lines = [line.split("\t") for line in (tmp_path / "x.tsv").read_text(encoding="utf-8").splitlines()]
    found = {line[1]: dict(zip(header, line, strict=True)) for line in lines}
    assert {name: row["stationary"] for name, row in found.items()} == {
        "s1": "no", "still": "yes", "nudged": "no", "once": "undecided",
    }  # fmt: skip
    row = found["still"]
    assert (row["travel_px"], row["diagonal_px"], row["travel"], row["n_visible"]) == (
        "12.000",
        "50.000",
        "0.2400",
        "5",
    )
    assert (row["first_s"], row["last_s"]) == ("0.000000", "1.000000")


def test_mot_needs_no_plan(clip: Annotated, tmp_path: Path) -> None:
    """A video without windows still gives its lines: nothing is looked up by frame."""
    assert write_mot(replace(clip, windows=[]), frame_interval=5, categories=[], out=tmp_path / "x")["lines"] == 5
