"""What the driver costs with many videos: the plan, dry runs, the start of the first window, one more video.

    PYTHONPATH=workflow python benchmarks/scale.py [--videos 100 1000] [--windows 18] [--prompts 50] [--keep FOLDER]
    PYTHONPATH=workflow python benchmarks/scale.py --slurm 40    # as root, after make slurm-packages

Makes projects of that many videos: a copy of the checkout, in which every step behind the plan is a stub that makes its
declared files and nothing else. The videos' indexes are those of recordings of that length, their probes are there,
and windows and plan are made by the workflow itself. Times are seconds of CPU, which depend least on what else the
machine does; memory is the peak of the largest process. Writes ``benchmarks/results/scale.json`` and prints what it
finds. With ``--slurm`` it submits stubs in several ways to a SLURM that it starts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from longtake.media.index import VideoIndex, index_video
from longtake.media.index_file import save_index
from longtake.media.probe import probe_video
from longtake.media.writer import write_video
from longtake.planning.forecast import Forecast
from longtake.sources import stamp
from longtake.store.atomic import write_json
from longtake.store.tsv import columns_of

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "scale.json"
REAL_STEPS = {f"{name}.py" for name in ("probe_video", "windows", "plan")}
FPS, DURATION_S, OVERLAP_S = 30, 300, 30
STUB = """from pathlib import Path

for path in snakemake.output:
    Path(path).touch()
Path("began").touch()
"""
# A forecast costs half a minute of simulation once for each model and size, however many videos there are.
NO_FORECAST = f"""from pathlib import Path

