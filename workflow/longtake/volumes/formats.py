"""One opener for each format; `longtake.volumes.source` says what they give."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import UnreadableVolume, nearest
from longtake.volumes.folders import open_dicom, open_folder, open_tiff
from longtake.volumes.source import Source

Opener = Callable[[Path, str], AbstractContextManager[Source]]
HDF5 = b"\x89HDF\r\n\x1a\n"


def opener(path: Path) -> Opener:
    """The opener of a file by its name, of a folder by what lies in it.

    Raises
    ------
    UnreadableVolume
        No format has that name.
    """
    if path.is_dir():
        return open_zarr if any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")) else open_folder
    name = path.name.lower()
    for suffix, found in OPENERS.items():
        if name.endswith(suffix):
            return found
    raise UnreadableVolume(
        f"{path}: {path.suffix or 'a name without an ending'} is no format known here. Known: {', '.join(OPENERS)}, "
        "and folders of TIFF or DICOM slices."
    )


@contextmanager
def open_npy(path: Path, _variable: str) -> Iterator[Source]:
    """A NumPy array; planes are read where they lie, along the first axis or, in Fortran's order, the last."""
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except (ValueError, EOFError, UnicodeError) as error:
            raise UnreadableVolume(f"{path} is no NumPy array ({error}): copy it again.") from error
        if dtype.hasobject:
            raise UnreadableVolume(f"{path} holds Python objects (pickle), which are not loaded: save plain numbers.")
        begin, count = file.tell(), math.prod(shape)
        there = path.stat().st_size - begin
        if there < count * dtype.itemsize:
            raise UnreadableVolume(f"{path} is truncated: {there} bytes of {count * dtype.itemsize}. Copy it again.")
        along = len(shape) - 1 if fortran else 0
        rest = tuple(size for axis, size in enumerate(shape) if axis != along)

        def plane(index: int) -> np.ndarray:
            file.seek(begin + index * math.prod(rest) * dtype.itemsize)
            flat = np.fromfile(file, dtype, math.prod(rest))
            return flat.reshape(rest, order="F" if fortran else "C")

        yield Source(path, "npy", tuple(shape), dtype, along, plane)


@contextmanager
def open_npz(path: Path, variable: str) -> Iterator[Source]:
    """One array of several, unpacked whole."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            name = chosen(path, variable, archive.files)
            values = archive[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableVolume(
            f"{path} cannot be read ({error}). Copy it again; Python objects (pickle) are not loaded."
        ) from error
    yield held(path, "npz", values, name)


@contextmanager
def open_mat(path: Path, variable: str) -> Iterator[Source]:
    """A MATLAB file: up to version 7.2 unpacked whole, from 7.3 on (HDF5) plane by plane."""
    with path.open("rb") as file:
        head = file.read(520)
    if head[:8] == HDF5 or head[512:520] == HDF5:
        with _open_mat73(path, variable) as source:
            yield source
        return
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        known = {name: shape for name, shape, kind in whosmat(path) if kind not in ("cell", "struct", "object")}
        name = chosen(path, variable, [name for name, shape in known.items() if variable or len(shape) > 2])
        values = loadmat(path, variable_names=[name])[name]
    except (ValueError, TypeError, OSError, KeyError, NotImplementedError, MatReadError) as error:
        raise UnreadableVolume(f"{path} is no MATLAB file that can be read ({error}): copy it again.") from error
    if values.dtype.hasobject:
        raise UnreadableVolume(f"{path}, {name!r}, holds cells or objects, not numbers: save a numeric array.")
    yield held(path, "mat", values, name)


@contextmanager
def _open_mat73(path: Path, variable: str) -> Iterator[Source]:
    """MATLAB's first axis is HDF5's last: shapes are given as MATLAB has them."""
    try:
        import h5py
    except ImportError as error:
        raise UnreadableVolume(
            f"{path} is a MATLAB 7.3 file, which needs h5py: pip install h5py, or save it with -v7."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            arrays = [name for name, value in file.items() if isinstance(value, h5py.Dataset) and value.ndim > 1]
            name = chosen(path, variable, arrays)
            data = file[name]
            shape = tuple(reversed(data.shape))
            yield Source(path, "mat 7.3", shape, data.dtype, len(shape) - 1, lambda at: data[at].T, variable=name)
    except OSError as error:
        raise UnreadableVolume(f"{path} is damaged ({error}): copy it again.") from error


@contextmanager
def open_nifti(path: Path, _variable: str) -> Iterator[Source]:
    """NIfTI, compressed or not: slices along the last axis, with the file's slope and intercept applied."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        proxy, affine = image.dataobj, np.asarray(image.affine, np.float64)
        raw = np.dtype(image.get_data_dtype())
        plain = not any(proxy[..., :1].dtype.kind == kind for kind in "f") and raw.kind in "iu"
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UnreadableVolume(f"{path} is no NIfTI file that can be read ({error}): copy it again.") from error
    shape = tuple(image.shape)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise UnreadableVolume(f"{path}: its affine is singular, so voxels have no place. Set sform or qform right.")
    dtype = raw if plain or raw.kind not in "iuf" else np.dtype(np.float64 if raw.itemsize > 4 else np.float32)
    spacing = tuple(float(np.linalg.norm(affine[:3, axis])) for axis in range(3))

    def plane(index: int) -> np.ndarray:
        try:
            return np.asarray(proxy[..., index])
        except (OSError, EOFError, ValueError) as error:
            raise UnreadableVolume(f"{path} is damaged at slice {index} ({error}): copy it again.") from error

    yield Source(path, "NIfTI", shape, dtype, len(shape) - 1, plane, affine, spacing)


@contextmanager
def open_zarr(path: Path, variable: str) -> Iterator[Source]:
    """A Zarr array, or one of a group."""
    try:
        import zarr
    except ImportError as error:
        raise UnreadableVolume(f"{path} is a Zarr store, which needs zarr: pip install zarr.") from error
    try:
        opened: Any = zarr.open(str(path), mode="r")
    except (ValueError, OSError, KeyError) as error:
        raise UnreadableVolume(f"{path} is no Zarr array that can be read ({error}): copy it again.") from error
    name = ""
    if isinstance(opened, zarr.Group):
        name = chosen(path, variable, [key for key, _ in opened.arrays()])
        opened = opened[name]
    shape = tuple(opened.shape)
    yield Source(path, "Zarr", shape, np.dtype(opened.dtype), 0, lambda at: np.asarray(opened[at]), variable=name)


def held(path: Path, kind: str, values: np.ndarray, variable: str) -> Source:
    """A source of an array that is in memory."""
    return Source(path, kind, values.shape, values.dtype, 0, lambda at: values[at], variable=variable)


def chosen(path: Path, variable: str, names: Sequence[str]) -> str:
    """The array to take: the named one, or the only one.

    Raises
    ------
    UnreadableVolume
        There is no such array; or there are several and none is named.
    """
    if variable:
        if variable in names:
            return variable
        raise UnreadableVolume(
            f"{path} has no variable {variable!r}.{nearest(variable, names)} It has: {', '.join(names) or 'none'}."
        )
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnreadableVolume(f"{path} holds no array of three axes: is it the right file?")
    raise UnreadableVolume(
        f"{path} holds several arrays, {', '.join(sorted(names))}: name one, by `variable` in the sheet of volumes or "
        "attribution.variable."
    )


OPENERS: dict[str, Opener] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".mat": open_mat,
    ".nii": open_nifti,
    ".nii.gz": open_nifti,
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".zarr": open_zarr,
    ".dcm": open_dicom,
}
"""By the ending of the file's name."""
