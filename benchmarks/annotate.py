"""Memory of annotation against the length of the video: longtake's bounded window job beside the stock session.

    PYTHONPATH=workflow python benchmarks/annotate.py [--frames 60] [--times 10]

Each run is a process of its own, so that its peak is its own. The peer is ``Sam2VideoInferenceSession`` of
``transformers`` fed frame by frame, as its documentation streams long videos. Both read the same synthetic video by
the same reader and track the same objects; a third run hashes the logits of the bounded session, to be compared with
the peer's. Writes ``benchmarks/results/annotate.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from discs import DISCS, make_video
from host import cpu, versions

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "workflow" / "models" / "sam2-pond"
RESULT = ROOT / "benchmarks" / "results" / "annotate.json"
PICTURE = ROOT / "docs" / "memory.png"
WIDTH, HEIGHT, SCALE = 512, 288, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = compare(Path(temporary), [arguments.frames, arguments.frames * arguments.times])
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    draw(found)
    show(found)


def compare(temporary: Path, lengths: list[int]) -> dict:
    model = MODEL if (MODEL / "model.safetensors").is_file() else random_model(temporary / "model")
    runs = []
    for frames in lengths:
        folder = temporary / str(frames)
        make_video(folder, frames, WIDTH, HEIGHT)
        (folder / "model").symlink_to(model)
        for kind in CHILDREN:
            runs.append({"run": kind, "frames": frames} | run_child(kind, folder))
    peaks = {(run["run"], run["frames"]): run["peak_mb"] for run in runs}
    hashes = {(run["run"], run["frames"]): run.get("logits_sha256") for run in runs}
    short, long = lengths
    return {
        "what": "peak memory of annotation against the length of the video",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]},
        "versions": versions("torch", "transformers", "numpy", "av", "pycocotools", "pyarrow"),
        "model": "workflow/models/sam2-pond" if model == MODEL else "random weights of the sam2-pond configuration",
        "video": {"width": WIDTH, "height": HEIGHT, "scale": SCALE, "objects": len(DISCS), "frame_interval": 1},
        "runs": runs,
        "peak_ratio": {kind: peaks[kind, long] / peaks[kind, short] for kind in CHILDREN},
        "logits_identical": all(hashes["stock session", n] == hashes["bounded session", n] for n in lengths),
    }


def run_child(kind: str, folder: Path) -> dict:
    command = [sys.executable, __file__, "--child", kind, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{kind} on {folder.name} frames failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def window_job(folder: Path) -> dict:
    """The whole video as one window, as the workflow runs it."""
    from longtake.annotate.window import annotate_window
    from longtake.media.index_file import load_index
    from longtake.media.windows import Window

    index = load_index(folder / "index.parquet", folder / "video.mp4")
    frames = index.n_frames
    meter = Meter()
    record = annotate_window(
        video_path=folder / "video.mp4",
        index_path=folder / "index.parquet",
        window=Window("discs", 0, 0, frames, 0, frames, 0.0, index.duration_s),
        prompts=prompts(),
        model_dir=folder / "model",
        scale=SCALE,
        frame_interval=1,
        state_in=None,
        detections_out=folder / "detections.parquet",
        state_out=folder / "state.safetensors",
        progress=meter.progress,
    )
    sizes = {"rows": record["rows"], "table_bytes": (folder / "detections.parquet").stat().st_size}
    return meter.result() | sizes


def stock_session(folder: Path) -> dict:
    """The library's session, given frame after frame and never emptied."""
    import torch
    from transformers import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(video_height=HEIGHT, video_width=WIDTH, dtype=torch.float32)

    def step(tracker: object, at: int, pixels: torch.Tensor, boxes: dict) -> list[np.ndarray]:
        for name, box in boxes.items():
            inputs = {"point_coords": box.points[None, None], "point_labels": box.labels[None, None]}
            session.add_point_inputs(session.obj_id_to_idx(name), at, inputs)
        session.obj_with_new_inputs = list(boxes)
        output = tracker.model(session, frame=pixels, frame_idx=at)
        return list(output.pred_masks[:, 0].numpy())

    return track_all(folder, step, lambda: held_bytes(session))


def bounded_session(folder: Path) -> dict:
    """The session of the window job alone, for its logits and its size."""
    from longtake.annotate.session import BoundedSession, track
    from longtake.media.index_file import load_index

    frames = load_index(folder / "index.parquet", folder / "video.mp4").n_frames
    sessions: list[BoundedSession] = []

    def step(tracker: object, at: int, pixels: object, boxes: dict) -> list[np.ndarray]:
        if not sessions:
            sessions.append(BoundedSession(tracker, frames))
        return [prediction.logits for prediction in track(tracker, sessions[0], at, pixels, boxes).values()]

    return track_all(folder, step, lambda: held_bytes(sessions[0]))


def held_bytes(session: object) -> int:
    """Count the bytes of all tensors that a session keeps alive, each storage once; of the stock one, too."""
    from longtake.annotate.session import BoundedSession

    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in BoundedSession.tensors(session)}
    return sum(storage.nbytes() for storage in storages.values())