Path(snakemake.output[0]).write_text({chr(9).join(columns_of(Forecast)) + chr(10)!r})
"""
TABLE = re.compile(r"^Job stats:\njob +count\n[- ]+\n.*?^total +(\d+)$", re.M | re.S)
WAYS = {
    "one by one": [],
    # A group asks for the processors of all its jobs, and a node of the cluster has four.
    "groups of three": ["--groups", "annotate_window=windows", "--group-components", "windows=3"],
    "arrays": ["--slurm-array-jobs=annotate_window"],
}


@dataclass(frozen=True)
class Run:
    """One run of Snakemake: seconds of CPU and on the wall, the largest process in MiB, and how many jobs it named."""

    cpu_s: float
    wall_s: float
    rss_mb: float
    jobs: int

    def row(self) -> dict[str, float]:
        figures = {"cpu_s": round(self.cpu_s, 1), "wall_s": round(self.wall_s, 1), "rss_mb": round(self.rss_mb)}
        return {**figures, "jobs": self.jobs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--windows", type=int, default=18)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--slurm", type=int, metavar="JOBS", help="only submit so many stubs, in each way")
    parser.add_argument("--keep", type=Path, help="make the projects in this folder and leave them there")
    given = parser.parse_args()
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
    }
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="longtake-scale-")))
        if given.slurm:
            found = {**before, "slurm": {**about, "jobs": given.slurm, "ways": through_slurm(folder, given.slurm)}}
            write_json(RESULT, found)
            return
        projects: list[dict[str, Any]] = []
        found = {**before, **about, "windows": given.windows, "prompts": given.prompts, "projects": projects}
        for videos in given.videos:
            projects.append({"videos": videos, "steps": []})
            for name, run in measure(folder, videos, given.windows, given.prompts):
                print(f"{videos} videos: {name}: {run.row()}", flush=True)
                projects[-1]["steps"].append({"step": name, **run.row()})
                # Whoever stops it keeps what was measured.
                write_json(RESULT, found)


def measure(folder: Path, videos: int, windows: int, prompts: int) -> Iterator[tuple[str, Run]]:
    """Everything about one project, in the order in which a user meets it."""
    project = make_project(folder / f"{videos}", videos, windows, prompts)
    yield "plan, with its jobs", snakemake(project, "plan", "--cores=1")
    yield "dry run of annotate", snakemake(project, "annotate", "-n", "--quiet=rules")
    yield "start of the first window", first_job(project, "annotate")
    add_video(project, "one-more", prompts)
    yield "one more video: plan, with its jobs", snakemake(project, "plan", "--cores=1")
    yield "one more video: dry run of annotate", snakemake(project, "annotate", "-n", "--quiet=rules")
    yield "dry run of all", snakemake(project, "all", "-n", "--quiet=rules")


def through_slurm(folder: Path, jobs: int) -> dict[str, dict[str, float]]:
    """Submit that many windows, each of a video of its own, in several ways to a SLURM started for it."""
    spec = importlib.util.spec_from_file_location("cluster", ROOT / "tests/slurm/cluster.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/slurm/cluster.py is missing")
    cluster_of = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = cluster_of
    spec.loader.exec_module(cluster_of)
    if reason := cluster_of.missing():
        raise SystemExit(reason)
    found: dict[str, dict[str, float]] = {}
    project = make_project(folder / "slurm", jobs, 1, 1)
    with cluster_of.running_cluster() as cluster:
        snakemake(project, "plan", "--cores=1", variables=cluster.environment)
        targets = [f"results/annotate/video-{number:04d}/window-0000.parquet" for number in range(jobs)]
        before: set[str] = set()
        for name, options in WAYS.items():
            shutil.rmtree(project / "results/annotate", ignore_errors=True)
            fast = ["--profile=profiles/slurm", "--latency-wait=5", "--slurm-init-seconds-before-status-checks=2"]
            run = snakemake(project, *targets, *fast, *options, variables=cluster.environment)
            new = [record for record in cluster.submissions() if record["JobId"] not in before]
            before |= {record["JobId"] for record in new}
            calls = len({record.get("ArrayJobId", record["JobId"]) for record in new})
            found[name] = {**run.row(), "jobs": len(new), "sbatch_calls": calls}
            print(f"{jobs} windows through SLURM, {name}: {found[name]}", flush=True)
    return found


def snakemake(project: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> Run:
    """Run Snakemake to its end; CPU is that of its local jobs, too."""
    with tempfile.TemporaryFile() as said:
        process, began = start(project, arguments, said, variables or {}), time.perf_counter()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode()
    if process.returncode:
        raise SystemExit(f"snakemake {' '.join(arguments)} failed:\n{text[-4000:]}")
    jobs = TABLE.search(text)
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter() - began
    return Run(cpu, wall, usage.ru_maxrss / 1024, int(jobs[1]) if jobs else 0)


def start(
    project: Path, arguments: Sequence[str], said: IO[bytes], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        # Without a lock, since a driver may have been ended by force.
        [sys.executable, "-m", "snakemake", *arguments, "--nocolor", "--nolock"],
        cwd=project,
        env={**kept, "XDG_CACHE_HOME": str(project / ".cache"), **variables},
        stdout=said,
        stderr=said,
    )


def first_job(project: Path, target: str) -> Run:
    """Run until the first window has begun, and stop; CPU and memory are those of the driver alone, until then."""
    began = project / "began"
    began.unlink(missing_ok=True)
    with tempfile.TemporaryFile() as said:
        process, clock = start(project, [target, "--cores=1"], said, {}), time.perf_counter()
        while not began.exists():
            if process.poll() is not None:
                said.seek(0)
                raise SystemExit(said.read().decode()[-4000:])
            time.sleep(0.05)
        cells = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")
        wall = time.perf_counter() - clock
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        # All that is asked is answered, and a driver that ends in order waits for its job.
        process.kill()
        process.wait()
    return Run(cpu, wall, int(peak[1]) / 1024 if peak else 0, 1)


def make_project(path: Path, videos: int, windows: int, prompts: int) -> Path:
    """A project whose videos are as long as `windows` windows, all of them probed."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "workflow").mkdir(parents=True)
    for name in ("Snakefile", "rules", "profiles", "envs", "config"):
        source = ROOT / name
        shutil.copytree(source, path / name) if source.is_dir() else shutil.copy(source, path / name)
    (path / "workflow/models").symlink_to(ROOT / "workflow/models")
    for name in ("longtake", "scripts"):
        source = ROOT / "workflow" / name
        shutil.copytree(source, path / "workflow" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (path / "workflow/scripts").glob("*.py"):
        if script.name not in REAL_STEPS:
            script.write_text(NO_FORECAST if script.name == "forecast.py" else STUB)
    (path / "config/config.yaml").write_text(f"window_duration: {DURATION_S}\nwindow_overlap: {OVERLAP_S}\n")
    (path / "media").mkdir()
    frames = ((frame, np.zeros((64, 64, 3), np.uint8)) for frame in range(2))
    write_video(path / "short.mp4", frames, time_base=Fraction(1, FPS), width=64, height=64)
    (path / "config/videos.tsv").write_text("video\tpath\tspecies\n")
    header = "video\tobject\tlabel\tframe\ttime_s\tx_min\ty_min\tx_max\ty_max\tuntil_s\n"
    (path / "config/prompts.tsv").write_text(header)
    for number in range(videos):
        add_video(path, f"video-{number:04d}", prompts)
    probed(path, [f"video-{number:04d}" for number in range(videos)], windows)
    return path


def add_video(path: Path, video: str, prompts: int) -> None:
    """A row in each sheet, and a file."""
    # A copy: one more link of a file is a change of all its links, which their stamps would tell.
    shutil.copy(path / "short.mp4", path / f"media/{video}.mp4")
    with (path / "config/videos.tsv").open("a") as sheet:
        sheet.write(f"{video}\tmedia/{video}.mp4\tdarter\n")
    with (path / "config/prompts.tsv").open("a") as sheet:
        for number in range(prompts):
            sheet.write(f"{video}\tobject-{number}\tdarter\t{number * 100}\t\t8\t8\t24\t24\t\n")


def probed(path: Path, videos: Sequence[str], windows: int) -> None:
    """What probes of long recordings would have written."""
    short = index_video(path / "short.mp4")
    long = stretched(short, FPS * ((windows - 1) * (DURATION_S - OVERLAP_S) + DURATION_S))
    facts = {**probe_video(path / "short.mp4", long), "width": 1920, "height": 1080}
    (path / "results/probe").mkdir(parents=True)
    save_index(long, path / "long.index.parquet")
    for video in videos:
        own = {"video": video, "path": f"media/{video}.mp4", "stamp": stamp(path / f"media/{video}.mp4")}
        write_json(path / f"results/probe/{video}.json", {**facts, **own})
        (path / f"results/probe/{video}.index.parquet").hardlink_to(path / "long.index.parquet")


def stretched(index: VideoIndex, frames: int) -> VideoIndex:
    """The index of a file as if it had that many frames, a keyframe every second."""
    step = int(index.packet_pts[1] - index.packet_pts[0])
    at = np.arange(frames, dtype=np.int64)
    return replace(
        index,
        packet_pts=at * step,
        packet_dts=at * step,
        packet_position=at * 5000,
        packet_size=np.full_like(at, 5000).astype(index.packet_size.dtype),
        packet_flags=np.where(at % FPS == 0, *index.packet_flags[:2]).astype(index.packet_flags.dtype),
    )


if __name__ == "__main__":
    main()
