"""Maps on disk: raw arrays, and exports in the formats of the field, all in the file's order of axes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from longtake.store.atomic import atomic_path


def write_npy(path: str | Path, values: np.ndarray) -> None:
    """Write `values` as a NumPy array in C order, atomically, plane by plane: no copy in another order is made."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(values.dtype), "fortran_order": False, "shape": values.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for plane in values if values.ndim > 1 else [values]:
            file.write(np.ascontiguousarray(plane).tobytes())


def write_nifti(
    path: str | Path,
    values: np.ndarray,
    affine: np.ndarray | None,
    spacing: Sequence[float] | None,
    *,
    dtype: str = "float32",
) -> None:
    """Write a map (file's order) as NIfTI with the volume's affine, or with its spacing, or with voxels of 1."""
    import nibabel

    if affine is None:
        affine = np.diag([*(spacing or (1.0, 1.0, 1.0)), 1.0])
    image = nibabel.Nifti1Image(np.asarray(values, dtype), affine)
    with atomic_path(path) as temporary:
        # nibabel chooses the format by both endings of .nii.gz, of which a temporary name keeps the last.
        named = temporary.with_name(temporary.name + (".nii.gz" if str(path).endswith(".gz") else ".nii"))
        try:
            nibabel.save(image, named)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def write_tiff(path: str | Path, values: np.ndarray) -> None:
    """Write a map (file's order) as a stack of float32 pages along its first axis."""
    import tifffile

    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary) as writer:
        for page in values:
            writer.write(np.ascontiguousarray(page, np.float32), contiguous=True, photometric="minisblack")


def write_zarr(path: str | Path, values: np.ndarray) -> None:
    """Write a map (file's order) as a Zarr array with one chunk a slice; the folder appears whole, by rename."""
    import zarr

    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    stored = zarr.create_array(str(part), shape=values.shape, chunks=(1, *values.shape[1:]), dtype="float32")
    for index, plane in enumerate(values):
        stored[index] = plane
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def write_rgb_tiff(path: str | Path, pages: Sequence[np.ndarray]) -> None:
    """Write pictures (H, W, 3) uint8, all of one size, as pages of one TIFF."""
    import tifffile

    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", contiguous=True)
