"""What strangers and slips of the pen put in: each is refused by a message that names value, place and remedy.

A row of the table is one bad input at one door. Nothing of it may be run, followed or guessed at.
"""

import json
import math
import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from longtake.annotate.sheet import Prompt, mask_digest, read_prompts
from longtake.errors import ConfigError, LongtakeError, ModelError, SchemaError, SheetError, UnreadableVideo
from longtake.gradients.model_check import video_model_files
from longtake.gradients.options import Options
from longtake.importers import import_coco, import_cvat
from longtake.media.index import index_video
from longtake.model_folder import model_files
from longtake.models.weights import read_weights
from longtake.planning.classes import read_classes
from longtake.planning.forecast import read_forecasts
from longtake.settings.paths import locate
from longtake.settings.read import read_config
from longtake.settings.videos import read_videos
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

ROOT = Path(__file__).parents[2]
VICTIM = "it-ran"
BOX = "video\tobject\tframe\tx_min\ty_min\tx_max\ty_max\n"
POINTS = "video\tobject\tframe\tpoints\tnegative_points\n"
LABEL = "video\tobject\tlabel\tframe\tpoints\n"
UNTIL = "video\tobject\tframe\ttime_s\tpoints\tuntil_s\n"
MASK = "video\tobject\tframe\tmask\n"
MASKED = Prompt(7, "reef", "x", "", 0, None, None, None, None, None, None, mask="a.png")
ENTITIES = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>'


class Trap:
    """A pickle of it makes a file when it is loaded the usual way."""

    def __reduce__(self):
        return os.system, (f"touch {VICTIM}",)


@dataclass(frozen=True)
class Bad:
    """One bad input: the door it comes to, what is put in, and words that the message must hold."""

    door: str
    what: str
    given: Any
    words: tuple[str, ...]
    error: type[LongtakeError] = SheetError


def setting(what, given, *words):
    return Bad("settings", what, given, words, ConfigError)


def videos(what, text, *words):
    return Bad("videos", what, text, ("videos.tsv", *words))


def prompts(what, text, *words):
    return Bad("prompts", what, text, ("prompts.tsv", *words))


def media(what, content, *words):
    return Bad("media", what, content, words, UnreadableVideo)


def cluster(what, text, *words):
    return Bad("cluster", what, text, ("site.yaml", *words), ConfigError)


def model(what, config, *words, error=ConfigError):
    return Bad("model", what, config, words, error)


def weights(what, files, *words):
    return Bad("weights", what, files, words, ModelError)


def coco(what, annotations, *words):
    return Bad("coco", what, annotations, ("given.json", *words))


def boxed(picture, box):
    """A COCO file of one picture, number 1, and a box on some picture."""
    return {
        "images": [{"id": 1, "file_name": "v/0.jpg", "width": 4, "height": 4}],
        "categories": [{"id": 1, "name": "eel"}],
        "annotations": [{"id": 1, "image_id": picture, "category_id": 1, "bbox": box}],
    }


