"""Every format gives back the array that was written, in the model's order, and says why it refuses what is none."""

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from longtake.errors import ConfigError, UnreadableVolume
from longtake.volumes.axes import Axes, declared
from longtake.volumes.probe import probe_volume
from longtake.volumes.reading import read_labels, read_volume
from longtake.volumes.source import open_volume
from longtake.volumes.writer import write_nifti, write_npy, write_tiff, write_zarr

AXES = Axes("HWB", "BHW")
VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
AFFINE = np.array([[0, 2.0, 0, -3], [1.0, 0, 0, 4], [0, 0, 0.5, 9], [0, 0, 0, 1]])


def as_npy(path):
    np.save(path / "v.npy", VOLUME)
    return path / "v.npy"


def as_fortran(path):
    np.save(path / "f.npy", np.asfortranarray(VOLUME))
    return path / "f.npy"


def as_npz(path):
    np.savez(path / "v.npz", volume=VOLUME)
    return path / "v.npz"


def as_mat(path):
    savemat(path / "v.mat", {"volume": VOLUME, "age": 61})
    return path / "v.mat"


def as_mat73(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "v73.mat", "w", userblock_size=512) as file:
        file["volume"] = VOLUME.T  # MATLAB's first axis is HDF5's last
    return path / "v73.mat"


def as_nifti(path):
    write_nifti(path / "v.nii.gz", VOLUME, AFFINE, None)
    return path / "v.nii.gz"


def as_tiff(path):
    tifffile.imwrite(path / "v.tif", VOLUME, photometric="minisblack")
    return path / "v.tif"


def as_tiffs(path):
    (path / "slices").mkdir()
    for number, page in enumerate(VOLUME):
        tifffile.imwrite(path / "slices" / f"s{number + 8}.tif", page)  # s10 comes after s9
    return path / "slices"


def as_zarr(path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(str(path / "v.zarr"), shape=VOLUME.shape, dtype="int16")
    stored[:] = VOLUME
    return path / "v.zarr"


def as_dicom(path, series=("1.2",), slope=1):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder = path / "dicom"
    folder.mkdir()
    for number, page in enumerate(VOLUME):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        head = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        head.SOPClassUID, head.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
        head.SeriesInstanceUID = series[number % len(series)]
        head.Rows, head.Columns = page.shape
        head.BitsAllocated, head.BitsStored, head.HighBit, head.PixelRepresentation = 16, 16, 15, 1
        head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
        head.ImageOrientationPatient, head.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.25]
        head.ImagePositionPatient, head.SliceThickness = [7, 8, 3.0 * number], 3
        head.RescaleSlope, head.RescaleIntercept = slope, 0
        head.PixelData = page.tobytes()
        pydicom.dcmwrite(folder / f"{99 - number}.dcm", head)  # names run against the places
    return folder


@pytest.mark.parametrize(
    "write", [as_npy, as_fortran, as_npz, as_mat, as_mat73, as_nifti, as_tiff, as_tiffs, as_zarr, as_dicom]
)
def test_a_volume_arrives_in_the_models_order_whatever_its_format(write, tmp_path):
    path = write(tmp_path)
    variable = "volume" if path.suffix in (".npz", ".mat") else ""
    found = read_volume(path, AXES, variable=variable, divide_by=2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VOLUME.transpose(2, 0, 1)[None] / np.float32(2))
    facts = probe_volume(path, AXES, variable=variable, divide_by=2)
    assert facts["status"] == "ok", facts
    assert facts["shape"] == [4, 5, 6]
    assert facts["model_shape"] == [6, 4, 5]
    assert (facts["minimum"], facts["maximum"]) == (0, 59.5)


def test_channels_of_the_file_come_first_for_the_model(tmp_path):
    coloured = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5, 2)
    np.save(tmp_path / "c.npy", coloured)
    found = read_volume(tmp_path / "c.npy", Axes("HWBC", "CBHW"))
    np.testing.assert_array_equal(found, coloured.transpose(3, 2, 0, 1))


def test_geometry_is_that_of_the_file(tmp_path):
    facts = probe_volume(as_nifti(tmp_path), AXES)
    np.testing.assert_allclose(facts["affine"], AFFINE)
    assert facts["spacing"] == [1.0, 2.0, 0.5]
    dicom = probe_volume(as_dicom(tmp_path, slope=2), AXES)
    np.testing.assert_allclose(np.array(dicom["affine"]) @ [1, 2, 3, 1], [7 + 3 * 0.25, 8 + 2 * 0.5, 3, 1])
    assert dicom["maximum"] == 2 * VOLUME.max()


def test_what_is_written_lies_in_the_files_order_and_place(tmp_path):
    import nibabel

    values = AXES.to_file(read_volume(as_npy(tmp_path), AXES)[0])
    np.testing.assert_array_equal(values, VOLUME)
    write_npy(tmp_path / "m.npy", values)
    np.testing.assert_array_equal(np.load(tmp_path / "m.npy"), VOLUME)
    write_nifti(tmp_path / "m.nii.gz", values, AFFINE, None)
    image = nibabel.load(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), VOLUME)
    np.testing.assert_allclose(image.affine, AFFINE)
    write_tiff(tmp_path / "m.tif", values)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.tif"), VOLUME)
    zarr = pytest.importorskip("zarr")
    write_zarr(tmp_path / "m.zarr", values)
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "m.zarr"), mode="r")[:], VOLUME)


