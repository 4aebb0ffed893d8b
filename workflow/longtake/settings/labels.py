"""Species and classes as people type them: one name is one species, however its accents and blanks are stored."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from longtake.errors import SheetError


@lru_cache(maxsize=4096)
def tidy(label: str) -> str:
    """Return a label with accents composed (Unicode NFC), and any run of blanks, no-break ones too, as one blank."""
    return " ".join(unicodedata.normalize("NFC", label).split())


@lru_cache(maxsize=4096)
def _bare(label: str) -> str:
    """What two labels share that no reader tells apart, or takes for two species: without case and invisible signs."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    return "".join(sign for sign in folded if unicodedata.category(sign) != "Cf")


class Labels:
    """The labels of a study's sheets, and where each was first seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, str]] = {}

    def add(self, label: str, where: str) -> None:
        """Take note of a label; an empty one is none.

        Raises
        ------
        SheetError
            It differs from an earlier one in case or in signs that nobody sees alone, and would be another species.
        """
        if not label:
            return
        first, place = self._seen.setdefault(_bare(label), (label, where))
        if first != label:
            raise SheetError(
                f"{where}: the label {label!r} is written {first!r} in {place}, and they would count as two species. "
                "Write both alike."
            )
