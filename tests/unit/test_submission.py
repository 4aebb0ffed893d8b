"""Paths in the command of a submitted job: a shell reads them as they are, or they are refused."""

import subprocess

import pytest
from hypothesis import given, settings, strategies
from snakemake_interface_executor_plugins.utils import format_cli_arg

from longtake.errors import ConfigError
from longtake.submission import refuse_misquoted

NAMES = strategies.text(strategies.sampled_from("ab $`'\"\\();&!*é"), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(strategies.lists(NAMES, min_size=1, max_size=5))
def test_what_is_not_refused_reaches_the_job_as_it_is(paths):
    kept = [path for path in paths if not _refused(path)]
    command = f"printf '%s\\n' {format_cli_arg('--', kept)}"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd="/")
    assert told.stdout.splitlines() == (["--", *kept] if kept else [""])


@pytest.mark.parametrize("path", ["it's $(touch x).mp4", "it's `touch x`", "'a'; touch x; 'b'", "a\\b", "'b' \"c\""])
def test_what_a_shell_would_run_is_refused_by_name(path):
    with pytest.raises(ConfigError, match="link to it by another name"):
        refuse_misquoted(["plain.mp4", path])


@pytest.mark.parametrize("path", ["it's mine.mp4", "a$(touch x).mp4", "`x`", 'say "cod".mp4', "/a b/c&d.mp4", "Größe"])
def test_names_that_people_have_are_not(path):
    assert not _refused(path)


def _refused(path):
    try:
        refuse_misquoted([path])
    except ConfigError:
        return True
    return False
