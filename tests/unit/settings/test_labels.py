"""One name is one species, however it was typed."""

import pytest

from longtake.annotate.sheet import read_prompts
from longtake.errors import SheetError
from longtake.settings.labels import Labels, tidy
from longtake.settings.videos import read_videos

COMPOSED, DECOMPOSED = "Rh\u00e9a am\u00e9ricana", "Rhe\u0301a ame\u0301ricana"
PROMPT = "\tobj-{}\t0\t1\t1\t9\t9\t{}\n"


@pytest.mark.parametrize(
    "typed", [DECOMPOSED, "Rh\u00e9a\u00a0am\u00e9ricana", "Rh\u00e9a  am\u00e9ricana", f" {COMPOSED} "]
)
def test_accents_and_blanks_make_no_other_label(typed):
    assert typed != COMPOSED
    assert tidy(typed) == COMPOSED


def sheets(folder, species, labels):
    rows = "".join(f"v{n}\t{folder}/v{n}.mp4\t{name}\n" for n, name in enumerate(species))
    for n in range(len(species)):
        (folder / f"v{n}.mp4").write_bytes(b"%d" % n)
    (folder / "videos.tsv").write_text("video\tpath\tspecies\n" + rows, encoding="utf-8")
    rows = "".join("v0" + PROMPT.format(n, label) for n, label in enumerate(labels))
    header = "video\tobject\tframe\tx_min\ty_min\tx_max\ty_max\tlabel\n"
    (folder / "prompts.tsv").write_text(header + rows, encoding="utf-8")
    videos = read_videos(folder / "videos.tsv")
    named = {video.species: f"videos.tsv, row {video.row}" for video in videos}
    return videos, read_prompts(folder / "prompts.tsv", [video.video for video in videos], named)


def test_the_sheets_hold_one_species_where_people_typed_one(tmp_path):
    videos, prompts = sheets(tmp_path, [COMPOSED, DECOMPOSED, ""], ["Rh\u00e9a\u00a0 am\u00e9ricana", ""])
    assert [video.species for video in videos] == [COMPOSED, COMPOSED, ""]
    assert [prompt.label for prompt in prompts["v0"]] == [COMPOSED, ""]


@pytest.mark.parametrize(
    ("species", "labels", "told"),
    [
        (["cod", "Cod"], [], r"videos.tsv, row 3: the label 'Cod' is written 'cod' in .*videos.tsv, row 2"),
        (["cod"], ["COD"], r"prompts.tsv, row 2: the label 'COD' is written 'cod' in videos.tsv, row 2"),
        (["x"], ["cod", "co\u200bd"], r"prompts.tsv, row 3: .* is written 'cod' in .*prompts.tsv, row 2"),
        (["x"], ["cod", "\uff43\uff4f\uff44"], r"prompts.tsv, row 3: .* is written 'cod'"),
    ],
)
def test_labels_that_nobody_tells_apart_are_refused_by_row(tmp_path, species, labels, told):
    with pytest.raises(SheetError, match=told):
        sheets(tmp_path, species, labels)


def test_other_species_are_other_labels():
    labels = Labels()
    for label in ("cod", "code", "cod 2", "cod-2", "C. od", ""):
        labels.add(label, "here")
