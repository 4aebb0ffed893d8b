"""What training refuses, or tells: one table, each row with who finds it and what the message names."""

import os
from collections import namedtuple

import pytest
import torch

from longtake.errors import LongtakeError
from longtake.models.networks.build import build, describe
from longtake.settings.read import read_config
from longtake.training import room
from longtake.training.folds import place
from longtake.training.leaks import check_bytes
from longtake.training.sheet import Row, read_rows

HEADER = "video\tpath\tlabel\tgroup\tfold\ttest\n"
USAGE = namedtuple("usage", "free")


def sheet(body, header=HEADER):
    """Read a sheet whose rows name the files one.mp4 and two.mp4, and a link to the first."""

    def call(tmp_path):
        for name in ("one", "two"):
            (tmp_path / f"{name}.mp4").write_bytes(name.encode())
        (tmp_path / "link.mp4").symlink_to(tmp_path / "one.mp4")
        os.mkfifo(tmp_path / "pipe.mp4")
        (tmp_path / "training.tsv").write_text(header + body.replace("@", str(tmp_path)))
        read_rows(tmp_path / "training.tsv", 2)

    return call


def split(groups, each=3, labels=("cod", "ray"), **given):
    """Place `groups` groups, whose labels take turns, in three folds."""

    def call(tmp_path):
        rows = [
            Row(n + 2, f"v{n}", f"/v{n}", labels[n // each % len(labels)], f"g{n // each}")
            for n in range(groups * each)
        ]
        place(rows, **({"folds": 3, "repeats": 1, "inner": 0.2, "seed": 1} | given))

    return call


def config(**training):
    return lambda tmp_path: read_config({"output_dir": str(tmp_path), "training": training})


def network(name, frames, size):
    return lambda tmp_path: describe(name, ("a", "b"), frames, size)


def other_weights(tmp_path):
    """Begin from a file of weights that are those of something else."""
    torch.save({"model_state": {"conv.one": torch.zeros(1)}}, tmp_path / "x3d.pyth")
    build(describe("x3d", ("a", "b"), 8, 32, norm="frozen"), 0, str(tmp_path / "x3d.pyth"))


def full_disk(tmp_path):
    room.check_room(tmp_path / "store", 300, room.clip_bytes([(16, 224), (16, 224), (32, 256)], 3, "none"))


REFUSED = {
    "a column is missing": (sheet("a\t@/one.mp4\tcod\n", "video\tpath\tlabl\n"), "label"),
    "an id twice": (sheet("a\t@/one.mp4\tcod\t\t\t\na\t@/two.mp4\tray\t\t\t\n"), "stands already"),
    "a file under two ids": (sheet("a\t@/one.mp4\tcod\t\t\t\nb\t@/one.mp4\tray\t\t\t\n"), "same file"),
    "the same by a link": (sheet("a\t@/one.mp4\tcod\t\t\t\nb\t@/link.mp4\tray\t\t\t\n"), "same file"),
    "bytes under two labels": (
        lambda _: check_bytes(
            [Row(2, "a", "/a", "cod", "g"), Row(3, "b", "/b", "ray", "h")], {"a": "d", "b": "d"}, "t"
        ),
        "same bytes",
    ),
    "an empty label": (sheet("a\t@/one.mp4\t\t\t\t\n"), "label is empty"),
    "one label only": (split(6, labels=("cod",)), "two labels"),
    "labels that differ in case": (sheet("a\t@/one.mp4\tcod\t\t\t\nb\t@/two.mp4\tCod\t\t\t\n"), "case or blanks"),
    "fewer groups than folds": (split(4), "'cod' has videos in 2 of 4 groups.*to 2 at most"),
    "a group that holds a class": (split(2), "one group alone"),
    "an inner split without a class": (split(6, folds=2, inner=0.9), "inner"),
    "fold partly filled": (sheet("a\t@/one.mp4\tcod\t\t0\t\nb\t@/two.mp4\tray\t\t\t\n"), "'fold' is empty"),
    "folds with a gap": (sheet("a\t@/one.mp4\tcod\t\t0\t\nb\t@/two.mp4\tray\t\t2\t\n"), "without a gap"),
    "a group in two folds": (sheet("a\t@/one.mp4\tcod\tg\t0\t\nb\t@/two.mp4\tray\tg\t1\t\n"), "Put a group into one"),
    "a file that is not there": (sheet("a\t/no/such.mp4\tcod\t\t\t\n"), "does not exist"),
    "an address": (sheet("a\thttp://x/y.mp4\tcod\t\t\t\n"), "address"),
    "a pipe": (sheet("a\t@/pipe.mp4\tcod\t\t\t\n"), "pipe.mp4"),
    "neither yes nor no": (sheet("a\t@/one.mp4\tcod\t\t\tmaybe\n"), "'maybe'|neither yes nor no"),
    "frames that SlowFast cannot take": (network("slowfast", 10, 64), "multiple of 4, not 10"),
    "a size that ViT cannot cut": (network("vit_gru", 8, 50), "multiple of 16, not 50"),
    "weights of another network": (other_weights, r"unexpected: \['conv\.one'\]"),
    "a batch that micro-batches do not fill": (config(batch=8, micro_batch=3), "micro_batch"),
    "a probability beyond 1": (config(augment={"flip": {"p": 1.5}}), "p|1.5"),
    "an unknown operation": (config(augment={"fliip": {"p": 0.5}}), "'fliip'.*flip|fliip"),
    "an unknown model": (config(models=["small_cn"]), "'small_cn'.*small_cnn"),
    "a disk smaller than the clips": (full_disk, r"300 videos take 10\.4\d GB, and 1\.00 GB are free"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_it_is_refused_before_hours_are_spent(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: USAGE(10**9))
    call, words = REFUSED[fault]
    with pytest.raises(LongtakeError, match=words):
        call(tmp_path)


def test_clips_that_fit_are_no_fault_and_compressed_ones_take_less(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: USAGE(10**9))
    assert room.clip_bytes([(8, 32)], 1, "none") == 2 * 8 * 32 * 32 * 3
    assert room.clip_bytes([(8, 32)], 1, "zstd") == round(0.7 * 2 * 8 * 32 * 32 * 3)
    room.check_room(tmp_path / "not" / "yet", 10, 10**8)