CHILDREN = {"window job": window_job, "stock session": stock_session, "bounded session": bounded_session}


def track_all(folder: Path, step: object, held: object) -> dict:
    import torch

    from longtake.annotate.geometry import model_box, model_frame
    from longtake.annotate.session import ModelPrompt
    from longtake.annotate.tracker import load_tracker
    from longtake.media.index_file import load_index
    from longtake.media.reader import read_frames

    tracker = load_tracker(folder / "model")
    index = load_index(folder / "index.parquet", folder / "video.mp4")
    side = tracker.preprocessing.image_size
    boxes = {
        each.object: ModelPrompt(
            model_box((each.x_min, each.y_min, each.x_max, each.y_max), WIDTH, HEIGHT, side),
            torch.tensor([2, 3], dtype=torch.int32),
        )
        for each in prompts()
    }
    meter, whole = Meter(held), hashlib.sha256()
    size = (round(WIDTH * SCALE), round(HEIGHT * SCALE))
    for frame in read_frames(index, range(index.n_frames), size=size):
        pixels = model_frame(frame.pixels, tracker.preprocessing)
        for logits in step(tracker, frame.frame, pixels, boxes if frame.frame == 0 else {}):
            whole.update(np.ascontiguousarray(logits).tobytes())
        meter.progress(frame.frame + 1, index.n_frames)
    return meter.result() | {"logits_sha256": whole.hexdigest()}


class Meter:
    """Peak RSS of this process so far and bytes of its session, at ten points of the run."""

    def __init__(self, held: object = None) -> None:
        self.held = held
        self.sessions: list[list[int]] = []
        self.began, self.cpu = time.perf_counter(), time.process_time()
        self.start = peak_mb()
        self.curve: list[list[float]] = []

    def progress(self, done: int, total: int) -> None:
        if done == 1 or done * 10 // total > (done - 1) * 10 // total:
            self.curve.append([done, round(peak_mb(), 1)])
            if self.held is not None:
                self.sessions.append([done, self.held()])

    def result(self) -> dict:
        return {
            "start_mb": round(self.start, 1),
            "peak_mb": round(peak_mb(), 1),
            "peak_mb_after_frames": self.curve,
            **({"session_bytes_after_frames": self.sessions} if self.sessions else {}),
            "cpu_s": round(time.process_time() - self.cpu, 1),
            "wall_s": round(time.perf_counter() - self.began, 1),
        }


def peak_mb() -> float:
    """Peak RSS of this program alone; getrusage would inherit the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def prompts() -> list:
    from longtake.annotate.sheet import Prompt

    return [
        Prompt(row, "discs", f"disc {row}", "disc", 0, None, x - r, y - r, x + r, y + r, None)
        for row, (x, y, r) in enumerate(DISCS, start=2)
    ]


def random_model(folder: Path) -> Path:
    from trainers.tracker import new_tracker, save_tracker

    save_tracker(new_tracker(1), folder)
    return folder


def draw(found: dict) -> None:
    """Draw the memory of the longest run of each kind against its frames."""
    from longtake.figures.memory import memory_curves

    longest = max(run["frames"] for run in found["runs"])
    runs = {run["run"]: run for run in found["runs"] if run["frames"] == longest}
    names = {"stock session": "stock session", "bounded session": "longtake"}
    sessions = {
        name: [(at, n / 1e6) for at, n in runs[kind]["session_bytes_after_frames"]] for kind, name in names.items()
    }
    peaks = {
        "stock session": runs["stock session"]["peak_mb_after_frames"],
        "longtake, the whole job": runs["window job"]["peak_mb_after_frames"],
    }
    words = (
        f"Annotating {found['video']['objects']} objects: memory against frames, with the same logits to the last bit"
    )
    terms = f"{found['model']}; {found['machine']['cores']} cores, {found['date']}"
    memory_curves(words, sessions, peaks, terms=terms).savefig(PICTURE)


def show(found: dict) -> None:
    print(f"{found['date']}, {found['machine']['cores']} x {found['machine']['cpu']}, {found['model']}")
    print(f"{'run':<17}{'frames':>8}{'start MB':>10}{'peak MB':>9}{'CPU s':>8}   peak MB after tenths of the video")
    for run in found["runs"]:
        curve = " ".join(f"{peak:.0f}" for _, peak in run["peak_mb_after_frames"])
        figures = f"{run['start_mb']:>10.0f}{run['peak_mb']:>9.0f}{run['cpu_s']:>8.1f}"
        print(f"{run['run']:<17}{run['frames']:>8}{figures}   {curve}")
    ratios = ", ".join(f"{kind} {ratio:.3f}" for kind, ratio in found["peak_ratio"].items())
    print(f"peak of the long video over the short one: {ratios}")
    print(f"logits of the bounded and the stock session identical: {found['logits_identical']}")


if __name__ == "__main__":
    main()
