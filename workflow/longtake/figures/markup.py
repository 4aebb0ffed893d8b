"""HTML in small pieces; every text that goes in is escaped, for names and reasons come from strangers."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from longtake.status import ENDS, Status

MOST_BYTES = 200_000
# Those that style.css knows.
_COLOURED = {*ENDS, Status.MISSING, Status.UNREADABLE, Status.UNDECIDED}


class Markup(str):
    """Text that is HTML already and goes in as it is, also into a template."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text itself: templates escape what has no such method."""
        return self


def text(value: Any) -> Markup:
    """Escape a value, unless it is markup already."""
    return value if isinstance(value, Markup) else Markup(escape(str(value), quote=True))


def element(name: str, *inside: Any, **attributes: str) -> Markup:
    """An element with escaped content and attributes; ``class_`` stands for class."""
    told = "".join(f' {key.rstrip("_")}="{escape(value, quote=True)}"' for key, value in attributes.items())
    return Markup(f"<{name}{told}>{''.join(text(part) for part in inside)}</{name}>")


def number(value: Any, digits: int = 3) -> str:
    """Write a number with so many significant digits; a dash for what is not known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", "\u202f")
    whole = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in whole and abs(value) >= 1 else whole


def table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], *, numeric: Iterable[int] = (), empty: str = "Nothing."
) -> Markup:
    """A table, or the words `empty` where there are no rows. Columns `numeric` are set to the right."""
    right = set(numeric)

    def cells(kind: str, row: Sequence[Any]) -> Markup:
        return element(
            "tr",
            *(element(kind, cell, **({"class_": "number"} if at in right else {})) for at, cell in enumerate(row)),
        )

    body = [cells("td", row) for row in rows]
    if not body:
        return element("p", empty, class_="quiet")
    whole = element("table", element("thead", cells("th", head)), element("tbody", *body))
    return element("div", whole, class_="wide")


def details(summary: str, *inside: Any) -> Markup:
    """A section that opens on a click."""
    return element("details", element("summary", summary), *inside)


def status(word: str) -> Markup:
    """A status as a coloured word."""
    known = word if word in _COLOURED else "other"
    return element("span", word, class_=f"status {known}")


def picture(source: Path | Figure, words: str) -> Markup:
    """An image with its description, in the page itself; a large file is packed as WebP."""
    if isinstance(source, Figure):
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", metadata={"Software": None})
        data = buffer.getvalue()
    else:
        data = source.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        width, kind = image.width, "png"
        if len(data) > MOST_BYTES:
            packed = io.BytesIO()
            image.convert("RGB").save(packed, "WEBP", quality=85, method=4)
            data, kind = packed.getvalue(), "webp"
    encoded = base64.b64encode(data).decode("ascii")
    tag = f'<img src="data:image/{kind};base64,{encoded}" alt="{escape(words, quote=True)}" width="{width}">'
    return element("figure", Markup(tag))


def definitions(pairs: Mapping[str, Any]) -> Markup:
    """Names and values as a compact list."""
    return element("dl", *(Markup(element("dt", name) + element("dd", value)) for name, value in pairs.items()))
