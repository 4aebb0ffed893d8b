"""A CSV of cases and a folder become a sheet that can be read."""

import pytest

from longtake.attribution.cases import main
from longtake.attribution.sheet import read_volumes


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    for name in ("a 1.nii.gz", "b.mat"):
        (made / name).write_bytes(b"x")
    return made


def test_cases_become_a_sheet(folder, tmp_path, capsys):
    (tmp_path / "cases.csv").write_text("caseID,label,split,subject\na 1,amd,train,p1\nb,normal,,p2\n")
    assert main([str(tmp_path / "cases.csv"), str(folder)]) == 0
    (tmp_path / "volumes.tsv").write_text(capsys.readouterr().out)
    rows = read_volumes(tmp_path / "volumes.tsv")
    found = [(row.volume, row.label, row.split, row.subject) for row in rows]
    assert found == [("a-1", "amd", "train", "p1"), ("b", "normal", "test", "p2")]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("name,label\nb,x\n", "no column caseID"),
        ("caseID,label\nbb,x\n", "no file. Did you mean 'b'"),
        ("caseID,label,split\nb,x,tset\n", "split 'tset'"),
    ],
)
def test_what_cannot_be_found_writes_nothing(folder, tmp_path, capsys, caplog, table, said):
    (tmp_path / "cases.csv").write_text(table)
    assert main([str(tmp_path / "cases.csv"), str(folder)]) == 1
    assert not capsys.readouterr().out
    assert said in caplog.text
