"""Work that must not grow with the number of windows, counted; and the files that a video leaves."""

import importlib.util
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from longtake.media.cut import plan
from longtake.planning.forecast import Forecast
from longtake.planning.request import Request
from longtake.store.tsv import write_records
from longtake.unit import kinds

ROOT = Path(__file__).parents[2]
VIDEOS, WINDOWS, PROMPTS = 3, 16, 5
# Runs Snakemake in one process, and then tells how often prompts were looked at, whose code was digested, whose
# parameters Snakemake found out, and of how many scripts it took the place apart.
COUNTING = """
import atexit, inspect, json, sys
from types import SimpleNamespace
sys.path.insert(0, "workflow")
from snakemake import common, sourcecache
from longtake import fingerprint
from longtake.annotate import sheet
looked, digest = [], sheet.mask_digest
sheet.mask_digest = lambda prompt: (looked.append(prompt.video), digest(prompt))[1]
functions = []
def signature(function):
    functions.append(function.__qualname__)
    return inspect.signature(function)
common.inspect = SimpleNamespace(**{**vars(inspect), "signature": signature})
def tell():
    counts = {
        "prompts": len(looked),
        "digests": fingerprint.digest.cache_info().currsize,
        "functions": functions,
        "scripts": sourcecache.parse_uri.cache_info().misses,
    }
    open("counts.json", "w").write(json.dumps(counts))
atexit.register(tell)
from snakemake.cli import main
main()
"""
TELLING = """from pathlib import Path
import json, os
import torch

names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX")
told = {name: os.environ.get(name) for name in names} | {"torch": torch.get_num_threads()}
Path("told.json").write_text(json.dumps(told))
for path in snakemake.output:
    Path(path).touch()
"""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """A planned project of several windows a video, whose jobs do nothing."""
    spec = importlib.util.spec_from_file_location("scale", ROOT / "benchmarks/scale.py")
    scale = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = scale
    spec.loader.exec_module(scale)
    project = scale.make_project(tmp_path_factory.mktemp("stubs") / "project", VIDEOS, WINDOWS, PROMPTS)
    out, probed = project / "results", [f"video-{number:04d}" for number in range(VIDEOS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        plan(
            [out / f"probe/{video}.json" for video in probed],
            [out / f"probe/{video}.index.parquet" for video in probed],
            duration=scale.DURATION_S,
            overlap=scale.OVERLAP_S,
            frame_interval=30,
            windows_out=out / "plan/windows.tsv",
            videos_out=out / "plan/videos.tsv",
        )
    for step in ("annotate", "gradients"):
        write_records(out / f"plan/{step}.forecast.tsv", Forecast, [])
    write_records(out / "plan/jobs.tsv", Request, [])
    return project


def snakemake(project, *arguments, program=("-m", "snakemake")):
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_THREADS", "_ARENA_MAX"))}
    kept.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, *program, *arguments, "--nocolor"],
        cwd=project,
        env={**kept, "XDG_CACHE_HOME": str(project / ".cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_what_jobs_share_is_looked_at_once(stubs):
    text = snakemake(stubs, "annotate", "-n", program=("-c", COUNTING))
    assert text.count("Annotate video-") == VIDEOS * WINDOWS
    counts = json.loads((stubs / "counts.json").read_text())
    assert counts["prompts"] == VIDEOS * PROMPTS
    # Of the rules that are asked for and of those before them; there are more than twice as many.
    assert counts["digests"] <= 7
    often = {name for name in counts["functions"] if counts["functions"].count(name) >= VIDEOS * WINDOWS}
    assert often == {"Resource.from_cli_expression.<locals>.threads_evaluator"}, "the folder for temporary files"
    assert counts["scripts"] < VIDEOS * WINDOWS


def test_a_job_has_one_thread_and_few_arenas_and_its_record_is_small(stubs):
    script = stubs / "workflow/scripts/annotate_window.py"
    script.write_text(TELLING)
    snakemake(stubs, "results/annotate/video-0000/window-0000.parquet", "--cores=2")
    told = json.loads((stubs / "told.json").read_text())
    assert told == {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "torch": 1,
    }
    records = [json.loads(path.read_text()) for path in (stubs / ".snakemake/metadata").iterdir()]
    (params,) = {tuple(record["params"]) for record in records if record["rule"] == "annotate_window"}
    assert any(value.startswith(f"{PROMPTS} values") for value in params)


# Outputs, each with an entry in .snakemake/metadata, a log, a record and a benchmark.
LEFT = {"annotate_window": 2 * 2 + 3, "gradients_window": 2 * 4 + 3}


def test_a_unit_leaves_as_many_files_as_docs_scale_says(finished):
    entries = (urlsafe_b64decode(path.name).decode() for path in (finished.path / ".snakemake/metadata").iterdir())
    files = [str(path.relative_to(finished.out)) for path in finished.out.rglob("*") if path.is_file()]
    files += [name.removeprefix("results/") for name in entries]
    left = {}
    for rule, (_, kind) in kinds().items():
        for record in (finished.out / f"logs/{rule}").glob("*.json"):
            folder, _, name = kind.target.format(**json.loads(record.read_text())["wildcards"]).rpartition("/")
            output = f"{folder}/{name.partition('.')[0]}"
            own = tuple(
                f"{start}." for start in (output, f"logs/{rule}/{record.stem}", f"benchmarks/{rule}/{record.stem}")
            )
            left.setdefault(rule, []).append(sum(name.startswith(own) for name in files))
    assert left == {rule: [number] * 5 for rule, number in LEFT.items()}
    assert f"77 + {sum(LEFT.values())} a window" in (ROOT / "docs/scale.md").read_text()
