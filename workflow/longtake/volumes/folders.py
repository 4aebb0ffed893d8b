"""Volumes whose slices are pages or files: TIFF stacks, folders of TIFF slices, DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import UnreadableVolume
from longtake.volumes.source import Source

TIFF_NAMES = (".tif", ".tiff")


@contextmanager
def open_tiff(path: Path, _variable: str) -> Iterator[Source]:
    """A stack of pages, page by page, along the first axis.

    Raises
    ------
    UnreadableVolume
        Pages are coloured, of different sizes, or fewer than the file's own description says.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            pages = list(file.pages)
            declared = (file.imagej_metadata or {}).get("images", len(pages))
            shape = _page_shape(path, [(page.shape, page.dtype) for page in pages])
            if declared > len(pages) > 1:
                raise UnreadableVolume(
                    f"{path} has {len(pages)} pages of {declared}: the rest is missing. Copy it again."
                )
            if declared > len(pages):  # ImageJ writes large stacks behind one page's header
                stack = file.series[0].asarray(out="memmap")
                yield Source(path, "TIFF", stack.shape, stack.dtype, 0, lambda at: np.asarray(stack[at]))
                return

            def plane(index: int) -> np.ndarray:
                try:
                    return pages[index].asarray()
                except (ValueError, OSError, IndexError, tifffile.TiffFileError) as error:
                    raise UnreadableVolume(f"{path} is damaged at page {index} ({error}): copy it again.") from error

            yield Source(path, "TIFF", (len(pages), *shape), np.dtype(pages[0].dtype), 0, plane)
    except (tifffile.TiffFileError, OSError) as error:
        raise UnreadableVolume(f"{path} is no TIFF file that can be read ({error}): copy it again.") from error


