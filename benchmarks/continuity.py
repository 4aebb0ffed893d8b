"""What windows cost in identities: annotated as a chain, independently with an overlap, and in both directions.

    PYTHONPATH=workflow python benchmarks/continuity.py [--scenes 2] [--planted 6] [--duration-s 40]

Held-out scenes of the demo, whose truth is known, go through the embedded model as the workflow would send them:
windows of 20 s that share 4 s, every 5th frame, each animal prompted by one box, or again every 10 s. Every way is held
against the truth, and independent windows against the chain, by TrackEval. Then the same windows with a tracker that
never errs (the truth, under each window's own ids), in scenes where animals meet more often: what stitching itself
loses, which is what lies hidden where a window begins. Writes ``benchmarks/results/continuity.json``, prints a table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from trainers.evaluate_tracker import HELD_OUT_SEED
from trainers.identity_scores import identity_scores

from longtake.annotate.merge import merge_video
from longtake.annotate.sheet import Prompt
from longtake.annotate.stitch import WindowRows, stitch
from longtake.annotate.window import annotate_window
from longtake.demo.prompting import first_prompts, regular_prompts
from longtake.demo.render import truth_rows
from longtake.demo.scenes import Scene, make_scene, render_frame
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window, grid, plan_windows
from longtake.media.writer import write_video
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "workflow" / "models" / "sam2-pond"
RESULT = ROOT / "benchmarks" / "results" / "continuity.json"
FRAME_INTERVAL, WINDOW_S, OVERLAP_S, SCALE, OVERLAP_IOU = 5, 20, 4, 0.5, 0.5
WAYS = {
    "chain": ("chain", False),
    "overlap": ("overlap", False),
    "chain, both directions": ("chain", True),
    "overlap, both directions": ("overlap", True),
}
PROMPTS = {"one box an animal": None, "a box every 10 s": 200}
# The embedded model is small, and its masks are of few pixels.
SEEDING = {"dense_seeding": "auto", "seed_predicted_iou": 0.5, "seed_stability": 0.5}
CHAIN_OF = {"overlap": "chain", "overlap, both directions": "chain, both directions"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=2)
    parser.add_argument("--planted", type=int, default=6)
    parser.add_argument("--duration-s", type=float, default=40.0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    runs: list[dict] = []
    for number in range(arguments.scenes):
        scene = make_scene(HELD_OUT_SEED + number, duration_s=arguments.duration_s, n_animals=3 + number % 2)
        with tempfile.TemporaryDirectory() as folder:
            runs += annotate_scene(scene, Path(folder))
    for number in range(arguments.planted):
        seed = HELD_OUT_SEED + 100 + number
        runs.append(stitch_truth(make_scene(seed, duration_s=arguments.duration_s, n_animals=4, roaming=0.5)))
    found = {
        "what": "identities over windows, by TrackEval",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trackeval")},
        "model": "workflow/models/sam2-pond",
        **vars(arguments),
        "window_s": WINDOW_S,
        "overlap_s": OVERLAP_S,
        "frame_interval": FRAME_INTERVAL,
        "wall_s": round(time.perf_counter() - began),
        "means": means(runs),
        "runs": runs,
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    show(found)


def annotate_scene(scene: Scene, folder: Path) -> list[dict]:
    """One scene through the embedded model in every way, against the truth, and independent windows against a chain."""
    video, index_path = folder / "video.mp4", folder / "index.parquet"
    truth = list(render(scene, video))
    save_index(index_video(video), index_path)
    runs, found = [], {}
    for (given, every), way in itertools.product(PROMPTS.items(), WAYS):
        if every and WAYS[way][1]:
            continue  # between frequent prompts, little is left for the other direction
        began = time.perf_counter()
        found[way] = annotate(video, index_path, cut(scene), boxes(scene, every), way)
        facts = {"scene": scene.seed, "tracker": "embedded model", "prompts": given, "way": way}
        wall = {"wall_s": round(time.perf_counter() - began, 1)}
        runs.append(facts | {"against": "truth"} | identity_scores(truth, found[way]) | wall)
        if way in CHAIN_OF:
            runs.append(facts | {"against": "chain"} | identity_scores(found[CHAIN_OF[way]], found[way]))
        print(scene.seed, given, way, {name: round(runs[-1][name], 3) for name in SCORES}, flush=True)
    return runs


def boxes(scene: Scene, every: int | None) -> list[Prompt]:
    found = regular_prompts(scene, FRAME_INTERVAL, every=every or scene.n_frames)
    animals = [scene.animals[each.number - 1] for each in found]
    return [
        Prompt(row, "pond", animal.id, animal.species, each.frame, None, *each.box, None)
        for row, (each, animal) in enumerate(zip(found, animals, strict=True), start=2)
    ]


def annotate(video: Path, index: Path, windows: list[Window], prompts: list[Prompt], way: str) -> list[dict]:
    """All windows, each as a job would do it, and then merged."""
    continuity, both = WAYS[way]
    folder = Path(tempfile.mkdtemp(dir=video.parent))
    source = {"video_path": video, "index_path": index, "prompts": prompts, "frame_interval": FRAME_INTERVAL}
    tables: dict[str, list[Path]] = {"forward": [], "backward": []}
    for direction in ("forward", "backward") if both else ("forward",):
        state = None
        for window in windows if direction == "forward" else reversed(windows):
            table = folder / f"{window.window}.{direction}.parquet"
            state_out = folder / f"{window.window}.{direction}.safetensors" if continuity == "chain" else None
            annotate_window(
                **source,
                window=window,
                model_dir=MODEL,
                scale=SCALE,
                state_in=state,
                detections_out=table,
                state_out=state_out,
                continuity=continuity,
                direction=direction,
                **SEEDING,
            )
            tables[direction].append(table)
            state = state_out
    merge_video(
        **source,
        windows=tables["forward"],
        backward=tables["backward"][::-1],
        overlap_iou=OVERLAP_IOU,
        dense_seeding="auto",
        detections_out=folder / "all.parquet",
        agreement_out=folder / "agreement.parquet",
        prompts_out=folder / "prompts.parquet",
    )
    return read_table(folder / "all.parquet", DETECTIONS).to_pylist()


def render(scene: Scene, video: Path) -> Iterator[dict]:
    """Write the scene as a video; give the true rows of the frames that will be processed."""
    truth: list[dict] = []

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for frame in range(scene.n_frames):
            rendered = render_frame(scene, frame)
            if frame % FRAME_INTERVAL == 0:
                truth.extend(truth_rows("pond", scene, frame, rendered, set()))
            yield frame, rendered.image

    write_video(video, frames(), time_base=Fraction(1, scene.fps), width=scene.width, height=scene.height, crf=24)
    yield from truth


def cut(scene: Scene) -> list[Window]:
    times = {"duration": WINDOW_S, "overlap": OVERLAP_S, "frame_interval": FRAME_INTERVAL}
    return plan_windows("pond", range(scene.n_frames), Fraction(1, scene.fps), **times)


def stitch_truth(scene: Scene) -> dict:
    """Windows in which every animal was followed without fault, joined, against the chain of them."""
    frames = grid(0, scene.n_frames, FRAME_INTERVAL)
    truth = {frame: truth_rows("pond", scene, frame, render_frame(scene, frame), set()) for frame in frames}
    prompts = {scene.animals[each.number - 1].id: each.frame for each in first_prompts(scene, FRAME_INTERVAL)}
    began = [
        row for row in itertools.chain(*truth.values()) if row["frame"] >= prompts.get(row["object"], row["frame"] + 1)
    ]
    windows = [WindowRows(each.window, each.start, alone(truth, each, prompts)) for each in cut(scene)]
    stitched = stitch(windows, prompted=prompts, overlap_iou=OVERLAP_IOU, keep_unjoined=False)
    # As merge leaves out what lies before an object's first prompt.
    rows = [row for row in itertools.chain(*stitched.batches) if row["frame"] >= prompts[row["object"]]]
    facts = {"scene": scene.seed, "tracker": "the truth", "prompts": "one box an animal", "way": "overlap"}
    return facts | {"against": "chain"} | identity_scores(began, rows)


def alone(truth: dict[int, list[dict]], window: Window, prompts: dict[str, int]):
    """Give the true rows of a window as a job of its own would: prompts within it, and seeds of its first frame."""
    frames = grid(window.start, window.stop, FRAME_INTERVAL)
    tracks = [(name, name, frame) for name, frame in prompts.items() if frame in frames]
    shown = [row["object"] for row in truth[frames[0]] if row["visible"] and prompts.get(row["object"]) != frames[0]]
    tracks += [(name, f"auto-{window.window:04d}-{n:02d}", frames[0]) for n, name in enumerate(reversed(shown))]
    rows = [
        row | {"object": own, "window": window.window}
        for frame in frames
        for name, own, first in tracks
        for row in truth[frame]
        if row["object"] == name and frame >= first
    ]
    return pa.Table.from_pylist(rows, schema=DETECTIONS).to_batches


FACTS = ("tracker", "prompts", "way", "against")
SCORES = ("HOTA", "DetA", "AssA", "IDF1", "mean_iou", "identity_switches")


def means(runs: Iterable[dict]) -> list[dict]:
    """Means over the scenes, for each tracker, kind of prompts, way, and what it was held against."""
    grouped: dict[tuple, list[dict]] = {}
    for run in runs:
        grouped.setdefault(tuple(run[name] for name in FACTS), []).append(run)
    return [
        dict(zip(FACTS, key, strict=True))
        | {name: float(np.mean([run[name] for run in group])) for name in SCORES}
        | {"least_IDF1": min(run["IDF1"] for run in group), "scenes": len(group)}
        for key, group in grouped.items()
    ]


def show(found: dict) -> None:
    print(f"{found['date']}, {found['wall_s']} s; means over the scenes")
    widths = dict(zip(FACTS, (16, 19, 26, 9), strict=True))
    print("".join(f"{name:<{width}}" for name, width in widths.items()), *(f"{name:>8}" for name in SCORES[:5]))
    for mean in found["means"]:
        figures = (f"{mean[name]:>8.3f}" for name in SCORES[:5])
        print("".join(f"{mean[name]:<{width}}" for name, width in widths.items()), *figures)


if __name__ == "__main__":
    main()
