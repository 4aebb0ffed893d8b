"""What a person reads on the terminal after a run that failed: each job that did, its log, and how to redo it alone."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SHOWN = 20


def failures(jobs: Iterable[Any], command: str, *, shown: int = SHOWN) -> str:
    """Tell of each failed job what it was, where its log is, and the command that makes its unit.

    A job that was killed from outside wrote no record and no message, so this needs neither.

    Parameters
    ----------
    jobs
        Snakemake's, with ``rule.name``, ``wildcards``, ``log`` and ``output``, or a group of them with ``jobs``.
    command
        How the run was started, with its profile and without targets.
    shown
        How many to name; of the others only the number is told.
    """
    told = sorted(_told(job, command) for each in jobs for job in getattr(each, "jobs", [each]))
    more = [f"and {len(told) - shown} more"] if len(told) > shown else []
    return "\n".join([*told[:shown], *more])


def _told(job: Any, command: str) -> str:
    lines = [f"Failed: {' '.join([job.rule.name, *job.wildcards])}"]
    lines += [f"  its log: {log}" for log in job.log]
    # Options that take many words would swallow the target without "--".
    lines += [f"  to redo it alone: {command} -- {shlex.quote(str(output))}" for output in list(job.output)[:1]]
    return "\n".join(lines)


def started(words: Sequence[str], command: str) -> str:
    """Return `command` as it was started with `words` of a command line: by that program, under its profiles.

    A run that named none had its options elsewhere; the laptop's does for one unit.
    """
    program, *arguments = words
    if Path(program).name == "snakemake":
        command = os.path.relpath(program) + command.removeprefix("snakemake")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile", action="append", default=[])
    named = parser.parse_known_args(arguments)[0].profile or ["profiles/laptop"]
    return " ".join([command, *(f"--profile {shlex.quote(name)}" for name in named)])
