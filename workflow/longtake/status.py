"""What became of a unit, or of a number: one word, the same in code, in tables and on the page.

A `Status` is its text, so that tables hold it as it is written: ``Status.OK == "ok"``.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The words, and when each is said.

    A unit that was run is ok, approximate or failed; the reason stands beside it.
    """

    OK = "ok"
    APPROXIMATE = "approximate"
    """Computed in another way than asked; the reason says how, and an error is measured."""
    FAILED = "failed"
    MISSING = "missing"
    """The job has not run, or what it needs failed."""
    OUTDATED = "outdated"
    """The result is there, and was made with other settings or of another file."""
    BEGUN = "killed or running"
    """The job has begun, and nothing says how it ended."""
    UNREADABLE = "unreadable"
    """The input cannot be used at all, and no job was made of it."""
    UNDECIDED = "undecided"
    """Of a number: there are too few subjects for an interval or a test."""


# What a unit that was run may be, in the order in which they are counted and shown.
ENDS = (Status.OK, Status.APPROXIMATE, Status.FAILED)