def test_regions_lie_on_the_volumes_voxels(tmp_path):
    np.save(tmp_path / "r.npy", VOLUME > 7)
    found = read_labels(tmp_path / "r.npy", AXES, (6, 4, 5), "mask")
    np.testing.assert_array_equal(found, (VOLUME > 7).transpose(2, 0, 1))
    with pytest.raises(UnreadableVolume, match=r"r\.npy \(mask\) has the shape \(4, 5, 6\), its volume \(4, 5, 7\)"):
        read_labels(tmp_path / "r.npy", AXES, (7, 4, 5), "mask")


class Evil:
    def __reduce__(self):
        return print, ("loaded",)


def bad_files(path):
    """What is wrong, how it is made, and what must be said."""
    np.savez(path / "several.npz", left=VOLUME, right=VOLUME)
    np.save(path / "object.npy", np.array([Evil()] * 8).reshape(2, 2, 2), allow_pickle=True)
    np.savez(path / "object.npz", a=np.array([Evil()], object))
    (path / "empty.npy").write_bytes(b"")
    np.save(path / "cut.npy", VOLUME)
    (path / "cut.npy").write_bytes((path / "cut.npy").read_bytes()[:-7])
    (path / "no.npy").write_bytes(b"this is no array")
    (path / "no.mat").write_bytes(b"this is no matrix" * 40)
    (path / "no.nii.gz").write_bytes(b"neither is this")
    (path / "no.tif").write_bytes(b"nor this")
    holed = VOLUME.astype(np.float32)
    holed[1, 2, 3], holed[3, 3, 3] = np.nan, np.inf
    np.save(path / "nan.npy", holed)
    np.save(path / "complex.npy", VOLUME * 1j)
    np.save(path / "text.npy", VOLUME.astype("U3"))
    np.save(path / "bool.npy", VOLUME > 3)
    np.save(path / "flat.npy", VOLUME[0])
    np.save(path / "none.npy", VOLUME[:0])
    np.save(path / "four.npy", VOLUME[None])
    tifffile.imwrite(path / "rgb.tif", np.zeros((3, 8, 9, 3), np.uint8), photometric="rgb")
    with tifffile.TiffWriter(path / "sizes.tif") as writer:
        writer.write(np.zeros((8, 9), np.uint8))
        writer.write(np.zeros((8, 10), np.uint8))
    folder = as_tiffs(path)
    (folder / "s9.tif").unlink()
    write_nifti(path / "singular.nii.gz", VOLUME, AFFINE, None)
    import nibabel

    image = nibabel.load(path / "singular.nii.gz")
    image.set_sform(np.diag([1.0, 0, 1, 1]), 1)
    image.set_qform(None, 0)
    nibabel.save(image, path / "bad.nii.gz")
    (path / "v.docx").write_bytes(b"x")
    return {
        "several.npz": r"several arrays, left, right: name one",
        "object.npy": "Python objects",
        "object.npz": "Python objects",
        "empty.npy": "is empty",
        "cut.npy": r"truncated: 233 bytes of 240",
        "no.npy": "no NumPy array",
        "no.mat": "no MATLAB file",
        "no.nii.gz": "no NIfTI file",
        "no.tif": "no TIFF file",
        "nan.npy": r"2 numbers that are not finite, the first at \(1, 2, 3\)",
        "complex.npy": "complex",
        "text.npy": "not numbers",
        "bool.npy": "truth values",
        "flat.npy": "a picture",
        "none.npy": "no slices",
        "four.npy": r"has 4 axes, \(1, 4, 5, 6\), but attribution.axes is 'HWB'",
        "rgb.tif": "in colour",
        "sizes.tif": r"page 1 has the size \(8, 10\)",
        "slices": "slice 9 is missing",
        "bad.nii.gz": "affine is singular",
        "v.docx": "no format known",
        "gone.npy": "does not exist",
    }


def test_what_is_no_volume_is_refused_with_its_name_and_a_remedy(tmp_path, capsys):
    for name, said in bad_files(tmp_path).items():
        facts = probe_volume(tmp_path / name, AXES)
        assert facts["status"] == "unreadable", name
        assert name in facts["reason"], facts["reason"]
        with pytest.raises(UnreadableVolume, match=said):
            raise UnreadableVolume(facts["reason"])
    assert "loaded" not in capsys.readouterr().out


def test_an_unknown_variable_names_the_nearest(tmp_path):
    with (
        pytest.raises(UnreadableVolume, match=r"no variable 'volum'\. Did you mean 'volume'"),
        open_volume(as_npz(tmp_path), variable="volum"),
    ):
        pass


def test_mixed_series_are_refused(tmp_path):
    reason = probe_volume(as_dicom(tmp_path, series=("1.2", "1.3")), AXES)["reason"]
    assert "mixes 2 DICOM series" in reason


@pytest.mark.parametrize(
    ("file", "model", "said"),
    [
        ("", "BHW", "attribution.axes is empty"),
        ("HWB", "", "attribution.model_axes is empty"),
        ("HHB", "BHW", "H stands twice"),
        ("HWB", "BHD", "the same three spatial axes"),
        ("HW", "BHW", "three spatial axes"),
        ("hwb", "BHW", "capital letters"),
        ("HWBC", "BHWC", "channels come first"),
    ],
)
def test_axes_are_declared_in_full(file, model, said):
    with pytest.raises(ConfigError, match=said):
        declared(file, model)
