import gzip
import json
import shutil
import struct
import sys

import numpy as np
import pytest
import torch

from longtake.errors import LatentError
from longtake.latents.headers import COMFY_SCALE, read_header
from longtake.latents.layout import KINDS
from longtake.latents.readers import Stored, ahead, read_block, read_latent, seekable
from longtake.latents.zarrs import stamp

AXES = "BCFHW"


def stored(path, axes=AXES, scratch="."):
    kind = path.name.partition(".")[2]
    return Stored(path, kind, read_header(path, kind, scratch), axes, *stamp(path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_format_gives_the_numbers_that_were_saved(disk, tmp_path, kind, dtype):
    latent = disk.noise(dtype=dtype)
    path = disk.save(tmp_path / f"step_000.{kind}", latent[None])
    read = read_latent(stored(path, scratch=tmp_path))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, latent)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", ["BCFHW", "BFCHW", "BFHWC"])
def test_blocks_of_every_format_and_order_of_axes_hold_the_same_elements(disk, tmp_path, kind, axes):
    latents = [disk.noise(f"{n}") for n in range(2)]
    order = ["CFHW".index(letter) for letter in axes[1:]]
    paths = [disk.save(tmp_path / "a/step_000.npy", latents[0][None])]
    paths.append(disk.save(tmp_path / f"b/step_000.{kind}", latents[1].transpose(order)[None]))
    with seekable([stored(paths[0]), stored(paths[1], axes, tmp_path)], tmp_path / "scratch") as ready:
        cut = latents[0].size // 3
        for latent, found in zip(latents, ready, strict=True):
            blocks = np.concatenate([read_block(found, 0, cut), read_block(found, cut, latent.size)])
            np.testing.assert_array_equal(blocks, latent.ravel())
    assert not list((tmp_path / "scratch").glob("*"))


def test_a_fortran_array_a_big_endian_one_and_bfloat16_are_read_as_meant(disk, tmp_path):
    latent = disk.noise()
    paths = [tmp_path / "f/step_000.npy", tmp_path / "b/step_000.npy", tmp_path / "h/step_000.pt"]
    for path in paths:
        path.parent.mkdir()
    np.save(paths[0], np.asfortranarray(latent[None]))
    np.save(paths[1], latent[None].astype(">f4"))
    half = torch.from_numpy(latent[None]).bfloat16()
    torch.save(half, paths[2])
    np.testing.assert_array_equal(read_latent(stored(paths[0])), latent)
    np.testing.assert_array_equal(read_latent(stored(paths[1])), latent)
    np.testing.assert_array_equal(read_latent(stored(paths[2])), half[0].float().numpy())
    with seekable([stored(path) for path in paths], tmp_path / "scratch") as ready:
        np.testing.assert_array_equal(read_block(ready[0], 0, latent.size), latent.ravel())
        np.testing.assert_array_equal(read_block(ready[1], 3, 9), latent.ravel()[3:9])
        np.testing.assert_array_equal(read_block(ready[2], 3, 9), half.flatten()[3:9].double().numpy())


def test_an_old_file_of_comfyui_is_scaled_as_comfyui_does(disk, tmp_path):
    from safetensors.numpy import save_file

    latent = disk.noise()
    save_file({"latent_tensor": latent[None]}, tmp_path / "step_000.latent")
    found = stored(tmp_path / "step_000.latent")
    np.testing.assert_array_equal(read_latent(found), latent * np.float32(COMFY_SCALE))
    np.testing.assert_array_equal(read_block(found, 0, 5), (latent * np.float32(COMFY_SCALE)).ravel()[:5])


def test_reading_ahead_keeps_the_order_and_puts_an_error_in_its_place(disk, tmp_path):
    paths = [disk.save(tmp_path / f"step_{n:03d}.npy", disk.noise(f"{n}")[None]) for n in range(5)]
    found = [stored(path) for path in paths]
    paths[3].unlink()
    read = list(ahead(found, 2))
    assert isinstance(read[3], LatentError)
    for n in (0, 1, 2, 4):
        np.testing.assert_array_equal(read[n], disk.noise(f"{n}"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"more")


def declare(path):
    """Let the header of a .npy say a billion times the rows it has."""
    data = path.read_bytes().replace(b"'shape': (1, 4, 5, 12, 14)", b"'shape': (9999999999999,)")
    path.write_bytes(data[: len(data)])


DAMAGE = {
    "empty": ("npy", lambda path: path.write_bytes(b""), "is empty"),
    "truncated": ("npy", cut, "is cut off"),
    "longer": ("npy", lengthen, "after the array"),
    "huge header": ("npy", declare, "is cut off|no array"),
    "gz truncated": ("npy.gz", cut, "damaged or cut off"),
    "gz longer": ("npy.gz", lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"x")),
                  "after the array"),
    "no gz": ("npy.gz", lambda path: path.write_bytes(b"plain"), "damaged or cut off"),
    "pt truncated": ("pt", cut, "is cut off"),
    "safetensors truncated": ("safetensors", cut, "cut off"),
    "safetensors header": ("safetensors", lambda path: path.write_bytes(struct.pack("<Q", 2**60) + b"{}"), "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_before_anything_is_allocated(disk, tmp_path, case):
    kind, damage, words = DAMAGE[case]
    path = disk.save(tmp_path / f"step_000.{kind}", disk.noise()[None])
    damage(path)
    with pytest.raises(LatentError, match=words) as raised:
        read_latent(stored(path, scratch=tmp_path))
    assert str(path) in str(raised.value)


class Code:
    def __reduce__(self):
        return (open, ("/tmp/longtake-was-here", "w"))


REFUSED = {
    "objects": ("npy", lambda path: np.save(path, np.array([Code()], object), allow_pickle=True)),
    "int": ("npy", lambda path: np.save(path, np.zeros((1, 2, 3, 4, 5), np.int32))),
    "bool": ("npy", lambda path: np.save(path, np.zeros((1, 2, 3, 4, 5), bool))),
    "complex": ("npy", lambda path: np.save(path, np.zeros((1, 2, 3, 4, 5), np.complex64))),
    "int tensor": ("pt", lambda path: torch.save(torch.zeros(1, 2, 3, 4, 5, dtype=torch.int32), path)),
    "code": ("pt", lambda path: torch.save({"latents": Code()}, path)),
    "two tensors": ("pt", lambda path: torch.save([torch.zeros(3), torch.zeros(3)], path)),
    "view": ("pt", lambda path: torch.save(torch.zeros(2, 3, 4, 5, 6).transpose(0, 1), path)),
    "old format": ("pt", lambda path: torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_single_real_array_is_refused_and_no_code_runs(disk, tmp_path, case):
    kind, write = REFUSED[case]
    path = tmp_path / f"step_000.{kind}"
    write(path)
    with pytest.raises(LatentError) as raised:
        read_header(path, kind)
    assert str(path) in str(raised.value)


def test_several_tensors_in_a_safetensors_file_are_named(disk, tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": disk.noise(), "b": disk.noise()}, tmp_path / "step_000.safetensors")
    with pytest.raises(LatentError, match=r"2 tensors \(a, b\)"):
        read_header(tmp_path / "step_000.safetensors", "safetensors")


def test_a_file_that_changes_during_the_run_is_not_measured(disk, tmp_path):
    path = disk.save(tmp_path / "step_000.npy", disk.noise()[None])
    found = stored(path)
    disk.save(path, disk.noise("other")[None])
    import os

    os.utime(path, ns=(1, 1))
    with pytest.raises(LatentError, match="changed during the run"):
        read_latent(found)


def _chunks(path):
    return sorted(each for each in path.rglob("*") if each.is_file() and each.name not in ("zarr.json", ".zarray"))


def _flip(path):
    data = bytearray(_chunks(path)[0].read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    _chunks(path)[0].write_bytes(data)


def _group(path):
    import zarr

    shutil.rmtree(path)
    zarr.open_group(str(path), mode="w")


def _pickled(path):
    """An array of format 2 whose chunks would go through pickle."""
    import zarr

    shutil.rmtree(path)
    zarr.create_array(str(path), shape=(1, 2, 3, 4, 5), chunks=(1, 2, 3, 4, 5), dtype="float32", zarr_format=2)
    told = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(told | {"filters": [{"id": "pickle", "protocol": 5}]}))


def _whole_numbers(path):
    import zarr

    shutil.rmtree(path)
    zarr.create_array(str(path), data=np.ones((1, 2, 3, 4, 5), np.int32))


ZARR = {
    "chunk missing": (lambda path: _chunks(path)[1].unlink(), r"holds \d+ chunks of \d+"),
    "chunk damaged": (_flip, "is damaged"),
    "group": (_group, "is a group"),
    "pickle": (_pickled, "codec 'pickle', which is not run"),
    "int": (_whole_numbers, "holds int32"),
    "metadata cut off": (lambda path: (path / "zarr.json").write_text('{"shape": [1'), "cannot be read"),
    "no array": (lambda path: (path / "zarr.json").unlink(), "no Zarr array"),
}


@pytest.mark.parametrize("case", ZARR)
def test_a_zarr_array_that_is_not_whole_or_would_run_code_is_refused(disk, tmp_path, case):
    damage, words = ZARR[case]
    path = disk.save(tmp_path / "step_000.zarr", disk.noise()[None])
    damage(path)
    with pytest.raises(LatentError, match=words) as raised:
        read_latent(stored(path))
    assert "step_000.zarr" in str(raised.value)


def test_without_zarr_its_arrays_are_refused_with_what_to_install(disk, tmp_path, monkeypatch):
    path = disk.save(tmp_path / "step_000.zarr", disk.noise()[None])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(LatentError, match="pip install zarr"):
        read_header(path, "zarr")


def test_arrays_of_zarrs_older_format_are_read(disk, tmp_path):
    import zarr

    latent = disk.noise()
    zarr.create_array(str(tmp_path / "step_000.zarr"), data=latent[None], zarr_format=2, filters=None)
    np.testing.assert_array_equal(read_latent(stored(tmp_path / "step_000.zarr")), latent)