TABLE = [
    setting("a misspelt setting", {"window_duraton": 3}, "window_duraton", "Did you mean 'window_duration'"),
    setting("a misspelt setting of a section", {"annotate": {"modle": "x"}}, "annotate.modle", "'model'"),
    setting("a unit in a number", {"window_duration": "300 s"}, "window_duration is '300 s'", "without a unit"),
    setting("no number", {"window_duration": math.nan}, "window_duration is nan", "plain number"),
    setting("no end", {"window_overlap": math.inf}, "window_overlap is inf", "plain number"),
    setting("a number beyond all", {"seed": 10**400}, "seed is a number of 401 digits"),
    setting("a truth value for a number", {"frame_interval": True}, "frame_interval is True", "integer"),
    setting("half a frame", {"frame_interval": 2.5}, "frame_interval is 2.5", "integer"),
    setting("a list for a section", {"gradients": [1]}, "gradients must be a mapping", "[1]"),
    setting("windows that never advance", {"window_overlap": 300}, "window_overlap is 300", "smaller than the window"),
    setting("an enlarging scale", {"video_scale_factor": 2}, "video_scale_factor is 2", "at most 1"),
    setting("a word that is no choice", {"annotate": {"precision": "bf16"}}, "'bf16'", "bfloat16"),
    setting("a folder that is a pattern", {"output_dir": "out/{video}"}, "output_dir is 'out/{video}'", "braces"),
    setting("a folder without a name", {"output_dir": "  "}, "output_dir is '  '", "Folder of all outputs"),
    setting("a clip length that is text", {"gradients": {"max_frames": "31f"}}, "gradients.max_frames", "'31f'"),
    setting("no step", {"window_overlap": 299.9999}, "window_overlap is 299.9999", "every 0.0001 s", "at least 1 s"),
    setting("hardly a step", {"window_duration": 5, "window_overlap": 4.96}, "every 0.04 s", "at least 0.05 s"),
    setting("a home", {"output_dir": "~/results"}, "output_dir is '~/results'", str(Path("~/results").expanduser())),
    setting("a home of nobody", {"output_dir": "~nobody-at-all"}, "'~nobody-at-all'", "Begin it with a letter"),
    setting("a folder like an option", {"output_dir": "-n"}, "output_dir is '-n'", "Begin it with a letter"),
    setting("the whole disk", {"output_dir": "/"}, "output_dir is '/'", "/results"),
    setting("the folder above", {"output_dir": "x/../.."}, "output_dir is 'x/../..'", "../results"),
    setting("a bucket", {"output_dir": "s3://lab/results"}, "'s3://lab/results'", "a folder of this machine"),
    setting("half a class", {"gradients": {"labels": {"cod": 1.5}}}, "gradients.labels.cod is 1.5"),
    setting("half a frame as text", {"frame_interval": "2.5"}, "frame_interval is '2.5'", "integer"),
    videos("no row", "video\tpath\n", "holds no video", "Add a row"),
    videos("an empty file", "", "column 'video' is missing"),
    videos("commas", "video,path\na,a.mp4\n", "Separate the columns by tabs"),
    videos("an id that leaves the folder", "video\tpath\n../../etc\ta.mp4\n", "row 2", "'../../etc'", "letters"),
    videos("an id with a blank", "video\tpath\nreef 7\ta.mp4\n", "row 2", "'reef 7'"),
    videos("an id with quotes", 'video\tpath\nreef"; rm -rf ~\ta.mp4\n', "row 2", "letters, digits"),
    videos("an id in another script", "video\tpath\n魚\ta.mp4\n", "row 2", "'魚'"),
    videos("an id like an option", "video\tpath\n--force\ta.mp4\n", "row 2", "'--force'"),
    videos("an id too long for a file", f"video\tpath\n{'x' * 300}\ta.mp4\n", "row 2", "letters, digits"),
    videos("one file for two ids", "video\tpath\nReef\ta.mp4\nreef\ta.mp4\n", "row 3", "'reef'", "row 2"),
    videos("ids that share names of files", "video\tpath\na\ta.mp4\na.prompts\ta.mp4\n", "row 3", "dash: a-prompts"),
    videos("an address", "video\tpath\na\thttps://host/a.mp4\n", "row 2", "only local files", "Copy it first"),
    videos("a protocol of ffmpeg", "video\tpath\na\tconcat:a.mp4|/etc/passwd\n", "row 2", "only local files"),
    videos("a file that is not there", "video\tpath\na\tnowhere.mp4\n", "row 2", "'nowhere.mp4'", "Correct the path"),
    videos("a path that is a pattern", "video\tpath\na\ta{b}.mp4\n", "row 2", "'a{b}.mp4'", "Rename the file"),
    videos("a path that ends early", "video\tpath\na\ta.mp4\0.txt\n", "row 2", "control characters"),
    videos("one file twice", "video\tpath\na\ta.mp4\nb\t./a.mp4\n", "row 3", "'b'", "'a' in row 2", "one id"),
    videos("one file by a link", "video\tpath\na\ta.mp4\nb\tlink.mp4\n", "row 3", "'link.mp4'", "'a' in row 2"),
    videos("a home", "video\tpath\na\t~/a.mp4\n", "row 2", "'~/a.mp4'", str(Path("~/a.mp4").expanduser())),
    videos("an endless path", f"video\tpath\na\t{'x' * 5000}\n", "row 2", "cannot be looked at (File name too long)"),
    videos("a species too long", f"video\tpath\tspecies\na\ta.mp4\t{'x' * 101}\n", "row 2", "Up to 100 characters"),
    videos("a species too wide", f"video\tpath\tspecies\na\ta.mp4\t{'魚' * 67}\n", "row 2", "200 bytes"),
    videos("a species that is a pattern", "video\tpath\tspecies\na\ta.mp4\t{x}\n", "row 2", "'{x}'", "braces"),
    videos("a species with a bell", "video\tpath\tspecies\na\ta.mp4\tx\ay\n", "row 2", "'x\\x07y'", "control"),
    videos("semicolons", "video;path\na;a.mp4\n", "Separate the columns by tabs"),
    videos("blanks for tabs", "video    path\na    a.mp4\n", "Separate the columns by tabs"),
    videos("blanks for one tab", "video\tpath    species\na\ta.mp4\tx\n", "Separate the columns by tabs"),
    videos("blanks in a row", "video\tpath\na    a.mp4\n", "row 2", "Separate the columns by tabs"),
    videos("a header that is a remark", "#video\tpath\na\ta.mp4\n", "'#video'", "Did you mean 'video'"),
    videos("remarks alone", "# one\n\n# two\n", "column 'video' is missing"),
    videos("too many cells", "video\tpath\na\ta.mp4\tx\ty\n", "row 2", "4 cells for 2 columns"),
    videos("no text", b"\xff\xfe\x00v\x00i", "not UTF-8", "Save it as UTF-8"),
    prompts("a video that no sheet has", BOX + "rief\tx\t0\t1\t1\t9\t9\n", "row 2", "'rief'", "Did you mean 'reef'"),
    prompts("an empty box", BOX + "reef\tx\t0\t9\t1\t9\t9\n", "row 2", "x 9 to 9", "Maxima are exclusive"),
    prompts("a box without an edge", BOX + "reef\tx\t0\t1\t1\t9\t\n", "row 2", "y_max is empty"),
    prompts("an edge that is no number", BOX + "reef\tx\t0\tnan\t1\t9\t9\n", "row 2", "x_min is 'nan'"),
    prompts("an edge without end", BOX + "reef\tx\t0\t1\t1\tinf\t9\n", "row 2", "x_max is 'inf'"),
    prompts("a comma for a point", BOX + "reef\tx\t0\t1,5\t1\t9\t9\n", "row 2", "x_min is '1,5'"),
    prompts("a number as Python writes it", BOX + "reef\tx\t1_000\t1\t1\t9\t9\n", "row 2", "frame is '1_000'"),
    prompts("a frame before the first", BOX + "reef\tx\t-1\t1\t1\t9\t9\n", "row 2", "frame is '-1'", "from 0"),
    prompts("neither frame nor time", BOX + "reef\tx\t\t1\t1\t9\t9\n", "row 2", "either frame or time_s"),
    prompts("nothing that shows it", BOX + "reef\tx\t0\t\t\t\t\n", "row 2", "nothing shows object 'x'"),
    prompts("an object that leaves the folder", BOX + "reef\t../x\t0\t1\t1\t9\t9\n", "row 2", "'../x'"),
    prompts("a name that is kept", BOX + "reef\tauto-0000-00\t0\t1\t1\t9\t9\n", "row 2", "give another"),
    prompts("a point without a comma", POINTS + "reef\tx\t0\t4 5\t\n", "row 2", "'4' in points", "Write x,y"),
    prompts("points beside it alone", POINTS + "reef\tx\t0\t\t4,5\n", "row 2", "none on it"),
    prompts("a mask that is not there", MASK + "reef\tx\t0\tmask.png\n", "row 2", "'mask.png'", "Correct the path"),
    prompts("a mask of another kind", MASK + "reef\tx\t0\ta.mp4\n", "row 2", "is no PNG"),
    prompts("run lengths that are none", MASK + "reef\tx\t0\t~~~~\n", "row 2", "COCO's compressed RLE"),
    prompts("a point as Python writes it", POINTS + "reef\tx\t0\t1_0,5\t\n", "row 2", "'1_0,5' in points"),
    prompts("a point in other digits", POINTS + "reef\tx\t0\t٤,5\t\n", "row 2", "'٤,5' in points"),
    prompts("an edge in other digits", BOX + "reef\tx\t0\t٤\t1\t9\t9\n", "row 2", "x_min is '٤'"),
    prompts("a frame beyond all", BOX + f"reef\tx\t{'9' * 400}\t1\t1\t9\t9\n", "row 2", "frame is '999"),
    prompts("a box left of all", BOX + "reef\tx\t0\t-9\t1\t0\t9\n", "row 2", "x 0, y 9", "left of or above"),
    prompts("a box above all", BOX + "reef\tx\t0\t1\t-9\t9\t-1\n", "row 2", "x 9, y -1", "left of or above"),
    prompts("an end at the start", UNTIL + "reef\tx\t9\t\t1,1\t0\n", "row 2", "until_s 0", "frame 9", "later end"),
    prompts("an end before it", UNTIL + "reef\tx\t\t3\t1,1\t2.5\n", "row 2", "until_s 2.5", "at 3 s", "later end"),
    prompts("a label too long", LABEL + f"reef\tx\t{'y' * 101}\t0\t1,1\n", "row 2", "label is 'yyy", "Up to 100"),
    prompts("a label that is a pattern", LABEL + "reef\tx\ta{b\t0\t1,1\n", "row 2", "label is 'a{b'", "braces"),
    prompts("a label of two lines", LABEL + "reef\tx\ta\u2028b\t0\t1,1\n", "row 2", "label is", "control"),
    prompts("an endless mask", MASK + f"reef\tx\t0\t{'x' * 5000}.png\n", "row 2", "cannot be looked at (File name"),
    prompts("a mask in a home", MASK + "reef\tx\t0\t~/a.png\n", "row 2", str(Path("~/a.png").expanduser())),
    prompts("two labels", LABEL + "reef\tx\teel\t0\t1,1\nreef\tx\tcod\t9\t1,1\n", "row 3", "'cod'", "'eel'"),
    media("nothing", b"", "given.mp4", "0 bytes", "Copy it again"),
    media("words", b"not a video at all\n" * 50, "given.mp4", "not a video file", "re-encode"),
    media("noise", bytes(range(256)) * 64, "given.mp4", "re-encode"),
    media("a playlist of addresses", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n", "given.mp4", "playlist"),
    media("a list of other files", b"ffconcat version 1.0\nfile /etc/passwd\n", "given.mp4", "playlist"),
    media("an AVI", b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(64), "given.mp4", "Re-encode it once"),
    media("an MP4 that breaks off", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41\x00\x00", "given.mp4"),
    media("a pipe", "fifo", "given.mp4", "Videos are local files"),
    media("a folder without pictures", "folder", "given.mp4", "a folder without pictures"),
    cluster("no YAML", "classes: [", "is no YAML"),
    cluster("a tag that runs code", f"classes: !!python/object/apply:os.system ['touch {VICTIM}']", "is no YAML"),
    cluster("no classes", "classes: []", "no list of GPU classes"),
    cluster("a misspelt key", "classes: [{name: a, memory_gb: 40, grs: 'gpu:1'}]", "'grs'", "Did you mean 'gres'"),
    cluster("memory with a unit", "classes: [{name: a, memory_gb: 40GB}]", "memory_gb", "40GB"),
    cluster("two of one name", "classes: [{name: a, memory_gb: 4}, {name: a, memory_gb: 8}]", "'a'", "name of its own"),
    cluster("a request with a blank", "classes: [{name: a, memory_gb: 4, gres: 'gpu:1; rm -rf ~'}]", "gres"),
    model("no folder", None, "gradients.model", "holds no config.json"),
    model("a configuration that is no JSON", "{", "config.json is not JSON", "Copy the file again"),
    model("a kind that nobody knows", {"model_type": "videomea"}, "'videomea'", "Did you mean 'videomae'"),
    model("a kind that is no text", {"model_type": ["x"]}, "model_type"),
    model("clips of another length", {"model_type": "videomae", "num_frames": 16}, "31", "16 frames. Set it to 16"),
    Bad(
        "flow",
        "flow of no module",
        "nowhere.flow:make",
        ("gradients.flow is 'nowhere.flow:make'", "PYTHONPATH"),
        ConfigError,
    ),
    Bad("folder", "an endless name", "x" * 5000, ("gradients.model is 'xxx", "cannot be looked at"), ConfigError),
    Bad("folder", "a home", "~/models/x", ("gradients.model", str(Path("~/models/x").expanduser())), ConfigError),
    weights("a pickle that runs code", {"pytorch_model.bin": pickle.dumps(Trap(), protocol=2)}, "pytorch_model.bin"),
    weights("tensors that break off", {"model.safetensors": b"\x40\x00\x00\x00\x00\x00\x00\x00{"}, "damaged", "Copy"),
    weights("none", {}, "no model.safetensors and no pytorch_model.bin"),
    weights(
        "a list that leaves the folder",
        {"model.safetensors.index.json": b'{"weight_map": {"a": "../a.safetensors"}}'},
        "lists '../a.safetensors'",
    ),
    coco("a list", [], "not an object"),
    coco("numbers that JSON has not", '{"images": NaN}', "holds NaN"),
    coco("endless nesting", "[" * 100_000, "is not JSON"),
    coco("a box that is none", boxed(1, [1, 2, 0, 4]), "annotations", "empty box"),
    coco("a picture that is not listed", boxed(7, [0, 0, 1, 1]), "7"),
    Bad("cvat", "entities that multiply", ENTITIES, ("given.xml",)),
    Bad("table", "no Parquet", b"PAR1 and then nothing", ("given.parquet", "delete it"), SchemaError),
    Bad("forecasts", "another table", "a\tb\n1\t2\n", ("given.tsv", "Delete it"), SchemaError),
]


def put(path, given):
    text = given if isinstance(given, str | bytes) else json.dumps(given)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def at_media(given):
    path = Path("given.mp4")
    if given == "fifo":
        os.mkfifo(path)
    elif given == "folder":
        path.mkdir()
    else:
        put(path, given)
    return index_video(path)


def at_model(given):
    folder = Path("model")
    folder.mkdir()
    if given is not None:
        put(folder / "config.json", given)
    return video_model_files(Options(model="model"), Path.cwd())


def at_weights(given):
    folder = Path("model")
    folder.mkdir()
    for name, content in given.items():
        put(folder / name, content)
    return read_weights(folder)


DOORS = {
    "settings": read_config,
    "videos": lambda given: read_videos(put(Path("videos.tsv"), given)),
    "prompts": lambda given: read_prompts(put(Path("prompts.tsv"), given), ["reef"]),
    "media": at_media,
    "cluster": lambda given: read_classes(put(Path("site.yaml"), given)),
    "model": at_model,
    "flow": lambda given: video_model_files(Options(flow=given), ROOT),
    "folder": lambda given: video_model_files(Options(model=given), ROOT),
    "weights": at_weights,
    "coco": lambda given: list(import_coco(put(Path("given.json"), given))),
    "cvat": lambda given: list(import_cvat(put(Path("given.xml"), given), video="v")),
    "table": lambda given: read_table(put(Path("given.parquet"), given), DETECTIONS),
    "forecasts": lambda given: read_forecasts(put(Path("given.tsv"), given)),
}


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.door}: {bad.what}")
def test_a_bad_input_is_refused_by_name(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").touch()
    Path("link.mp4").symlink_to("a.mp4")
    with pytest.raises(bad.error) as refused:
        DOORS[bad.door](bad.given)
    message = str(refused.value)
    assert all(word in message for word in bad.words), message
    assert len(message) < 800
    assert not Path(VICTIM).exists(), "code of the input was run"


def test_the_table_is_long_and_its_trap_a_real_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len({(bad.door, bad.what) for bad in TABLE}) == len(TABLE) >= 40
    assert {bad.door for bad in TABLE} == set(DOORS)
    pickle.loads(pickle.dumps(Trap()))
    assert Path(VICTIM).exists()


@pytest.mark.parametrize("name", ["config.yaml", "settings.yml", "plain.json"])
def test_a_tag_in_the_settings_runs_nothing(name, tmp_path, monkeypatch):
    from snakemake.common.configfile import load_configfile
    from snakemake_interface_common.exceptions import WorkflowError

    monkeypatch.chdir(tmp_path)
    put(Path(name), f"seed: !!python/object/apply:os.system ['touch {VICTIM}']\n")
    with pytest.raises(WorkflowError):
        load_configfile(name)
    assert not Path(VICTIM).exists()


@pytest.mark.parametrize(
    "name", ["two words.mp4", 'it\'s "quoted".mp4', "魚 ü.mp4", "a[c]*.mp4", "$(touch x);&.mp4", "-i.mp4"]
)
def test_a_path_with_odd_characters_is_a_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    sheet = put(Path("videos.tsv"), f"video\tpath\nreef\t{name}\n")
    assert [video.path for video in read_videos(sheet)] == [name]


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that one may not search; who runs tests may be root, who may."""
    monkeypatch.chdir(tmp_path)
    stat = os.stat

    def refusing(path, *arguments, **named):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", refusing)
    return "locked/a"


@pytest.mark.parametrize(
    ("look", "error", "words"),
    [
        (
            lambda path: DOORS["videos"](f"video\tpath\nreef\t{path}.mp4\n"),
            SheetError,
            "videos.tsv, row 2: .*'locked/a.mp4' of video 'reef'",
        ),
        (
            lambda path: DOORS["prompts"](f"{MASK}reef\tx\t0\t{path}.png\n"),
            SheetError,
            "prompts.tsv, row 2: .*'locked/a.png' of object 'x'",
        ),
        (
            lambda path: mask_digest(replace(MASKED, mask=f"{path}.png")),
            SheetError,
            "row 7 of the sheet of prompts: .*'locked/a.png' of object 'x' in video 'reef'",
        ),
        (lambda path: locate(path, ROOT), ConfigError, "a setting is 'locked/a'"),
        (lambda path: model_files(path, ROOT, "annotate.model"), ConfigError, "annotate.model is 'locked/a'"),
        (
            lambda path: model_files(str(Path(path).absolute()), ROOT, "annotate.model"),
            ConfigError,
            "annotate.model is '/.*locked/a', whose config.json",
        ),
    ],
)
def test_what_one_may_not_look_at_is_named(look, error, words, locked):
    with pytest.raises(error, match=rf"{words}.* cannot be looked at \(Permission denied\)\. Correct the path"):
        look(locked)


def test_hard_links_are_several_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").touch()
    Path("b.mp4").hardlink_to("a.mp4")
    sheet = put(Path("videos.tsv"), "video\tpath\na\ta.mp4\nb\tb.mp4\n")
    assert len(read_videos(sheet)) == 2


def test_a_file_that_is_rendered_later_has_one_id_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sheet = put(Path("videos.tsv"), f"video\tpath\na\tlater.mp4\nb\t{tmp_path}/./later.mp4\n")
    with pytest.raises(SheetError, match=r"row 3: .* of video 'b' is the file of video 'a' in row 2"):
        read_videos(sheet, rendered=True)
