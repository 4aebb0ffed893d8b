"""The digest follows first-party imports, and changes with nothing else."""

import pickle

import pytest

from longtake import fingerprint


@pytest.fixture
def house(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "far.py").write_text("x = 1\n")
    (tmp_path / "near.py").write_text("def f():\n    from longtake.far import x\n    return x\n")
    (tmp_path / "top.py").write_text('"""Says."""\nimport os\nfrom longtake import near\n')
    (tmp_path / "apart.py").write_text("y = 1\n")
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)

    def digest():
        for cached in (fingerprint.digest, fingerprint._read):
            cached.cache_clear()
        return fingerprint.digest("longtake.top")

    yield tmp_path, digest
    monkeypatch.undo()
    digest.__globals__["fingerprint"].digest.cache_clear()


def test_an_edit_far_below_changes_it(house):
    root, digest = house
    before = digest()
    (root / "far.py").write_text("x = 2\n")
    assert digest() != before


def test_other_modules_comments_and_docstrings_do_not(house):
    root, digest = house
    before = digest()
    (root / "apart.py").write_text("y = 2\n")
    (root / "far.py").write_text('"""Now with words."""\n\n# and a remark\nx = 1\n')
    assert digest() == before


def test_an_unknown_module_is_an_error(house):
    with pytest.raises(ModuleNotFoundError, match=r"longtake\.nowhere"):
        fingerprint.digest("longtake.nowhere")


def test_a_long_param_is_recorded_by_its_digest_and_reaches_a_script_as_it_is():
    prompts = [{"video": "reef", "frame": frame} for frame in range(50)]
    param = fingerprint.Digested(prompts)
    assert len(repr(param)) < 40
    assert repr(param) == repr(fingerprint.Digested(prompts))
    assert repr(param) != repr(fingerprint.Digested([*prompts[1:], prompts[0]]))
    there = pickle.loads(pickle.dumps(param))
    assert type(there) is list
    assert there == prompts


def test_names_become_file_names_and_none_the_name_of_another():
    assert fingerprint.file_names(["Gadus morhua", "eel/2", "a-b.c"]) == {
        "Gadus morhua": "Gadus_morhua",
        "eel/2": "eel_2",
        "a-b.c": "a-b.c",
    }
    told = fingerprint.file_names(["cod one", "cod_one", "eel"])
    assert len(set(told.values())) == 3
    assert told["eel"] == "eel"
    assert told["cod one"].startswith("cod_one-")
    assert told == fingerprint.file_names(["eel", "cod_one", "cod one"]), "whatever their order"


def test_no_file_is_hidden_or_an_option_and_none_meets_another_on_a_disk_without_case():
    told = fingerprint.file_names([".hidden", "..", "-rf", "", "Cod", "cod"])
    assert [told[name] for name in (".hidden", "..", "-rf", "")] == ["_hidden", "_.", "_rf", "_"]
    assert len({file.casefold() for file in told.values()}) == 6
