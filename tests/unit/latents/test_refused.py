"""Whatever is wrong with a study: said before a job starts, or of the one video, by the index, the job or the tests."""

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import ConfigError
from longtake.latents import tables
from longtake.latents.comparisons import contrasts
from longtake.latents.index import write_index
from longtake.latents.layout import check_groups, find_videos
from longtake.latents.names import metrics
from longtake.latents.options import Options
from longtake.latents.shard import PARTS, measure_shard
from longtake.latents.study import put_together
from longtake.latents.values import read_values
from longtake.store.tables import read_table

SHAPE = (1, 4, 5, 12, 14)
FAMILIES = ["spatial", "temporal"]
FIRST, SECOND = "calm/v0/step_000", "calm/v0/step_001"


@dataclass(frozen=True)
class Case:
    """What is done to a study, and what is to be said.

    `spoil(study, disk)` is called before the index, `late` after it; `video` is the one that is spoiled, None for the
    study; `status` what becomes of it, `words` what is said; `options` differ from the defaults.
    """

    spoil: object = None
    words: tuple[str, ...] = ()
    video: str | None = "calm/v0"
    status: str = "failed"
    late: object = None
    options: dict | None = None


def file(name, make):
    """Put a file in the place of another step's."""

    def change(study, disk):
        path = study / name
        (study / f"{name.partition('.')[0]}.npy").unlink()
        make(path, disk)

    return change


def array(values):
    return lambda path, disk: np.save(path, values, allow_pickle=True)


def noise(*shape, dtype=np.float32):
    return lambda path, disk: disk.save(path, disk.noise(shape=shape, dtype=dtype))


def raw(change):
    """Change the bytes of a file of noise in the format of its name."""

    def make(path, disk):
        disk.save(path, disk.noise(shape=SHAPE))
        path.write_bytes(change(path.read_bytes()))

    return make


def holds(value):
    def make(path, disk):
        latent = disk.noise(shape=SHAPE)
        latent[0, 1, 2, 3, 4] = value
        np.save(path, latent)

    return make


def told(text=None, name=SECOND, **more):
    """Write metadata, or add to them."""

    def change(study, disk):
        path = study / f"{name}_metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more) if text is None else text)

    return change


def video(name, shape=(3, 4, 5, 12, 14), steps=None, fill=None, **about):
    """Add a video to the study."""

    def change(study, disk):
        latents = disk.noise(name, shape, np.float16) if fill is None else np.full(shape, fill, np.float16)
        disk.save_video(study / name, latents, steps=steps, **about)

    return change


def link(name):
    return lambda study, disk: (study / name).symlink_to(study / name)


def one_group(study, disk):
    for path in sorted((study / "wild").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (study / "wild").rmdir()


def emptied(study, disk):
    for path in study.rglob("*.npy"):
        path.unlink()


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("code-has-run"),))


def two_tensors(path, disk):
    from safetensors.numpy import save_file

    save_file({"first": disk.noise(), "second": disk.noise()}, path)


