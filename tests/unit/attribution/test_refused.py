"""Whatever a user can get wrong with volumes: who says so first, by which error, and that it names value and remedy."""

import re
import sys

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from longtake.attribution.sheet import leaks, read_volumes, selected
from longtake.errors import (
    BudgetError,
    ConfigError,
    LongtakeError,
    ModelError,
    SheetError,
    UnreadableVolume,
)
from longtake.settings.read import read_config
from longtake.volumes.axes import Axes
from longtake.volumes.probe import probe_volume

SIZE = (12, 16, 18)
COLUMNS = ("volume", "path", "label", "split", "subject", "variable", "axes", "mask", "regions")


class Evil:
    def __reduce__(self):
        return print, ("loaded",)


def drawn():
    return np.random.default_rng(1).random(SIZE).astype(np.float32)


def npy(values, **options):
    return lambda path: np.save(path, values, **options)


def text(content):
    return lambda path: path.write_bytes(content)


def truncated(path):
    np.save(path, drawn())
    path.write_bytes(path.read_bytes()[:-7])


def holed(path):
    values = drawn()
    values[1, 2, 3], values[3, 3, 3] = np.nan, np.inf
    np.save(path, values)


def several(path):
    savemat(path, {"left": drawn(), "right": drawn()})


def version_73(path):
    path.write_bytes(b"\0" * 512 + b"\x89HDF\r\n\x1a\n")


def pages(*shapes, **options):
    def write(path):
        with tifffile.TiffWriter(path) as writer:
            for shape in shapes:
                writer.write(np.zeros(shape, np.uint8), **options)

    return write


def gapped(path):
    path.mkdir()
    for number in (1, 2, 4):
        tifffile.imwrite(path / f"s{number}.tif", np.zeros(SIZE[1:], np.uint8))


def nifti(shape=SIZE, scale=1.0):
    def write(path):
        import nibabel

        image = nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4))
        image.set_sform(np.diag([1, scale, 1, 1]), 1)
        image.set_qform(None, 0)
        nibabel.save(image, path)

    return write


