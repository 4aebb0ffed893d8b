"""Records go into a table of text and come out the same; what cannot be one is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from longtake.errors import SchemaError
from longtake.status import Status
from longtake.store.tsv import Parser, columns_of, parse_records, read_records, write_records


@dataclass(frozen=True)
class Fish:
    name: str
    status: Status
    weight: float
    eggs: int | None = None
    tagged: bool = False
    seen: Mapping[str, int] = field(default_factory=dict)
    depths: list[float] = field(default_factory=list)

    @property
    def grams(self):
        return 1000 * self.weight


FISH = [
    Fish("a", Status.OK, 0.1 + 0.2, 3, True, {"reef": 2, "wreck": 0}, [1.5, 2.0]),
    Fish("=1+1", Status.FAILED, 1e-12),
    Fish("- tab\there", Status.OK, float("inf"), 0),
]


def test_what_goes_in_comes_out(tmp_path):
    path = tmp_path / "fish.tsv"
    write_records(path, Fish, FISH, "grams")
    lines = path.read_text().splitlines()
    assert lines[0].split("\t") == [*columns_of(Fish), "grams"]
    assert lines[2].startswith("'=1+1\tfailed\t1e-12\t\tFalse\t"), "no formula, and an empty cell for what is not known"
    found = list(read_records(path, Fish))
    assert found[:2] == FISH[:2]
    assert found[2].name == "- tab here"
    assert (found[2].eggs, found[2].status is Status.OK) == (0, True)


def test_the_order_of_columns_and_more_of_them_change_nothing():
    text = ["weight\tmore\tname\tstatus\ttagged\tseen\teggs\tdepths\n", "2\tx\tb\tok\tTrue\t{}\t\t[]\n"]
    assert list(parse_records(text, Fish, "fish.tsv")) == [Fish("b", Status.OK, 2.0, None, True)]


@pytest.mark.parametrize(
    ("column", "cell"),
    [("weight", "heavy"), ("eggs", "2.5"), ("tagged", "yes"), ("seen", "{"), ("status", "fine"), ("weight", "")],
)
def test_a_cell_of_another_type_is_named(column, cell):
    row = {"name": "c", "status": "ok", "weight": "1", "eggs": "", "tagged": "False", "seen": "{}", "depths": "[]"}
    row[column] = cell
    with pytest.raises(SchemaError, match=rf"fish\.tsv, line 7: {column} is '{cell}'.* Run it again\."):
        Parser(list(row), Fish, "fish.tsv", "Run it again.")(list(row.values()), "line 7")


def test_a_table_without_a_column_is_another_table(tmp_path):
    (tmp_path / "given.tsv").write_text("name\tweight\nx\t1\n")
    with pytest.raises(SchemaError, match=r"given\.tsv is no table of fishs .* status is not among them\. Delete it"):
        list(read_records(tmp_path / "given.tsv", Fish))
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(SchemaError, match="the columns none"):
        list(read_records(tmp_path / "empty.tsv", Fish))