HUGE = ("(1, 4, 5, 12, 14), }", "(99999, 99999, 99), }")
LAYOUT = ("<folder>/<group>/<video>/step_000.npy",)
CASES = {
    "folder absent": Case(lambda study, disk: study.rename(study.parent / "elsewhere"), ("latents", *LAYOUT), None),
    "folder empty": Case(emptied, ("No latent was found", *LAYOUT), None),
    "one group": Case(one_group, ("one group",), None, "undecided"),
    "baseline": Case(None, ("latents.baseline", "'clam'", "Did you mean 'calm'"), None, options={"baseline": "clam"}),
    "order": Case(None, ("latents.order", "'wilt'", "Did you mean 'wild'"), None, options={"order": ["calm", "wilt"]}),
    "empty video folder": Case(lambda study, disk: (study / "calm/v9").mkdir(), ("v9", "holds no step"), "calm/v9"),
    "step missing": Case(lambda study, disk: (study / f"{SECOND}.npy").unlink(),
                         ("step 1 is missing", "latents.missing_steps to keep")),
    "step missing, kept": Case(lambda study, disk: (study / f"{SECOND}.npy").unlink(), ("step 1 is missing",),
                               status="ok", options={"missing_steps": "keep"}),
    "step twice": Case(lambda study, disk: noise(*SHAPE)(study / f"{SECOND}.npy.gz", disk),
                       ("step 1 2 times", "step_001.npy.gz", "Remove all but one")),
    "step twice by zeros": Case(lambda study, disk: noise(*SHAPE)(study / "calm/v0/step_1.npy", disk),
                                ("step 1 2 times", "step_1.npy")),
    "shape within a video": Case(file(f"{SECOND}.npy", noise(1, 4, 5, 12, 15)),
                                 ("step_001.npy", "[4, 5, 12, 15]", "must have one shape")),
    "shape of the study": Case(video("calm/v9", (3, 4, 5, 12, 16)), ("[4, 5, 12, 16]", "measured, but not compared"),
                               "calm/v9", "not compared"),
    "batch": Case(file(f"{FIRST}.npy", noise(2, *SHAPE[1:])), ("step_000.npy", "batch of 2", "Save one video a file")),
    "packed": Case(file(f"{FIRST}.npy", noise(1, 840, 4)), ("step_000.npy", "3 dimensions", "unpacked")),
    "no pixel": Case(file(f"{FIRST}.npy", noise(1, 4, 5, 0, 14)), ("step_000.npy", "is empty")),
    "NaN": Case(file(f"{SECOND}.npy", holds(np.nan)), ("step_001.npy", "nan at [1, 2, 3, 4]", "leave the video out")),
    "infinite": Case(file(f"{SECOND}.npy", holds(-np.inf)), ("step_001.npy", "-inf at [1, 2, 3, 4]", "float32")),
    "npy truncated": Case(file(f"{FIRST}.npy", raw(lambda b: b[:-7])), ("step_000.npy", "is cut off", "Save it again")),
    "npy longer": Case(file(f"{FIRST}.npy", raw(lambda b: b + b"more")), ("step_000.npy", "4 bytes after the array")),
    "npy huge": Case(file(f"{FIRST}.npy", raw(lambda b: b.replace(*(each.encode().ljust(21) for each in HUGE)))),
                     ("step_000.npy", "is cut off")),
    "empty file": Case(file(f"{FIRST}.npy", raw(lambda b: b"")), ("step_000.npy", "is empty", "Save it again")),
    "gz truncated": Case(file(f"{FIRST}.npy.gz", raw(lambda b: b[:-9])), ("step_000.npy.gz", "cut off")),
    "gz longer": Case(file(f"{FIRST}.npy.gz", raw(lambda b: gzip.compress(gzip.decompress(b) + b"x"))),
                      ("step_000.npy.gz", "bytes after the array")),
    "gz huge": Case(
        file(f"{FIRST}.npy.gz", raw(lambda b: gzip.compress(
            gzip.decompress(b)[:128].replace(*(each.encode().ljust(21) for each in HUGE))))),
        ("step_000.npy.gz", "more than it can hold")),
    "pt truncated": Case(file(f"{FIRST}.pt", raw(lambda b: b[:-50])), ("step_000.pt", "cut off", "torch.save")),
    "safetensors truncated": Case(file(f"{FIRST}.safetensors", raw(lambda b: b[:-50])), ("step_000.safe", "cut off")),
    "objects": Case(file(f"{FIRST}.npy", array(np.array([Code()], object))), ("step_000.npy", "holds object")),
    "code": Case(file(f"{FIRST}.pt", lambda path, disk: torch.save({"latents": Code()}, path)),
                 ("step_000.pt", "code is not run", "Save the tensor alone")),
    "int": Case(file(f"{FIRST}.npy", array(np.zeros(SHAPE, np.int16))), ("step_000.npy", "holds int16", "float16")),
    "complex": Case(file(f"{FIRST}.npy", array(np.zeros(SHAPE, complex))), ("step_000.npy", "holds complex128")),
    "bool": Case(file(f"{FIRST}.npy", array(np.zeros(SHAPE, bool))), ("step_000.npy", "holds bool")),
    "several tensors": Case(file(f"{FIRST}.safetensors", two_tensors), ("step_000.safe", "first, second", "a file")),
    "metadata broken": Case(told('{"seed": 1'), ("step_001_metadata.json", "cannot be read"), status="noticed"),
    "metadata a list": Case(told("[1, 2]"), ("step_001_metadata.json", "no JSON object"), status="noticed"),
    "metadata deep": Case(told("[" * 100_000), ("step_001_metadata.json", "cannot be read"), status="noticed"),
    "seed in words": Case(told(seed="one"), ("step_001_metadata.json", "'one'", "whole number"), status="noticed"),
    "sigma in words": Case(told(sigma="low"), ("step_001_metadata.json", "'low'"), status="noticed"),
    "another step": Case(told(step=7), ("step_001_metadata.json", "step 7", "1, which counts"), status="noticed"),
    "two seeds": Case(told(seed=77), ("step_001.npy", "seed 77", "two folders")),
    "seed twice": Case(video("calm/v9", seed=0), ("seed 0 stands twice in calm", "not paired"), "calm/v9", "noticed"),
    "unsafe name": Case(lambda study, disk: (study / "calm/v0").rename(study / "calm/v 0;rm"),
                        ("'v 0;rm'", "letters, digits"), "calm/v 0;rm"),
    "names in capitals": Case(video("calm/V0", seed=9), ("capital letters", "Rename one"), "calm/V0"),
    "loop for a video": Case(link("calm/loop"), ("calm/loop", "cannot be read"), "calm/loop"),
    "loop for a group": Case(link("loop"), ("latents/loop", "cannot be read"), "loop/"),
    "loop for a step": Case(link("calm/v0/step_003.npy"), ("step_003.npy", "no file that can be read")),
    "changed": Case(None, ("step_001.npy", "changed during the run"),
                    late=lambda study, disk: os.utime(study / f"{SECOND}.npy", ns=(1, 1))),
    "gone": Case(None, ("step_001.npy", "gone during the run"),
                 late=lambda study, disk: (study / f"{SECOND}.npy").unlink()),
    "constant": Case(video("calm/v9", fill=0.5, seed=9), (), "calm/v9", "null"),
    "steps over 999": Case(video("calm/v9", steps=(998, 999, 1000), seed=9), (), "calm/v9", "ok"),
    "axes against the shape": Case(None, ("step_000.npy", "axes CBFHW", "correct latents.axes"),
                                   options={"axes": "CBFHW"}),
    "axes against metadata": Case(told(axes="BFCHW", name=FIRST), ("step_000.npy", "latents.axes is BCFHW", "BFCHW"),
                                  options={"axes": "BCFHW"}),
    "axes of packed latents": Case(told(pipeline="LTXPipeline", name=FIRST), ("step_000.npy", "LTXPipeline", "packed")),
}  # fmt: skip