def mixed_series(path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    path.mkdir()
    for number in range(2):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        head = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        head.SOPClassUID, head.SOPInstanceUID, head.SeriesInstanceUID = CTImageStorage, f"1.2.{number}", f"1.3.{number}"
        head.Rows, head.Columns, head.PixelData = 2, 2, bytes(8)
        head.BitsAllocated, head.BitsStored, head.HighBit, head.PixelRepresentation = 16, 16, 15, 0
        head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
        pydicom.dcmwrite(path / f"{number}.dcm", head)


def net(name):
    return {"model": f"nets_of_tests:{name}"}


def lines(*rows):
    return {"sheet": [dict(zip(("volume", "label", "split", "subject"), row, strict=False)) for row in rows]}


# What is wrong | settings | cells of the sheet, or how the file is made | the error | what is said, in this order.
# UnreadableVolume and SheetError of a volume are told in its rows, and so is what one method cannot do ("row").
BAD = [
    ("no axes", {"axes": ""}, {}, ConfigError, ("attribution.axes is empty", "capital letter|write a letter")),
    ("no model axes", {"model_axes": ""}, {}, ConfigError, ("attribution.model_axes is empty",)),
    ("other letters", {"model_axes": "BHD"}, {}, ConfigError, ("'HWB'", "'BHD'", "the same three spatial axes")),
    ("a letter twice", {"axes": "HHB"}, {}, ConfigError, ("'HHB'", "H stands twice")),
    (
        "axes of another count",
        {},
        {"axes": "HWBC"},
        UnreadableVolume,
        ("v.npy", "3 axes", "'HWBC'", "one letter for each"),
    ),
    ("several arrays", {}, {"v.mat": several}, UnreadableVolume, ("v.mat", "left, right", "name one")),
    ("unknown variable", {"variable": "lefft"}, {"v.mat": several}, UnreadableVolume, ("'lefft'", "'left'", "It has")),
    (".mat 7.3, no h5py", {}, {"v.mat": version_73}, UnreadableVolume, ("v.mat", "needs h5py", "pip install h5py")),
    (
        "pickled npy",
        {},
        {"v.npy": npy(np.array([Evil()] * 8, object).reshape(2, 2, 2), allow_pickle=True)},
        UnreadableVolume,
        ("v.npy", "Python objects"),
    ),
    (
        "pickled npz",
        {},
        {"v.npz": lambda path: np.savez(path, a=np.array([Evil()], object))},
        UnreadableVolume,
        ("v.npz", "Python objects"),
    ),
    ("truncated", {}, {"v.npy": truncated}, UnreadableVolume, ("v.npy", "truncated", r"of \d+")),
    ("empty", {}, {"v.npy": text(b"")}, UnreadableVolume, ("v.npy is empty", "copy it again")),
    ("no array", {}, {"v.npy": text(b"hello")}, UnreadableVolume, ("v.npy is no NumPy array",)),
    ("NaN and infinite", {}, {"v.npy": holed}, UnreadableVolume, ("v.npy", "2 numbers", r"\(1, 2, 3\)", "Repair")),
    ("complex", {}, {"v.npy": npy(drawn() * 1j)}, UnreadableVolume, ("v.npy", "complex", "save magnitude")),
    ("words", {}, {"v.npy": npy(drawn().astype("U3"))}, UnreadableVolume, ("v.npy", "not numbers", "save it as")),
    ("truth values", {}, {"v.npy": npy(drawn() > 0.5)}, UnreadableVolume, ("v.npy", "bool", "name the volume")),
    ("a picture", {}, {"v.npy": npy(drawn()[0])}, UnreadableVolume, ("v.npy", r"\(16, 18\)", "three axes")),
    ("no slices", {}, {"v.npy": npy(drawn()[:0])}, UnreadableVolume, ("v.npy", r"\(0, 16, 18\)", "no slices")),
    (
        "constant, noise",
        {"methods": ["smoothgrad", "saliency"]},
        {"v.npy": npy(np.ones(SIZE, np.float32))},
        "row",
        ("'v' is constant", "Leave it out"),
    ),
    (
        "colour",
        {},
        {"v.tif": pages((16, 18, 3), (16, 18, 3), photometric="rgb")},
        UnreadableVolume,
        ("v.tif", "colour"),
    ),
    ("missing page", {}, {"v": gapped}, UnreadableVolume, ("v", "slice 3 is missing")),
    (
        "pages of two sizes",
        {},
        {"v.tif": pages((16, 18), (16, 17))},
        UnreadableVolume,
        ("v.tif", r"page 1", r"\(16, 17\)"),
    ),
    (
        "NIfTI in time",
        {},
        {"v.nii.gz": nifti((*SIZE, 2))},
        UnreadableVolume,
        ("v.nii.gz", "4 axes", "one volume a file"),
    ),
    ("no place", {}, {"v.nii.gz": nifti(scale=0)}, UnreadableVolume, ("v.nii.gz", "singular", "Set sform or qform")),
    (
        "mask elsewhere",
        {},
        {"mask": npy(np.zeros((2, 3, 4)))},
        UnreadableVolume,
        (r"\(mask\)", r"\(2, 3, 4\)", "same voxels"),
    ),
    (
        "regions elsewhere",
        {},
        {"regions": npy(np.zeros((2, 3, 4)))},
        UnreadableVolume,
        (r"\(regions\)", r"\(2, 3, 4\)"),
    ),
    ("half regions", {}, {"regions": npy(np.full(SIZE, 0.5))}, UnreadableVolume, (r"\(regions\)", "no whole numbers")),
    ("two series", {}, {"v": mixed_series}, UnreadableVolume, ("v", "mixes 2 DICOM series")),
    ("no format", {}, {"v.docx": text(b"x")}, UnreadableVolume, ("v.docx", "no format known")),
    ("unknown label", {}, {"label": "Bright"}, SheetError, ("'v'", "'Bright'", "Did you mean 'bright'")),
    ("true without label", {"target": "true"}, {"label": ""}, SheetError, ("'v'", "no label", "fill it in")),
    ("a split with none", {"split": "val"}, {}, SheetError, ("'val'", "has only: test")),
    ("unknown split", {}, {"split": "tset"}, SheetError, ("'tset'", "Did you mean 'test'")),
    ("an id twice", {}, lines(("v",), ("v",)), SheetError, ("'v'|v", "stands already")),
    ("an id that leads out", {}, lines(("../x",)), SheetError, (r"'\.\./x'", "letters, digits")),
    ("no file", {}, {"path": "gone.npy"}, SheetError, ("gone.npy", "does not exist")),
    ("no row", {}, {"sheet": []}, SheetError, ("has no row", "write one")),
    ("unknown layer", {"layer": "secnd"}, {}, ModelError, ("'secnd'", "Did you mean 'second'")),
    ("layer without extent", {"layer": "out"}, {}, ModelError, ("'out'", "no spatial extent", "Name a layer")),
    (
        "layer called twice",
        {"layer": "part.inner", **net("calling_twice")},
        {},
        ModelError,
        ("called 2 times", "name a"),
    ),
    ("layer of a tuple", {"layer": "part.inner", **net("with_pair")}, {}, ModelError, ("no single tensor", "name a")),
    ("layer of tokens", {"layer": "part.inner", **net("with_tokens")}, {}, ModelError, ("no spatial extent", "Name a")),
    (
        "weights that vanish",
        {"layer": "first.0", "methods": ["gradcam", "saliency"], **net("instance")},
        {},
        "row",
        ("weights vanish at 'first.0'", "instance norm", "'first.1'"),
    ),
    ("two inputs", net("two_inputs"), {}, ModelError, ("second input", "bind it in your factory")),
    ("a segmenter", net("segmenter"), {}, ModelError, ("segmenter", "RegionSums")),
    ("tokens for scores", net("tokens"), {}, ModelError, (r"\(5, 1\), not \(classes,\)",)),
    ("a tuple for scores", net("pair"), {}, ModelError, ("returned a tuple", "alone")),
    ("training mode", net("training"), {}, ModelError, ("training mode", r"eval\(\)")),
    ("two calls differ", net("drawing"), {}, ModelError, ("'v'", "two calls", "switch that off")),
    ("too small", net("strided"), {}, ModelError, ("'v'", r"\(1, 1, 18, 12, 16\)", "too small")),
    ("no model", net("nothing"), {}, ModelError, ("returned a int", "docs/volumes.md")),
    ("factory of nothing", net("wrong_arguments"), {}, ModelError, (r"\(device\) or \(device, checkpoint\)",)),
    ("unknown factory", net("plane"), {}, ModelError, ("plane", "Did you mean 'plain'")),
    (
        "no such folder",
        {"model": "no_folder"},
        {},
        ModelError,
        ("'no_folder'", "there is no such folder", "Give a folder"),
    ),
    ("no checkpoint", {"checkpoint": "gone.pt"}, {}, ModelError, ("'gone.pt'", "no such file")),
    ("unknown class", {"target": "brigt"}, {}, ConfigError, ("'brigt'", "Did you mean 'bright'")),
    ("class beyond", {"target": 5}, {}, ConfigError, ("attribution.target is 5", r"\(0 to 1\)")),
    ("unknown contrast", {"contrast": "x"}, {}, ConfigError, ("attribution.contrast is 'x'", "dark, bright")),
    ("no noise", {"noise_level": 0}, {}, ConfigError, ("attribution.noise_level is 0",)),
    ("less than none", {"noise_level": -0.1}, {}, ConfigError, ("attribution.noise_level is -0.1",)),
    (
        "variance of one",
        {"methods": ["vargrad"], "n_samples": 1},
        {},
        ConfigError,
        ("n_samples is 1", "needs 2 at least"),
    ),
    ("no steps", {"ig_steps": 0}, {}, ConfigError, ("attribution.ig_steps is 0",)),
    ("unknown method", {"methods": ["gradcamm"]}, {}, ConfigError, ("'gradcamm'", "gradcam")),
    ("unknown baseline", {"baseline": "black"}, {}, ConfigError, ("'black'", "no baseline", "zero, mean")),
    ("nothing fits", {"memory_gb": 1e-9}, {}, BudgetError, (r"the smallest peak is \d+ bytes", "by ")),
]
VOLUMES = ("v.npy", "v.mat", "v.npz", "v.tif", "v", "v.nii.gz", "v.docx")


def study(place, cells):
    """Write the files and the sheet that `cells` ask for; return the sheet."""
    row = {"volume": "v", "path": str(place / "v.npy"), "label": "bright", "split": "test"}
    for name, value in cells.items():
        if name in VOLUMES:
            (place / "v.npy").unlink()
            value(place / name)
            row["path"] = str(place / name)
        elif name in ("mask", "regions"):
            row[name] = str(place / f"bad-{name}.npy")
            value(row[name])
        elif name != "sheet":
            row[name] = value
    rows = [{**row, **each} for each in cells.get("sheet", [{}])]
    sheet = place / "volumes.tsv"
    told = ["\t".join(COLUMNS), *("\t".join(each.get(name, "") for name in COLUMNS) for each in rows)]
    sheet.write_text("\n".join(told) + "\n")
    return sheet


def through(place, run, settings, cells):
    """Take a study from its settings and sheet through the probe to its job; raise what is said first."""
    sheet = study(place, cells)
    full = {"volumes": str(sheet), "model": "nets_of_tests:plain", "axes": "HWB", "model_axes": "BHW"}
    chosen = read_config({"attribution": {**full, "methods": ["gradcam"], **settings}}).attribution
    (row,) = selected(read_volumes(sheet), chosen.split, chosen.max_samples, 1)
    axes = Axes(row.axes or chosen.axes, chosen.model_axes)
    facts = probe_volume(row.path, axes, variable=row.variable or chosen.variable)
    _, tables = run(place, row=vars(row), **{**full, "methods": ["gradcam"], **settings})
    failed = [each["reason"] for each in tables["results"] if each["status"] == "failed"]
    if facts["status"] != "ok":
        assert failed == [facts["reason"]] * len(failed), "the job says what the probe said"
        raise UnreadableVolume(facts["reason"])
    return tables["results"], failed


@pytest.mark.parametrize(("settings", "cells", "kind", "said"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_what_is_wrong_is_named_with_a_remedy(place, run, monkeypatch, capsys, settings, cells, kind, said):
    monkeypatch.chdir(place)
    if "needs h5py" in said:
        monkeypatch.setitem(sys.modules, "h5py", None)
    try:
        rows, failed = through(place, run, settings, cells)
        told, by = failed[0], "row"
        # One volume's fault fails all its maps, one method's its own.
        assert kind != "row" or {row["status"] for row in rows} == {"ok", "failed"}
        assert kind == "row" or len(failed) == len(rows)
    except LongtakeError as error:
        told, by = str(error), type(error)
    assert by == kind or (by == "row" and kind in (UnreadableVolume, SheetError))
    for words in said:
        assert re.search(words, told), told
    assert "loaded" not in capsys.readouterr().out, "a pickle was run"


def test_a_subject_in_two_splits_is_found(place):
    sheet = study(place, lines(("a", "bright", "train", "s"), ("b", "bright", "test", "s"), ("c", "dark", "test", "t")))
    assert leaks(read_volumes(sheet)) == ["s"]