@contextmanager
def open_folder(path: Path, variable: str) -> Iterator[Source]:
    """A folder of slices: TIFF files in the order of the numbers in their names, else a DICOM series."""
    names = [entry for entry in sorted(path.iterdir()) if entry.is_file() and entry.name[0] != "."]
    if not names:
        raise UnreadableVolume(f"{path} is an empty folder: correct `path` in the sheet of volumes.")
    if not all(entry.name.lower().endswith(TIFF_NAMES) for entry in names):
        with open_dicom(path, variable) as source:
            yield source
        return
    import tifffile

    names.sort(key=lambda entry: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", entry.name)])
    _refuse_gaps(path, names)
    try:
        pages = []
        for entry in names:
            with tifffile.TiffFile(entry) as file:
                if len(file.pages) != 1:
                    raise UnreadableVolume(f"{entry} has {len(file.pages)} pages, one a file is expected in a folder.")
                pages.append((file.pages[0].shape, file.pages[0].dtype))
        shape = _page_shape(path, pages)
        yield Source(
            path, "TIFF folder", (len(names), *shape), np.dtype(pages[0][1]), 0, lambda at: tifffile.imread(names[at])
        )
    except (tifffile.TiffFileError, OSError) as error:
        raise UnreadableVolume(f"{path}: a slice cannot be read ({error}): copy it again.") from error


def _refuse_gaps(path: Path, names: Sequence[Path]) -> None:
    numbers = [int(found[-1]) for entry in names if (found := re.findall(r"\d+", entry.stem))]
    if len(numbers) != len(names):
        return
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    if missing:
        raise UnreadableVolume(f"{path}: slice {missing[0]} is missing between its neighbours. Copy the folder again.")


def _page_shape(path: Path, pages: Sequence[tuple[tuple[int, ...], Any]]) -> tuple[int, ...]:
    shape = pages[0][0]
    if len(shape) == 3 and shape[-1] in (3, 4):
        raise UnreadableVolume(f"{path}: its pages are in colour (RGB), {shape}. Save grey values, one number a voxel.")
    for number, (other, _) in enumerate(pages):
        if other != shape:
            raise UnreadableVolume(
                f"{path}: page {number} has the size {other}, page 0 {shape}. All slices of a volume have one size."
            )
    return shape


@contextmanager
def open_dicom(path: Path, _variable: str) -> Iterator[Source]:
    """One DICOM series, ordered along its normal, with rescale slope and intercept applied.

    The affine is in millimetres of the patient's coordinates (left, posterior, superior), indices in the order slice,
    row, column.

    Raises
    ------
    UnreadableVolume
        pydicom is missing, the files belong to several series or sizes, or slices are not parallel.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise UnreadableVolume(f"{path} is DICOM, which needs pydicom: pip install pydicom.") from error
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    try:
        heads = [(pydicom.dcmread(entry, stop_before_pixels=True), entry) for entry in files]
    except (InvalidDicomError, OSError) as error:
        raise UnreadableVolume(f"{path}: a file is no DICOM ({error}). Keep one series alone in a folder.") from error
    series = sorted({str(head.get("SeriesInstanceUID")) for head, _ in heads})
    if len(series) > 1:
        raise UnreadableVolume(f"{path} mixes {len(series)} DICOM series. Put each series into a folder of its own.")
    sizes = {(int(head.Rows), int(head.Columns)) for head, _ in heads}
    if len(sizes) > 1:
        raise UnreadableVolume(f"{path}: slices have different sizes, {sorted(sizes)}. Is this one series?")
    first: Any = heads[0][0]
    if int(first.get("NumberOfFrames", 1)) > 1:
        pixels = pydicom.dcmread(files[0]).pixel_array
        slope, offset = float(first.get("RescaleSlope", 1)), float(first.get("RescaleIntercept", 0))
        scaled = _scaled(pixels, slope, offset)
        yield Source(path, "DICOM", scaled.shape, scaled.dtype, 0, lambda at: scaled[at])
        return
    heads, affine = _placed(path, heads)

    def plane(index: int) -> np.ndarray:
        try:
            whole = pydicom.dcmread(heads[index][1])
            slope, offset = float(whole.get("RescaleSlope", 1)), float(whole.get("RescaleIntercept", 0))
            return _scaled(whole.pixel_array, slope, offset)
        except (InvalidDicomError, OSError, ValueError, AttributeError) as error:
            raise UnreadableVolume(f"{heads[index][1]} cannot be read ({error}): copy it again.") from error

    spacing = None if affine is None else tuple(float(np.linalg.norm(affine[:3, axis])) for axis in range(3))
    shape = (len(heads), *sizes.pop())
    yield Source(path, "DICOM", shape, np.dtype(np.float32), 0, plane, affine, spacing)


def _scaled(pixels: np.ndarray, slope: float, offset: float) -> np.ndarray:
    return pixels.astype(np.float32) * np.float32(slope) + np.float32(offset)


def _placed(path: Path, heads: list[tuple[Any, Path]]) -> tuple[list[tuple[Any, Path]], np.ndarray | None]:
    """Slices in the order of their places along the normal (DICOM PS3.3, C.7.6.2), and their affine; by instance number
    and without one where the files say no places."""
    if not all("ImagePositionPatient" in head and "ImageOrientationPatient" in head for head, _ in heads):
        return sorted(heads, key=lambda each: int(each[0].get("InstanceNumber", 0))), None
    turned = np.array([head.ImageOrientationPatient for head, _ in heads], np.float64)
    if np.abs(turned - turned[0]).max() > 1e-3:
        raise UnreadableVolume(f"{path}: slices are not parallel. Is this one series?")
    row, column = turned[0][:3], turned[0][3:]
    normal = np.cross(row, column)
    heads = sorted(heads, key=lambda each: float(np.dot(normal, np.array(each[0].ImagePositionPatient, np.float64))))
    places = np.array([head.ImagePositionPatient for head, _ in heads], np.float64)
    down, right = (float(value) for value in heads[0][0].get("PixelSpacing", (1, 1)))
    affine = np.eye(4)
    thick = float(heads[0][0].get("SliceThickness", 1) or 1)
    affine[:3, 0] = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else normal * thick
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = column * down, row * right, places[0]
    return heads, affine
