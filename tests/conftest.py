"""A small project of its own: a copy of the checkout, two short ponds, a file that is no video, short windows."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

# Before anything imports torch. A job computes in one thread, too; and where two tests at a time have two each on two
# cores, small tensors take nine times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
ANNOTATED = ("annotate", "detections")
OWN_PROCESS = "LONGTAKE_TESTS_OWN_PROCESS"
VOLUME_NETWORK = '''
import torch
from torch import nn


class Net(nn.Module):
    """The brighter, the more it is class 1."""

    class_names = ("dark", "bright")

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU())
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.features(x).mean((2, 3, 4)))


def make(device):
    return Net().to(device).eval()
'''
VOLUME_SETTINGS = """
device: {force_cpu: true}
attribution:
  volumes: volumes.tsv
  model: net_of_study:make
  axes: HWB
  model_axes: BHW
  methods: [gradcam, smoothgrad]
  n_samples: 2
  steps: 2
  overlay_slices: 2
"""
PROMPTS_HEADER = "video\tobject\tlabel\tframe\ttime_s\tx_min\ty_min\tx_max\ty_max\tuntil_s\n"


@dataclass(frozen=True)
class Project:
    """A folder in which Snakemake runs, the options it gets there, and what is added to its environment."""

    path: Path
    options: tuple[str, ...] = ("--cores=2", "--retries=0", "--nocolor")
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def out(self):
        return self.path / "results"

    def command(self, *arguments):
        return [sys.executable, "-m", "snakemake", *self.options, *arguments]

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH",)}
        return {**kept, "XDG_CACHE_HOME": str(self.path / ".cache"), **dict(self.variables)}

    def run(self, *arguments, fails=False):
        done = subprocess.run(
            self.command(*arguments), cwd=self.path, env=self.environment(), capture_output=True, text=True, check=False
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, text[-6000:]
        return text

    def jobs(self, *arguments):
        """What a dry run would do: rule -> number of jobs."""
        return job_counts(self.run("-n", *arguments))

    def start(self, *arguments, said):
        """Begin a run, what it says goes to the file `said`, and do not wait for it."""
        with said.open("w") as file:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.path, env=self.environment(), stdout=file, stderr=file
            )

    def digests(self, *folders):
        """Every table and state that annotate leaves, or what lies in `folders` of the results, by its place."""
        paths = [path for folder in folders or ANNOTATED for path in (self.out / folder).rglob("*") if path.is_file()]
        # Who is killed with all its processes leaves what it had half written under a hidden name.
        paths = [path for path in paths if not path.name.startswith(".")]
        return {str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def forget(self, *patterns):
        """Remove results, as if their jobs had never run."""
        found = [path for pattern in patterns for path in self.out.glob(pattern)]
        assert found, patterns
        for path in found:
            path.unlink()

    def knowing(self, other):
        """The same, with what forecasts of another project have found out of the models: its plans take seconds."""
        shutil.copytree(other.out / "plan/known", self.out / "plan/known")
        return self

    def copy(self, to):
        # What Snakemake keeps for one run comes and goes in a project that several tests share.
        shutil.copytree(self.path, to, symlinks=True, ignore=shutil.ignore_patterns("snakemake-runtime-cache"))
        return replace(self, path=to)


def job_counts(text):
    if "Nothing to be done" in text:
        return Counter()
    table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total", text, re.M | re.S)
    assert table, text[-3000:]
    found = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table[1], re.M)}
    return Counter(found)


def add_pond(project, video, seed, seconds, species):
    """Render a pond into the project and add it to its sheets."""
    from longtake.demo.prompting import first_prompts
    from longtake.demo.scenes import make_scene, render_frame
    from longtake.media.writer import write_video

    scene = make_scene(seed, duration_s=seconds, n_animals=len(species), species=species)
    path = project / "media" / f"{video}.mp4"
    path.parent.mkdir(exist_ok=True)
    frames = ((frame, render_frame(scene, frame).image) for frame in range(scene.n_frames))
    write_video(path, frames, time_base=Fraction(1, scene.fps), width=scene.width, height=scene.height)
    with (project / "config/videos.tsv").open("a") as sheet:
        sheet.write(f"{video}\tmedia/{video}.mp4\t\n")
    with (project / "config/prompts.tsv").open("a") as sheet:
        for prompt in first_prompts(scene, 5):
            animal = scene.animals[prompt.number - 1]
            box = "\t".join(f"{edge:g}" for edge in prompt.box)
            sheet.write(f"{video}\t{animal.id}\t{animal.species}\t{prompt.frame}\t\t{box}\t\n")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes longest and mostly waits comes first, so that no worker is left with it at the end."""
    items.sort(key=lambda item: ("tests/slurm" not in str(item.path), "tests/workflow" not in str(item.path)))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """A test of `own_process` runs in a pytest that runs nothing else, where no other test has left its memory."""
    if pyfuncitem.get_closest_marker("own_process") is None or OWN_PROCESS in os.environ:
        return None
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, OWN_PROCESS: "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker takes whole files, whose fixtures are then made once; and all of tests/slurm, which is one cluster."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "tests/slurm" if file.startswith("tests/slurm/") else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """`once(name, make)` is a folder that `make(folder)` fills, by the first worker that asks and for all of them."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, make):
        folder, part = shared / name, shared / f"{name}.part"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def fresh(once):
    """The project before its first run."""
    return Project(once("fresh", lambda folder: make_project(folder / "checkout")) / "checkout")


@pytest.fixture(scope="session")
def new_volume():
    """`new_volume(folder, name, bright)` writes a volume and returns its row of the sheet."""
    return add_volume


@pytest.fixture(scope="session")
def volumes_study(once):
    """A study of two volumes and a file that is none, without a video, before its first run."""
    made = once("volumes", lambda folder: make_volumes(folder / "checkout")) / "checkout"
    return Project(made)


@pytest.fixture
def bare(tmp_path):
    """A project without a video."""
    bare_project(tmp_path / "checkout")
    return Project(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(fresh, once):
    """The project after one whole run on this machine."""
    return Project(once("finished", lambda folder: fresh.copy(folder / "checkout").run("all")) / "checkout")


def bare_project(path):
    """A copy of the checkout whose sheets hold no video."""
    path.mkdir()
    for name in ("Snakefile", "rules", "profiles", "envs", "config"):
        source = ROOT / name
        shutil.copytree(source, path / name) if source.is_dir() else shutil.copy(source, path / name)
    (path / "workflow").mkdir()
    (path / "workflow/models").symlink_to(ROOT / "workflow/models")
    for name in ("longtake", "scripts"):
        shutil.copytree(
            ROOT / "workflow" / name, path / "workflow" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    (path / "config/videos.tsv").write_text("video\tpath\tspecies\n")
    (path / "config/prompts.tsv").write_text(PROMPTS_HEADER)


def make_project(path):
    bare_project(path)
    add_pond(path, "pond-a", 71, 8, ("darter", "eel"))
    add_pond(path, "pond-b", 72, 5, ("jelly",))
    (path / "media/broken.mp4").write_bytes(b"this is no video" * 100)
    with (path / "config/videos.tsv").open("a") as sheet:
        sheet.write("broken\tmedia/broken.mp4\t\n")
    (path / "config/config.yaml").write_text(
        "window_duration: 3\nwindow_overlap: 0.5\nframe_interval: 5\nvideo_scale_factor: 0.5\n"
        "device: {force_cpu: true}\nstatistics: {permutations: 200}\n"
    )


def add_volume(folder, name, bright):
    import numpy as np

    values = np.random.default_rng(len(name)).random((10, 12, 8)).astype(np.float32)
    values[2:5, 3:6, 2:5] += 2 * bright
    np.save(folder / f"{name}.npy", values)
    return f"{name}\t{name}.npy\t{'bright' if bright else 'dark'}\ttest\ts-{name}\n"


def make_volumes(path):
    bare_project(path)
    (path / "net_of_study.py").write_text(VOLUME_NETWORK)
    (path / "broken.npy").write_bytes(b"no array")
    (path / "config/config.yaml").write_text(VOLUME_SETTINGS)
    rows = [add_volume(path, "one", 0), add_volume(path, "two", 1), "broken\tbroken.npy\tdark\ttest\ts\n"]
    (path / "volumes.tsv").write_text("volume\tpath\tlabel\tsplit\tsubject\n" + "".join(rows))
