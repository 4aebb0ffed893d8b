"""Cells as text: what goes in comes out, and a spreadsheet computes none of it."""

import csv
import io

import pytest
from hypothesis import example, given, settings, strategies

from longtake.cells import harmless, original, read_cells, write_cells

FORMULAS = [
    '=HYPERLINK("http://x")',
    "+1+cmd|' /C calc'!A0",
    "-x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "＝1",
    "'=1",
    "--1",
]
ONE_LINE = strategies.text(
    strategies.sampled_from("=+-@'\"a 1.e,;#\\") | strategies.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert harmless(text) == f"'{text}"
    assert original(harmless(text)) == text


@pytest.mark.parametrize("text", ["-3", "+3", "-1.5e-05", "-.5", "-inf", "cod", "'tis", "a=b", "", "1-2"])
def test_numbers_and_other_words_stay(text):
    assert harmless(text) == text == original(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(strategies.lists(strategies.tuples(ONE_LINE, ONE_LINE), max_size=4))
@example([('"', "=1"), ('say "cod"', "'=1")])
def test_what_is_written_is_read(rows):
    file = io.StringIO()
    write_cells(file, ["a", "b"], [{"a": a, "b": b} for a, b in rows])
    lines = file.getvalue().splitlines(keepends=True)
    assert list(read_cells(lines)) == [{"a": a, "b": b} for a, b in rows]
    for cells in csv.reader(lines[1:], delimiter="\t"):
        assert not any(cell[:1] in ("=", "@") for cell in cells)


def test_tabs_line_ends_and_gaps():
    file = io.StringIO()
    write_cells(file, ["a", "b"], [{"a": "one\ttwo\nthree", "b": None}, {"b": -0.5, "c": 1}, {"a": "\t=1"}])
    assert file.getvalue() == "a\tb\none two three\t\n\t-0.5\n' =1\t\n"
