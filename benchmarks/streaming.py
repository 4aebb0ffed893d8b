"""Memory of the steps that read many files, with few and with many videos or windows.

    PYTHONPATH=workflow python benchmarks/streaming.py [--steps report ...] [--videos 10 1000] [--windows 10 500]

Every step is the library's own function in a process of its own, over tables made for it (`streaming_tables`). A
process first does the step for one unit, which loads and makes what is needed once; what it then holds is its floor.
Written for each step: the process's peak RSS with few and with many units and their ratio, and, stricter, by how much
either peak lies above the floor; the seconds either took. Writes ``benchmarks/results/streaming.json`` and prints a
table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streaming_sizes as sizes
from streaming_sizes import Size

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "streaming.json"
Work = Callable[[], Any]
SMALL = Size()
QUICK = Size(frames=8, objects=2, clips=1)


@dataclass(frozen=True)
class Step:
    """A step: what it works through (`unit`), and a function that makes `n` of them and returns the work to do."""

    unit: str
    prepare: Callable[[Path, int, Size], Work]
    size: Size = SMALL


def merge(kind: str) -> Callable[[Path, int, Size], Work]:
    def prepare(folder: Path, n: int, size: Size) -> Work:
        from longtake.annotate.merge import merge_video
        from longtake.annotate.sheet import Prompt

        def make() -> dict[str, Any]:
            source, index = tables().index_of(folder, n * size.frames)
            return {
                "source": source,
                "index": index,
                **tables().detections(folder / "windows", "v", n, size, kind=kind),
            }

        made = once(folder, make)
        named = range(0, size.objects, 2 if kind == "overlap" else 1)
        prompts = [Prompt(row=k, video="v", object=f"animal-{k}", label=sizes.SPECIES[k % 6], frame=0, time_s=None,
                          until_s=None, x_min=4.0, y_min=4.0, x_max=12.0, y_max=18.0) for k in named]  # fmt: skip
        return lambda: merge_video(
            windows=made["forward"], backward=made["backward"], video_path=made["source"], index_path=made["index"],
            prompts=prompts, frame_interval=1, overlap_iou=0.5, dense_seeding="always",
            detections_out=folder / "out.parquet", agreement_out=folder / "agreement.parquet",
            prompts_out=folder / "prompts.parquet",
        )  # fmt: skip

    return prepare


def merge_gradients(folder: Path, n: int, size: Size) -> Work:
    from longtake.store import schemas
    from longtake.store.tables import concatenate

    paths = once(folder, lambda: tables().gradients(folder, "v", n, size, split=True))
    kinds = {"curves": schemas.CURVES, "clips": schemas.CLIPS, "perturbations": schemas.PERTURBATIONS}
    return lambda: [concatenate(paths[name], folder / f"{name}.parquet", kind) for name, kind in kinds.items()]


def of_a_video(folder: Path, n: int, size: Size) -> dict[str, Any]:
    """One video of `n` windows: its merged tables, and an index without a film."""

    def make() -> dict[str, Any]:
        source, index = tables().index_of(folder, n * size.frames)
        found = {name: paths[0] for name, paths in tables().gradients(folder / "gradients", "v", n, size).items()}
        return {
            "detections": tables().merged(folder / "v.parquet", "v", n, size),
            "source": source,
            "index": index,
            **found,
        }

    return once(folder, make) | {"windows": sizes.windows_of("v", n, size)}


def video_statistics(folder: Path, n: int, size: Size) -> Work:
    from longtake.species.video import video_statistics

    video = of_a_video(folder, n, size)
    named = {name: video[name] for name in ("detections", "clips", "curves", "perturbations", "windows")}
    return lambda: video_statistics(video="v", frame_interval=1, out=folder / "out", **named)


def video_figures(folder: Path, n: int, size: Size) -> Work:
    from longtake.species.draw import draw_video

    video = of_a_video(folder, n, size)
    if not (folder / "out" / "species.parquet").is_file():
        video_statistics(folder, n, size)()
    return lambda: draw_video(
        video="v", windows=video["windows"], detections=video["detections"], curves=video["curves"],
        statistics=folder / "out", species=sizes.SPECIES, timeline_out=folder / "timeline.png",
        heatmap_out=folder / "heatmap.png",
    )  # fmt: skip


def exports(folder: Path, n: int, size: Size) -> Work:
    from longtake.export.formats import WRITERS
    from longtake.export.rows import Annotated

    video = of_a_video(folder, n, size)
    item = Annotated("v", video["source"], video["index"], video["detections"], video["windows"])
    return lambda: [
        write(item, frame_interval=1, categories=sizes.SPECIES, out=folder / f"out.{name}")
        for name, write in WRITERS.items()
    ]


def film(folder: Path, n: int, size: Size) -> dict[str, Any]:
    """A video of `n` windows that can be decoded, and its index."""
    from fractions import Fraction

    from longtake.media.index import index_video
    from longtake.media.index_file import save_index
    from longtake.media.writer import write_video

    video = of_a_video(folder, n, size)
    path, index = folder / "film.mp4", folder / "film.index.parquet"
    if not index.is_file():
        frames = tables().pictures(n * size.frames + 2 * sizes.FRAMES)  # the last clips reach behind the last window
        write_video(path, frames, time_base=Fraction(1, sizes.FPS), width=sizes.WIDTH, height=sizes.HEIGHT)
        save_index(index_video(path), index)
    return video | {"source": path, "index": index}


def overlay(folder: Path, n: int, size: Size) -> Work:
    from longtake.export.overlay import write_overlay

    video = film(folder, n, size)
    return lambda: write_overlay(
        video_path=video["source"], index_path=video["index"], detections=video["detections"],
        windows=video["windows"], frame_interval=1, species=sizes.SPECIES, out=folder / "overlay.mp4",
    )  # fmt: skip


def heat(folder: Path, n: int, size: Size) -> Work:
    from longtake.export.heat import write_heat_video

    video = film(folder, n, size)
    maps = once(folder / "maps", lambda: {"maps": tables().maps(folder / "maps", n, size)})["maps"]
    return lambda: write_heat_video(
        video_path=video["source"], index_path=video["index"], clips=video["clips"], curves=video["curves"], maps=maps,
        species=sizes.SPECIES, width=320, out=folder / "heat.mp4",
    )  # fmt: skip


def species_statistics(folder: Path, n: int, size: Size) -> Work:
    from longtake.species.study import species_statistics

    videos = once(folder, lambda: {"videos": [tables().of_video(folder / "videos" / f"v{k}", f"v{k}", size)
                                              for k in range(n)]})["videos"]  # fmt: skip
    return lambda: species_statistics(videos=videos, out=folder / "out", results=folder / "results.json", seed=1,
                                      draws=500 if size == QUICK else 10_000)  # fmt: skip


def model_comparison(folder: Path, n: int, size: Size) -> Work:
    from longtake.species.models import compare_models

    runs, videos = [folder / "a", folder / "b"], [f"v{k}" for k in range(n)]
    once(folder, lambda: {"made": [tables().gradients(run / "gradients", video, size.windows, size)["clips"][0]
                                   for run in runs for video in videos]})  # fmt: skip
    return lambda: compare_models(
        run_a=runs[0],
        run_b=runs[1],
        videos=videos,
        out=folder / "models.parquet",
        seed=1,
        level=0.95,
        draws=500 if size == QUICK else 10_000,
    )


def study_figures(folder: Path, n: int, size: Size) -> Work:
    from longtake.species.draw import draw_study

    def make() -> dict[str, list[Path]]:
        paths: dict[str, list[Path]] = {"curves": [], "clips": []}
        for number in range(n):
            found = tables().gradients(folder / "gradients", f"v{number}", size.windows, size)
            for name in paths:
                paths[name] += found[name]
        return paths

    paths = once(folder / "gradients", make)
    if not (folder / "out" / "species.parquet").is_file():
        species_statistics(folder, n, size)()
    pages = {name: folder / f"{name}.png" for name in sizes.SPECIES[: 1 if size == QUICK else None]}
    return lambda: draw_study(
        statistics=folder / "out", **paths, species=sizes.SPECIES, correlation_out=folder / "correlation.png",
        comparison_out=folder / "species.png", pages=pages,
    )  # fmt: skip


def report(folder: Path, n: int, size: Size) -> Work:
    from longtake.report.memory import write_memory
    from longtake.report.page import write_report
    from longtake.species import report as sections

    once(folder, lambda: {"study": [tables().study(folder / "run", n, size)]})
    if size == QUICK:
        sections.MOST_VIDEOS = 3  # pictures of fifty videos take as much memory as those of three, and longer

    videos = [f"video-{number:05d}" for number in range(n)]
    common = {"frame_interval": 1, "continuity": "chain"}
    studies = {
        "annotate": {"rules": ["annotate_window"], "objects": dict.fromkeys(videos, size.objects), **common},
        "gradients": {"videos": videos, **common},
        "species": {"species": list(sizes.SPECIES), "pages": {}},
    }

    def work() -> None:
        write_report(results=folder / "run", out=folder / "run" / "report.html", studies=studies)
        outs = {"jobs_out": "memory.tsv", "stages_out": "stages.tsv", "figure_out": "memory.png"}
        write_memory(folder / "run", **{name: folder / "run" / path for name, path in outs.items()})

    return work


WIDE = Size(windows=18, objects=10, clips=4)
STEPS: dict[str, Step] = {
    "merge_chain": Step("windows", merge("chain")),
    "merge_overlap": Step("windows", merge("overlap"), Size(overlap=4)),
    "merge_both": Step("windows", merge("both")),
    "merge_gradients": Step("windows", merge_gradients),
    "video_statistics": Step("windows", video_statistics),
    "video_figures": Step("windows", video_figures, Size(clips=24)),
    "exports": Step("windows", exports),
    "overlay": Step("windows", overlay),
    "heat_video": Step("windows", heat, Size(frames=40, clips=2)),
    "species_statistics": Step("videos", species_statistics, WIDE),
    "model_comparison": Step("videos", model_comparison, Size(windows=4)),
    "study_figures": Step("videos", study_figures, WIDE),
    "report": Step("videos", report, WIDE),
}


def tables() -> Any:
    """The module that makes tables; what it loads must not count where memory is measured."""
    import streaming_tables

    return streaming_tables


def once(folder: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make the files of `folder` unless they are there; return their paths."""
    told = folder / "made.json"
    if not told.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        told.write_text(json.dumps(make(), default=str))
    found: dict[str, Any] = json.loads(told.read_text())
    return {name: [Path(p) for p in paths if p] if isinstance(paths, list) else Path(paths)
            for name, paths in found.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--videos", type=int, nargs=2, default=(10, 1000), metavar=("FEW", "MANY"))
    parser.add_argument("--windows", type=int, nargs=2, default=(10, 500), metavar=("FEW", "MANY"))
    parser.add_argument("--folder", type=Path, help="keep the tables here, and take what is there already")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--keep", action="store_true", help="keep the steps of the last run that are not asked for")
    parser.add_argument("--quick", action="store_true", help="little in each unit, for tests")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    with tempfile.TemporaryDirectory() as temporary:
        arguments.folder = arguments.folder or Path(temporary)
        for name in arguments.steps:  # written after each: a long run may be cut short
            found = result(arguments.out if arguments.keep else None) | {name: compare(name, arguments)}
            arguments.keep = True
            write(found, arguments.out)
    show(json.loads(arguments.out.read_text()))


def result(before: Path | None) -> dict[str, Any]:
    """The steps that an earlier run measured, in order."""
    return json.loads(before.read_text())["steps"] if before and before.is_file() else {}


def write(steps: dict[str, Any], out: Path) -> None:
    found = {
        "what": "peak RSS of a step in a process of its own, over synthetic tables",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load_at_end": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "steps": {name: steps[name] for name in STEPS if name in steps},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")


def compare(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    unit = STEPS[name].unit
    few, many = getattr(arguments, unit)
    for n in (1, few, many):
        prepare(name, n, arguments)
    rows = [start(name, n, arguments) for n in (few, many)]
    result = {
        "unit": unit, "units": [few, many], "floor_mb": round(sum(row["floor_mb"] for row in rows) / 2, 1),
        "peak_mb": [row["peak_mb"] for row in rows], "above_floor_mb": [row["above_floor_mb"] for row in rows],
        "ratio": round(rows[1]["peak_mb"] / rows[0]["peak_mb"], 3), "seconds": [row["seconds"] for row in rows],
    }  # fmt: skip
    print(name, result, file=sys.stderr, flush=True)
    return result


def prepare(name: str, n: int, arguments: argparse.Namespace) -> Work:
    step = STEPS[name]
    size = replace(QUICK, overlap=step.size.overlap) if arguments.quick else step.size
    return step.prepare(arguments.folder / name / str(n), n, size)


def start(name: str, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Do a step in a process of its own, as a job would."""
    command = [sys.executable, __file__, "--steps", name, "--child", str(n), "--folder", str(arguments.folder)]
    command += ["--quick"] if arguments.quick else []
    path = os.pathsep.join(filter(None, [str(ROOT / "workflow"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} with {n} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: argparse.Namespace) -> None:
    (name,) = arguments.steps
    first, work = prepare(name, 1, arguments), prepare(name, arguments.child, arguments)
    first()
    floor = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's high-water mark starts anew here
    began = time.perf_counter()
    work()
    seconds, peak = time.perf_counter() - began, status("VmHWM")
    row = {"floor_mb": floor, "peak_mb": peak, "above_floor_mb": peak - floor, "seconds": seconds}
    print(json.dumps({key: round(value, 1) for key, value in row.items()}))


def status(key: str) -> float:
    """MiB, of this process alone."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) / 1024


def show(found: dict[str, Any]) -> None:
    print(f"{found['what']}; {found['date']}, {found['cores']} cores")
    print(f"{'step':<20}{'units':>22}{'peak MB':>18}{'ratio':>8}{'above floor':>18}{'seconds':>16}")
    for name, row in found["steps"].items():
        units = f"{row['units'][0]}, {row['units'][1]} {row['unit']}"
        cells = ["{:.1f}, {:.1f}".format(*row[key]) for key in ("peak_mb", "above_floor_mb", "seconds")]
        print(f"{name:<20}{units:>22}{cells[0]:>18}{row['ratio']:>8.2f}{cells[1]:>18}{cells[2]:>16}")


if __name__ == "__main__":
    main()
