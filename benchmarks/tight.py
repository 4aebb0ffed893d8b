"""Jobs under a hard limit at a half, a quarter and an eighth of what they take without: how do they end?

    PYTHONPATH=workflow python benchmarks/tight.py [--jobs gradients tracking] [--parts 2 4 8] [--frames 1300]

The jobs are those of the workflow, run by its own scripts: the gradient of a score with respect to 31 frames of 384
pixels (``tight_model.py``), and the tracking of four objects through a window. The first plain run is without a limit:
of the gradient by plain back-propagation, of the tracking by a session that forgets nothing, as the stock one. Its peak
(of the whole process, Python and libraries included) is cut into parts, and each is set as a hard limit on the job and
all its processes (``limits.py``). The job is told nothing of it: it finds the limit, plans, and steps down where it
must. The plain way runs under the smallest limit, too. Outputs are compared byte by byte. Linux only. Writes
``benchmarks/results/tight.json`` after each run, and prints a table.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import runpy
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from discs import DISCS, make_video
from host import versions
from limits import Confinement, confined, start

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "tight.json"
SCRIPTS = ROOT / "workflow" / "scripts"
NO_LIMIT = 2**50
WHAT = {
    "gradients": "gradient of a score with respect to 31 frames of 384 px, encoder like ViT-Ti's of 40 layers and "
    "attention over frames, float32",
    "tracking": "four objects through {frames} frames with sam2-pond, one window; plain is a session that forgets "
    "nothing",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="*", choices=list(WHAT), default=list(WHAT))
    parser.add_argument("--parts", nargs="*", type=int, default=[2, 4, 8])
    parser.add_argument("--frames", type=int, default=1300, help="of the tracked video")
    parser.add_argument("--child", choices=list(WHAT), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        CHILDREN[arguments.child](arguments.folder, arguments.plain)
        return
    for name in arguments.jobs:
        runs = []
        with tempfile.TemporaryDirectory() as temporary:
            MEDIA[name](Path(temporary), arguments.frames)
            for run in compare(name, Path(temporary), arguments.parts):
                print(json.dumps(run), file=sys.stderr, flush=True)
                runs.append(run)
                write(name, WHAT[name].format(frames=arguments.frames), runs)
    show(json.loads(RESULT.read_text()))


def write(name: str, what: str, runs: list[dict[str, Any]]) -> None:
    """Put the runs of a job so far into the results; those of other jobs stay."""
    found = json.loads(RESULT.read_text()) if RESULT.is_file() else {"jobs": {}}
    found["machine"] = {"cores": os.cpu_count(), "kernel": platform.release(), "load": round(os.getloadavg()[0], 1)}
    found["versions"] = versions("torch", "transformers", "numpy")
    found["jobs"][name] = {"what": what, "date": datetime.now(UTC).date().isoformat(), "runs": runs}
    RESULT.write_text(json.dumps(found, indent=2) + "\n")


def compare(name: str, folder: Path, parts: list[int]) -> Iterator[dict[str, Any]]:
    with confined(NO_LIMIT) as place:
        plain = run(name, folder, place, plain=True)
    yield {"run": "plain, no limit"} | plain
    if not plain["finished"]:
        raise SystemExit(f"{name}: the run without a limit failed: {plain['reason']}")
    for part in parts:
        with confined(int(plain["peak_mb"] / part) << 20) as place:
            yield {"run": f"1/{part}"} | run(name, folder, place, against=plain["outputs"])
    with confined(int(plain["peak_mb"] / max(parts)) << 20) as place:
        yield {"run": f"plain, 1/{max(parts)}"} | run(name, folder, place, plain=True, against=plain["outputs"])


def run(
    name: str, folder: Path, place: Confinement, *, plain: bool = False, against: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a job in a place of its own, and say how it went."""
    for old in folder.glob("out*"):
        old.unlink()
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)] + ["--plain"] * plain
    path = os.pathsep.join([str(ROOT / "workflow"), str(ROOT / "benchmarks")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    code = start(command, place, env=environment).wait()
    told = place.facts()
    if not (folder / "log.json").is_file():
        return {"finished": False, "reason": f"exit code {code}", "limit": told}
    record = json.loads((folder / "log.json").read_text())
    (folder / "log.json").unlink()
    outputs = {each.name: digest(each) for each in sorted(folder.glob("out*"))}
    facts = record["facts"]
    return {
        "finished": record["status"] == "ok",
        "reason": record["reason"],
        "limit": told,
        "found_limit": {"mb": record["budget_mb"], "by": record["budget_by"]},
        "rung": facts.get("rung", ""),
        "way": " ".join(str(facts[key]) for key in ("gradient_way", "gradient_chunk") if key in facts),
        "attempts": [{key: each[key] for key in ("rung", "status", "reason", "rss_mb")} for each in record["attempts"]],
        "peak_mb": record["rss_mb"],
        "cpu_s": record["cpu_s"],
        "wall_s": record["wall_s"],
        "outputs": outputs,
        **({} if against is None else {"identical": outputs == against}),
    }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def script(
    name: str, folder: Path, *, files: dict[str, Any], params: dict[str, Any], resources: dict[str, Any]
) -> None:
    """Run a script of the workflow as Snakemake does."""
    index = {"video": folder / "video.mp4", "index": folder / "index.parquet"}
    snakemake = SimpleNamespace(
        rule=name,
        wildcards={"video": "video", "window": "0000"},
        log=[str(folder / "log")],
        input=SimpleNamespace(**index, detections=None, state=[]),
        output=SimpleNamespace(**files),
        params=SimpleNamespace(force_cpu=True, **params),
        resources=resources,
        threads=1,
        scriptdir=str(SCRIPTS),
    )
    runpy.run_path(str(SCRIPTS / f"{name}.py"), init_globals={"snakemake": snakemake})


def only_as_asked(module: str) -> None:
    """Take the ladder away from a job."""
    from longtake.supervise.ladder import AS_ASKED

    importlib.import_module(module).ladder = lambda _: [AS_ASKED]  # type: ignore[attr-defined]


def window(folder: Path) -> dict[str, Any]:
    from longtake.media.index_file import load_index

    frames = load_index(folder / "index.parquet", folder / "video.mp4").n_frames
    return {"video": "video", "window": 0, "start": 0, "stop": frames, "emit_start": 0, "emit_stop": frames} | {
        "start_s": 0.0,
        "stop_s": frames / 20,
    }


def gradients(folder: Path, plain: bool) -> None:
    from dataclasses import asdict

    from longtake.gradients.options import Options

    if plain:
        only_as_asked("longtake.gradients.window")
    options = Options(model="tight_model:Model", clips="even", clips_per_window=1, perturbations=[])
    about = {"species": "a", "labels": None, "seed": 1}
    script(
        "gradients_window",
        folder,
        files={name: folder / f"out.{name}" for name in ("curves", "clips", "maps", "perturbations")},
        params={"window": window(folder), "about": about, "options": asdict(options) | {"short_windows": 0}},
        # As much as it likes: then everything is kept for the backward pass.
        resources={"gradient_mb": NO_LIMIT >> 20} if plain else {},
    )


def tracking(folder: Path, plain: bool) -> None:
    if plain:
        from longtake.annotate.session import BoundedSession

        only_as_asked("longtake.annotate.ways")
        BoundedSession.prune = lambda *_: None  # type: ignore[method-assign]
    prompts = [
        {"row": row, "video": "video", "object": f"disc {row}", "label": "disc", "frame": 0, "time_s": None}
        | {"x_min": x - r, "y_min": y - r, "x_max": x + r, "y_max": y + r, "until_s": None}
        for row, (x, y, r) in enumerate(DISCS, start=2)
    ]
    options = {"scale": 0.5, "frame_interval": 1, "continuity": "chain", "dense_seeding": "never"}
    script(
        "annotate_window",
        folder,
        files={"detections": folder / "out.detections", "state": []},
        params={
            "window": window(folder),
            "prompts": prompts,
            "model": str(ROOT / "workflow/models/sam2-pond"),
            "options": options | {"max_conditioning_frames": 32, "object_batch": 1},
            "direction": "forward",
        },
        resources={},
    )


def clip_video(folder: Path, _: int) -> None:
    make_video(folder, 31, 384, 384)


def long_video(folder: Path, frames: int) -> None:
    make_video(folder, frames, 512, 288)


CHILDREN = {"gradients": gradients, "tracking": tracking}
MEDIA = {"gradients": clip_video, "tracking": long_video}


def show(found: dict[str, Any]) -> None:
    for job in found["jobs"].values():
        print(f"\n{job['what']} ({job['date']})")
        print(f"{'run':<17}{'limit MB':>9}{'peak MB':>9}{'CPU s':>7}  {'end':<40}identical")
        for each in job["runs"]:
            limit = each["limit"]["limit_mb"] if each["limit"]["limit_mb"] < NO_LIMIT >> 20 else ""
            end = each["rung"] if each["finished"] else each["reason"].split(":")[0]
            figures = f"{limit!s:>9}{each.get('peak_mb', 0):>9.0f}{each.get('cpu_s', 0):>7.0f}"
            print(f"{each['run']:<17}{figures}  {end + ' ' + each.get('way', ''):<40}{each.get('identical', '')}")


if __name__ == "__main__":
    main()
