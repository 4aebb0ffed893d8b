"""What a person reads after a run that failed: each job that did, its log, and the command that redoes it alone."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
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
        command = _shown(Path(program)) + command.removeprefix("snakemake")
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile", action="append", default=[])
    named = parser.parse_known_args(arguments)[0].profile or ["profiles/laptop"]
    return " ".join([command, *(f"--profile {shlex.quote(name)}" for name in named)])


def as_here(command: str) -> str:
    """Return `command` by the Snakemake that belongs to this Python: a job was not started as its run was."""
    program = Path(sys.executable).with_name("snakemake")
    return _shown(program) + command.removeprefix("snakemake") if program.is_file() else command


def _shown(program: Path) -> str:
    """The shortest name by which a shell in this folder finds a program."""
    if not program.is_absolute():
        return shlex.quote(os.path.relpath(program))
    if program.is_relative_to(Path.cwd()):
        return shlex.quote(str(program.relative_to(Path.cwd())))
    return "snakemake" if shutil.which("snakemake") == str(program) else shlex.quote(str(program))


def again(files: Sequence[str], options: Sequence[str], snakefile: str) -> str:
    """Return how a run is started again, without its profile and targets.

    Parameters
    ----------
    files, options
        Those that it was given: settings in files, and after ``--config``, which would be lost otherwise.
    snakefile
        Where it works in another folder than this file's, the command names both, and files in full.
    """
    away = Path.cwd().resolve() != Path(snakefile).resolve().parent
    words = ["snakemake", "--snakefile", snakefile, "--directory", str(Path.cwd())] if away else ["snakemake"]
    more = [str(Path(name).resolve()) if away else os.path.relpath(name) for name in files if not _own(name)]
    return shlex.join(words + (["--configfile", *more] if more else []) + (["--config", *options] if options else []))


def _own(name: str) -> bool:
    """Whether it is the file of settings that a Snakefile reads by itself."""
    return os.path.relpath(name) == "config/config.yaml"


def settings_from(files: Sequence[str], options: Sequence[str]) -> str:
    """Name all places that settings were read from, for a message about one of them."""
    files = list(dict.fromkeys(os.path.relpath(name) for name in files))
    return ", ".join([*files, *([f"--config {shlex.join(options)}"] if options else [])])
