"""What a model uses of a species, and how its importance goes with motion, or why the videos at hand cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.kinds import Row
from longtake.verdicts import UNDECIDED, USUAL, Borders, Span, verdict

_WORDS = {
    "kept_static": "what is kept of frozen clips",
    "kept_shuffle": "what is kept of shuffled clips",
    "kept_still": "what motionless clips keep of each other",
}


def judge(summary: Sequence[Row], relations: Sequence[Row], borders: Borders = USUAL) -> list[dict[str, Any]]:
    """Judge every species by its intervals over videos: rows of ``VERDICTS``.

    What is used is said only if it holds for the whole interval of the mean, and if the interval of the share of videos
    for which it holds lies above a half: so four videos decide nothing, and five only if they agree. Else it is
    undecided. The relation is that of the source of motion that most videos have, the animal's where both have as many.

    Parameters
    ----------
    summary, relations
        Rows of ``SPECIES`` and of ``RELATIONS``.
    """
    found = []
    for species in sorted({row["species"] for row in summary}):
        mine = {row["measure"]: row for row in summary if row["species"] == species}
        spans = {
            name: Span(*((row["low"], row["high"]) if (row := mine.get(name)) else (None, None))) for name in _WORDS
        }
        used = verdict(spans["kept_static"], spans["kept_shuffle"], spans["kept_still"], borders)
        uses, because = _word(used, mine)
        sources = [row for row in relations if row["species"] == species]
        related = max(sources, key=lambda row: row["n_videos"], default=None)
        counted = [mine[name]["n_videos"] for name in _WORDS if name in mine]
        found.append(
            {
                "species": species,
                "n_videos": max([*counted, related["n_videos"] if related else 0]),
                "relation": related["word"] if related else UNDECIDED,
                "motion": related["motion"] if related else None,
                "relation_reason": related["reason"] if related else "not measured",
                "uses": uses,
                "uses_reason": because,
            }
        )
    return found


def _word(word: str, rows: Mapping[str, Row]) -> tuple[str, str]:
    """The word and what it rests on; or undecided, and what keeps it from being known."""
    known = [(name, rows[name]) for name in ("kept_static", "kept_shuffle") if name in rows]
    missing = [str(row["reason"]) for _, row in known if row["low"] is None]
    if missing or not known:
        return UNDECIDED, missing[0] if missing else "not measured"
    still = rows.get("kept_still")
    known += [("kept_still", still)] if still is not None and still["low"] is not None else []
    told = "; ".join(f"{_WORDS[name]}: {row['low']:.2f} to {row['high']:.2f}" for name, row in known)
    if word == UNDECIDED:
        return UNDECIDED, f"{told}; the interval reaches over a border"
    share = rows.get(f"uses: {word}")
    if share is None or share["low"] is None or share["low"] <= 0.5:
        low = 0.0 if share is None or share["low"] is None else share["low"]
        return UNDECIDED, f"{told}; {word} is sure of {low:.2f} of the videos, which need not be most"
    return word, told
