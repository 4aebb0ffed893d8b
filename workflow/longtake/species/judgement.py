"""Whether a model uses motion for a species, or why the videos at hand cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.kinds import Row
from longtake.verdicts import UNDECIDED, Span, dependency_of, verdict

_WORDS = {
    "pearson": "Pearson's r of importance and motion",
    "spearman": "Spearman's r of importance and motion",
    "kept_static": "what is kept of frozen clips",
    "kept_shuffle": "what is kept of shuffled clips",
}


def judge(summary: Sequence[Row]) -> list[dict[str, Any]]:
    """Judge every species by its intervals over videos: rows of ``VERDICTS``.

    A word is given only if it holds for the whole interval of the mean, and if the interval of the share of videos for
    which it holds lies above a half: so three videos decide nothing, and four only if they agree. Else it is undecided.

    Parameters
    ----------
    summary
        Rows of ``SPECIES``.
    """
    table = {(row["species"], row["measure"]): row for row in summary}
    found = []
    for species in sorted({row["species"] for row in summary}):
        mine = {measure: row for (name, measure), row in table.items() if name == species}
        spans = {
            name: Span(*((row["low"], row["high"]) if (row := mine.get(name)) else (None, None))) for name in _WORDS
        }
        dependency, uses = (
            _word("dependency", dependency_of(spans["pearson"], spans["spearman"]), mine, ("pearson", "spearman")),
            _word("uses", verdict(spans["kept_static"], spans["kept_shuffle"]), mine, ("kept_static", "kept_shuffle")),
        )
        counted = [mine[name]["n_videos"] for name in _WORDS if name in mine]
        found.append(
            {
                "species": species,
                "n_videos": max(counted, default=0),
                "dependency": dependency[0],
                "dependency_reason": dependency[1],
                "uses": uses[0],
                "uses_reason": uses[1],
            }
        )
    return found


def _word(kind: str, word: str, rows: Mapping[str, Row], names: Sequence[str]) -> tuple[str, str]:
    """The word and what it rests on; or undecided, and what keeps it from being known."""
    known = [(name, rows[name]) for name in names if name in rows]
    missing = [str(row["reason"]) for _, row in known if row["low"] is None]
    if missing or not known:
        return UNDECIDED, missing[0] if missing else "not measured"
    told = "; ".join(f"{_WORDS[name]}: {row['low']:.2f} to {row['high']:.2f}" for name, row in known)
    if word == UNDECIDED:
        return UNDECIDED, f"{told}; the interval reaches over a border"
    share = rows.get(f"{kind}: {word}")
    if share is None or share["low"] is None or share["low"] <= 0.5:
        low = 0.0 if share is None or share["low"] is None else share["low"]
        return UNDECIDED, f"{told}; {word} is sure of {low:.2f} of the videos, which need not be most"
    return word, told
