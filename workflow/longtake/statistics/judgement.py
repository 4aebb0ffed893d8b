"""Whether a model uses motion for a species, or why the videos at hand cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.verdicts import UNDECIDED, Span, dependency_of, verdict

Row = Mapping[str, Any]
_WORDS = {
    "pearson": "Pearson's r of importance and motion",
    "spearman": "Spearman's r of importance and motion",
    "kept_static": "what is kept of frozen clips",
    "kept_shuffle": "what is kept of shuffled clips",
}


def judge(summary: Sequence[Row]) -> list[dict[str, Any]]:
    """Judge every species by its intervals over videos: rows of ``VERDICTS``.

    A word is given only if it holds for the whole interval; with too few videos for an interval it is undecided.

    Parameters
    ----------
    summary
        Rows of ``SPECIES``.
    """
    table = {(row["species"], row["measure"]): row for row in summary}
    found = []
    for species in sorted({row["species"] for row in summary}):
        mine = {name: table.get((species, name)) for name in _WORDS}
        spans = {name: Span(row["low"], row["high"]) if row else Span(None, None) for name, row in mine.items()}
        dependency = dependency_of(spans["pearson"], spans["spearman"])
        uses = verdict(spans["kept_static"], spans["kept_shuffle"])
        found.append(
            {
                "species": species,
                "n_videos": max((row["n_videos"] for row in mine.values() if row), default=0),
                "dependency": dependency,
                "dependency_reason": _why(dependency, mine, "pearson", "spearman"),
                "uses": uses,
                "uses_reason": _why(uses, mine, "kept_static", "kept_shuffle"),
            }
        )
    return found


def _why(word: str, rows: Mapping[str, Row | None], *names: str) -> str:
    """What the word rests on: the intervals, or what keeps one from being known."""
    known = [(name, row) for name in names if (row := rows[name]) is not None]
    missing = [str(row["reason"]) for _, row in known if row["low"] is None]
    if missing or not known:
        return missing[0] if missing else "not measured"
    told = "; ".join(f"{_WORDS[name]}: {row['low']:.2f} to {row['high']:.2f}" for name, row in known)
    return f"{told}; the interval reaches over a border" if word == UNDECIDED else told