def through(study, tmp_path, case, disk):
    """The tables of a study that goes through check, index, job and tables: videos and metrics."""
    options = Options(folder=str(study), families=FAMILIES, **(case.options or {}))
    keep = options.missing_steps == "keep"
    videos = find_videos(options.folder, keep_missing=keep)
    check_groups({each.group for each in videos}, options.baseline, options.order)
    index, scratch = str(tmp_path / "index.parquet"), str(tmp_path / "work")
    write_index(
        folder=options.folder, sheet="", base=".", steps=options.steps, missing_steps=options.missing_steps,
        axes=options.axes, videos=[each.video for each in videos], out=index, scratch=scratch,
    )  # fmt: skip
    if case.late:
        case.late(study, disk)
    out = {name: str(tmp_path / f"{name}.1.parquet") for name in ("videos", *PARTS)}
    measure_shard(index, scratch, out, options=options, code="a")
    whole = {name: str(tmp_path / f"{name}.parquet") for name in ("videos", *PARTS)}
    put_together(
        shards={name: [path] for name, path in out.items()}, options=options.model_dump(),
        out=whole | {"csv": str(tmp_path / "videos.csv"), "ways": str(tmp_path / "ways.csv")},
    )  # fmt: skip
    return whole


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said_with_its_place_and_takes_no_other_video_with_it(
    study, tmp_path, disk, name, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    case = CASES[name]
    if case.spoil:
        case.spoil(study, disk)
    if case.video is None and case.status == "failed":
        with pytest.raises(ConfigError) as raised:
            through(study, tmp_path, case, disk)
        said = str(raised.value)
        assert not (tmp_path / "index.parquet").exists()
        assert all(words in said for words in case.words), said
        return
    whole = through(study, tmp_path, case, disk)
    rows = {row["video"]: row for row in read_table(whole["videos"], tables.VIDEOS).to_pylist()}
    if case.video is None:
        values = read_values(whole["videos"], whole["metrics"], whole["trajectories"], [],
                             metrics(FAMILIES), pair_by_seed="auto")  # fmt: skip
        tests = contrasts(values, baseline="calm", which="baseline", seed=1, draws=100)
        assert {(row["status"], row["reason"]) for row in tests} == {(case.status, *case.words)}
        return
    row = rows.pop(case.video)
    said = "\n".join([row["reason"], *row["notices"]])
    assert row["status"] == ("failed" if case.status == "failed" else "ok"), said
    assert row["compared"] == (case.status not in ("failed", "not compared"))
    assert all(words in said for words in case.words), said
    assert case.words or not said
    measured = read_table(whole["metrics"], tables.metrics_table(metrics(FAMILIES))).to_pylist()
    own = [each for each in measured if each["video"] == case.video]
    assert bool(own) == (case.status != "failed")
    if case.status == "null":
        assert {each["spatial_variance"] for each in own} == {0.0}
        assert {each["autocorrelation_row"] for each in own} == {None}
        assert {each["dominant_frequency"] for each in own} == {None}
    # Of two names that differ in capitals neither is better, and what is asked of axes is asked of all videos.
    with_it = {"names in capitals": {"calm/v0"}, "axes against the shape": set(rows)}.get(name, set())
    assert {each for each in rows if rows[each]["status"] != "ok"} == with_it
    assert not (tmp_path / "code-has-run").exists()
