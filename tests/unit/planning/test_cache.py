"""What was found out is found again by everything it depends on, and by nothing else."""

import json
import logging

import pytest

from longtake.planning import cache as known
from longtake.planning import forecast
from longtake.planning.cache import Known

VALUE = {"z": [1, 0.1 + 0.2], "a": {"name": "Dorsch, groß", "none": None}}


@pytest.fixture
def finder():
    """A function that counts its calls."""

    def find():
        find.calls += 1
        return VALUE

    find.calls = 0
    return find


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def asked(folder, finder, code="one", model=None, **facts):
    """A value as another process would ask for it, and how often it was known and found out."""
    given = Known.within(folder, code)
    given = given if model is None else given.of_model(model)
    return given.value(finder, **facts), dict(given.counts)


def files(folder):
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_was_found_out_is_known_the_next_time(tmp_path, finder):
    folder = tmp_path / "plan/known"
    first, found = asked(folder, finder, side=(3, 4))
    again, read = asked(folder, finder, side=[3, 4])
    assert first == again == VALUE
    assert json.dumps(first) == json.dumps(again) == json.dumps(VALUE), "the order is kept, too"
    assert (found, read) == ({"known": 0, "found_out": 1}, {"known": 1, "found_out": 0})
    assert finder.calls == len(files(folder)) == 1


def test_it_is_told_to_people_what_a_file_is_about(tmp_path, finder):
    asked(tmp_path / "known", finder, side=3)
    (file,) = files(tmp_path / "known")
    about = json.loads(file.read_text())["about"]
    assert (about["side"], about["code"]) == (3, "one")


def test_another_fact_code_or_number_of_threads_is_found_out_for_itself(tmp_path, finder):
    asked(tmp_path, finder, side=3)
    asked(tmp_path, finder, side=4)
    asked(tmp_path, finder, code="two", side=3)
    here = Known.within(tmp_path, "one").here(1)
    here.value(finder, side=3)
    Known.within(tmp_path, "one").here(2).value(finder, side=3)
    assert finder.calls == len(files(tmp_path)) == 5


def test_other_libraries_and_another_machine_too(tmp_path, finder, monkeypatch):
    def measured():
        return Known.within(tmp_path, "one").here(1).value(finder)

    measured()
    with monkeypatch.context() as patched:
        patched.setattr(forecast, "_libraries", lambda: {"torch": "9.9"})
        measured()
    with monkeypatch.context() as patched:
        patched.setattr(known.platform, "node", lambda: "another")
        measured()
        patched.setattr(known, "_surroundings", lambda: {"libc": "musl"})
        measured()
    assert finder.calls == 4
    measured()
    assert finder.calls == 4


def test_a_model_is_known_by_the_contents_of_its_files(tmp_path, finder, model):
    folder = tmp_path / "known"
    asked(folder, finder, model=model)
    moved = model.rename(tmp_path / "elsewhere")
    assert asked(folder, finder, model=moved)[1]["known"] == 1
    (moved / "README.md").write_text("of no account")
    assert asked(folder, finder, model=moved)[1]["known"] == 1
    (moved / "model.safetensors").write_bytes(b"Weights")
    assert asked(folder, finder, model=moved)[1]["found_out"] == 1


def test_of_a_users_own_code_nothing_is_kept(tmp_path, finder):
    for _ in range(2):
        assert asked(tmp_path / "known", finder, model="mine:factory") == (VALUE, {"known": 0, "found_out": 1})
    assert not files(tmp_path / "known")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"value": 3}',
        lambda text: "\x00" * len(text),
        lambda text: text.replace('"name": "Dorsch', '"name": "Morsch'),
    ],
)
def test_a_damaged_file_is_found_out_again_and_said(tmp_path, finder, caplog, damage):
    asked(tmp_path, finder)
    (file,) = files(tmp_path)
    whole = file.read_text()
    file.write_text(damage(whole))
    with caplog.at_level(logging.WARNING, "longtake"):
        assert asked(tmp_path, finder) == (VALUE, {"known": 0, "found_out": 1})
    assert str(file) in caplog.text
    assert file.read_text() == whole
    assert asked(tmp_path, finder)[1]["known"] == 1


def test_another_values_file_under_its_name_is_looked_over(tmp_path, finder):
    asked(tmp_path, finder)
    (file,) = files(tmp_path)
    asked(tmp_path, lambda: "other", side=1)
    (other,) = set(files(tmp_path)) - {file}
    file.write_text(other.read_text())
    assert asked(tmp_path, finder)[0] == VALUE


def test_a_folder_that_cannot_be_written_costs_no_job(tmp_path, finder, caplog):
    (tmp_path / "file").write_text("")
    assert asked(tmp_path / "file/known", finder) == (VALUE, {"known": 0, "found_out": 1})
    assert "cannot be written" in caplog.text


def test_nothing_is_kept_without_a_folder(tmp_path, finder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert asked(None, finder) == (VALUE, {"known": 0, "found_out": 1})
    assert not files(tmp_path)


def test_in_one_process_nothing_is_found_out_twice(tmp_path, finder):
    for folder in (None, tmp_path):
        given = Known.within(folder, "one")
        assert given.about(side=1).value(finder) == given.about(side=1).value(finder)
        assert given.counts == {"known": 0, "found_out": 1}
    assert finder.calls == 2


def test_failures_are_not_kept(tmp_path, finder):
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        asked(tmp_path, fail)
    assert asked(tmp_path, lambda: None) == (None, {"known": 0, "found_out": 1})
    assert not files(tmp_path)
    assert asked(tmp_path, finder) == (VALUE, {"known": 0, "found_out": 1})
