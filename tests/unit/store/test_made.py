"""Results of other settings are not taken for those of now where Snakemake's records cannot tell."""

import json
import shutil

import pytest

from longtake.errors import ConfigError
from longtake.store.made import NAME, refuse_other, remember, that_matter, told_of

SETTINGS = {
    "frame_interval": 30,
    "output_dir": "results",
    "device": {"force_cpu": True},
    "annotate": {"model": "models/sam2", "object_batch": 4, "continuity": "chain"},
    "video_scale_factor": 0.5,
}
ROWS = [("reef", ["cod", None, []]), ("pond", ["eel", None, [["e", 1]]])]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The folders of results, and of Snakemake's records in two working directories."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results", tmp_path / "here/.snakemake", tmp_path / "there/.snakemake"


def look(results, records, settings=SETTINGS, rows=ROWS):
    refuse_other(results, records, that_matter(settings), lambda: told_of(rows))


def make(results, records, settings=SETTINGS, rows=ROWS):
    remember(results, records, that_matter(settings), told_of(rows))


def test_what_changes_no_number_does_not_matter():
    assert set(that_matter(SETTINGS)) == {
        "frame_interval", "annotate.model", "annotate.continuity", "video_scale_factor"
    }  # fmt: skip
    moved = SETTINGS | {"annotate": SETTINGS["annotate"] | {"model": "/elsewhere/models/sam2", "object_batch": 1}}
    assert that_matter(moved) == that_matter(SETTINGS)


def test_where_snakemake_knows_all_nothing_is_refused(places):
    results, here, _ = places
    look(results, here)
    make(results, here)
    look(results, here, SETTINGS | {"frame_interval": 10})
    make(results, here, SETTINGS | {"frame_interval": 10})
    assert json.loads((results / NAME).read_text())["settings"]["frame_interval"] == 10


@pytest.mark.parametrize("lost", ["another directory", "deleted records"])
def test_other_settings_are_refused_by_name_and_the_same_are_not(places, lost):
    results, here, there = places
    make(results, here)
    records = there
    if lost == "deleted records":
        shutil.rmtree(here)
        records = here
    look(results, records)
    with pytest.raises(ConfigError, match=r"frame_interval is 10 here and was 30.*made from .*remove .*results"):
        look(results, records, SETTINGS | {"frame_interval": 10})
    with pytest.raises(ConfigError, match="the rows of video 'pond'"):
        look(results, records, rows=[ROWS[0], ("pond", ["eel", None, []])])
    look(results, records, rows=[*ROWS, ("new", ["cod", None, []])])


def test_results_of_two_directories_are_known_wholly_to_neither(places):
    results, here, there = places
    make(results, here)
    look(results, there)
    make(results, there)
    for records in (here, there):
        look(results, records)
        with pytest.raises(ConfigError, match=r"video_scale_factor is 1 here and was 0\.5"):
            look(results, records, SETTINGS | {"video_scale_factor": 1})


def test_a_torn_record_is_none(places):
    results, here, there = places
    make(results, here)
    (results / NAME).write_text("{")
    look(results, there, SETTINGS | {"frame_interval": 10})
