"""What may stand in the command of a job that goes to another machine: Snakemake's quotes are not those of a shell."""

from __future__ import annotations

import re
from collections.abc import Iterable

from longtake.errors import ConfigError
from longtake.settings.paths import shortened

# What Snakemake takes for a text that is quoted already (snakemake_interface_executor_plugins.utils.is_quoted).
_LOOKS_QUOTED = re.compile(r"^['\"].+['\"]")


def refuse_misquoted(paths: Iterable[str]) -> None:
    """Refuse a path that a shell would not be given as it stands, or of which it would run a part.

    Snakemake writes the inputs of a submitted job into its command as Python writes texts: between double quotes where
    they hold a single one, and there a shell runs what stands in ``$(...)`` or between backquotes.

    Raises
    ------
    ConfigError
        Naming the first such path.
    """
    for path in paths:
        if _misquoted(path):
            raise ConfigError(
                f"The path {shortened(path)!r} holds a quotation mark beside a $, a backquote, a backslash or another "
                "kind of quotation mark, or a sign that cannot be printed. It cannot be handed to a job on another "
                "machine, whose shell might run a part of it. Rename it, or link to it by another name."
            )


def _misquoted(path: str) -> bool:
    quoted = repr(path)
    if _LOOKS_QUOTED.match(path) or "\\" in quoted:
        return True
    return quoted[0] == '"' and any(sign in path for sign in "$`!")
