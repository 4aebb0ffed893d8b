"""Names of the plain types that go from room to room."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Location = str | os.PathLike[str]
"""Where a file is."""

Row = dict[str, Any]
"""A row of a table, by column."""

Progress = Callable[[int, int], None] | None
"""Is told how much of a job is done, and how much there is; None where nobody asks."""
