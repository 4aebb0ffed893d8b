"""A video cut into windows against the uncut one: the largest difference of a logit, over all objects and frames.

    PYTHONPATH=workflow python benchmarks/exact.py [--video V --prompts P] [--model M] [--window S]

Uncut is one stock session of ``transformers``, which keeps everything. Cut are the jobs of the workflow, one a window,
each from the state file of the one before. Both see the same frames and prompts, forward and, with ``--backward``, also
from the last frame to the first. Without ``--video`` a pond of the demo is rendered into a temporary folder. A second
pair of runs tells how far half precision lies from full (``--precision bfloat16`` compares cut and uncut there).

Prints the differences, and of the demo's pond writes them to ``benchmarks/results/exact.json``; ends with an error
where cut and uncut differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Sam2VideoInferenceSession

from longtake.annotate import window as window_module
from longtake.annotate.geometry import ModelPrompt, model_frame, model_prompt
from longtake.annotate.prompts import Schedule, place_prompts
from longtake.annotate.sheet import Prompt, read_prompts
from longtake.annotate.tracker import Tracker, load_tracker
from longtake.media.index import VideoIndex, index_video
from longtake.media.index_file import save_index
from longtake.media.reader import read_frames
from longtake.media.windows import Window, plan_windows

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "exact.json"
# Logits by grid frame, and in it by object.
Logits = dict[int, dict[str, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="a video file; without it a pond of the demo is rendered")
    parser.add_argument("--prompts", type=Path, help="a prompts sheet; its rows of the video's name count")
    parser.add_argument("--name", help="the video's name in the sheet; without it the file's name without ending")
    parser.add_argument("--model", type=Path, default=ROOT / "workflow" / "models" / "sam2-pond")
    parser.add_argument("--window", type=float, default=7.0, help="seconds of a window")
    parser.add_argument("--frame-interval", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--object-batch", type=int, default=1)
    parser.add_argument("--backward", action="store_true", help="also from the last frame to the first")
    parser.add_argument("--half", action="store_true", help="also how far bfloat16 lies from float32")
    given = parser.parse_args()
    if (given.video is None) != (given.prompts is None):
        parser.error("give --video and --prompts, or neither")
    with tempfile.TemporaryDirectory() as temporary:
        found = compare(given, Path(temporary))
    if given.video is None:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(found, indent=2) + "\n")
    show(found)
    if given.object_batch == 1 and any(run["largest_difference"] for run in found["cut_against_uncut"]):
        raise SystemExit("cut and uncut differ")


def compare(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    video, index, prompts = scene(given, folder)
    name = prompts[0].video
    windows = plan_windows(
        name, index.pts.tolist(), index.time_base, duration=given.window, overlap=0, frame_interval=given.frame_interval
    )
    tracker = load_tracker(given.model, given.device, given.precision)
    runs, forward = [], None
    for reverse in (False, True) if given.backward else (False,):
        uncut = stock(tracker, index, prompts, given, reverse=reverse)
        cut = window_jobs(given, video, folder, windows, prompts, reverse=reverse)
        runs.append({"direction": "backward" if reverse else "forward"} | difference(cut, uncut))
        forward = forward or uncut
    found = {
        "what": "a video cut into window jobs against one stock session",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "cpu": platform.machine(), "device": given.device},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "model": str(
            given.model.resolve().relative_to(ROOT) if given.model.resolve().is_relative_to(ROOT) else given.model
        ),
        "video": {"name": name, "frames": index.n_frames, "frame_interval": given.frame_interval, "scale": given.scale},
        "objects": len({prompt.object for prompt in prompts}),
        "prompts": len(prompts),
        "windows": len(windows),
        "precision": given.precision,
        "object_batch": given.object_batch,
        "cut_against_uncut": runs,
    }
    if given.half and forward:
        half = stock(load_tracker(given.model, given.device, "bfloat16"), index, prompts, given)
        found["bfloat16_against_float32"] = difference(half, forward)
    return found


def scene(given: argparse.Namespace, folder: Path) -> tuple[Path, VideoIndex, list[Prompt]]:
    video, sheet, name = given.video, given.prompts, given.name
    if video is None:
        from longtake.demo.render import PONDS, render_demo, write_sheets

        name = min(PONDS, key=lambda pond: PONDS[pond].duration_s)
        video, sheet = folder / f"{name}.mp4", folder / "prompts.tsv"
        write_sheets(folder)
        render_demo(name, video)
    name = name or video.stem
    index = index_video(video)
    save_index(index, folder / "index.parquet")
    prompts = read_prompts(sheet, every_video(sheet))[name]
    if not prompts:
        raise SystemExit(f"{sheet} has no prompt of {name!r}; give the name in the sheet by --name")
    return video, index, prompts


def every_video(sheet: Path) -> list[str]:
    rows = [line.split("\t")[0] for line in sheet.read_text(encoding="utf-8").splitlines() if line.strip()]
    return list(dict.fromkeys(rows[1:]))


def stock(
    tracker: Tracker, index: VideoIndex, prompts: list[Prompt], given: argparse.Namespace, *, reverse: bool = False
) -> Logits:
    """One session of the library over all frames; nothing is ever dropped but the tables of objects that end."""
    frames, size = grid(index, given), (round(index.width * given.scale), round(index.height * given.scale))
    sources = [at * given.frame_interval for at in frames]
    pixels = torch.stack(
        [model_frame(it.pixels, tracker.preprocessing) for it in read_frames(index, sources, size=size)]
    )
    session = Sam2VideoInferenceSession(
        video=pixels, video_height=1, video_width=1, dtype=torch.float32, inference_device=tracker.device,
        inference_state_device=tracker.device,
    )  # fmt: skip
    schedule = Schedule(
        place_prompts(prompts, index, given.frame_interval), index, given.frame_interval, reverse=reverse
    )
    found: Logits = {}
    for at in reversed(frames) if reverse else frames:
        drop(session, schedule.ended(session.obj_ids, at))
        fresh = schedule.starting(at)
        ask(session, at, {
            name: model_prompt(each, index.width, index.height, tracker.preprocessing.image_size)
            for name, each in fresh.items()
        })  # fmt: skip
        if session.obj_ids:
            with torch.autocast(tracker.device.type, torch.bfloat16, enabled=tracker.precision == "bfloat16"):
                output = tracker.model(session, frame_idx=at, reverse=reverse)
            masks = output.pred_masks[:, 0].float().cpu().numpy()
            found[at] = dict(zip(output.object_ids, masks, strict=True))
    return found


def grid(index: VideoIndex, given: argparse.Namespace) -> range:
    return range(-(-index.n_frames // given.frame_interval))


def ask(session: Sam2VideoInferenceSession, at: int, prompts: Mapping[str, ModelPrompt]) -> None:
    for name, each in prompts.items():
        place = session.obj_id_to_idx(name)
        if each.mask is not None:
            session.add_mask_inputs(place, at, each.mask[None, None])
        else:
            inputs = {"point_coords": each.points[None, None], "point_labels": each.labels[None, None]}
            session.add_point_inputs(place, at, inputs)
    session.obj_with_new_inputs = list(prompts)


def drop(session: Sam2VideoInferenceSession, ended: set[str]) -> None:
    """Take objects out of the session's tables; the library knows no end of an object."""
    kept = [(name, place) for name, place in session._obj_id_to_idx.items() if name not in ended]
    for table in ("point_inputs_per_obj", "mask_inputs_per_obj", "output_dict_per_obj", "frames_tracked_per_obj"):
        rows = getattr(session, table)
        setattr(session, table, {new: rows[old] for new, (_, old) in enumerate(kept)})
    session.obj_ids = [name for name, _ in kept]
    session._obj_id_to_idx = type(session._obj_id_to_idx)((name, new) for new, (name, _) in enumerate(kept))
    session._obj_idx_to_id = type(session._obj_idx_to_id)((new, name) for new, (name, _) in enumerate(kept))


def window_jobs(
    given: argparse.Namespace, video: Path, folder: Path, windows: list[Window], prompts: list[Prompt], *, reverse: bool
) -> Logits:
    """The jobs of the workflow, in the order of the pass, each from the last one's file."""
    found: Logits = {}
    state = None
    with recorded(found):
        for window in reversed(windows) if reverse else windows:
            after = folder / f"{window.window}.{'backward' if reverse else 'forward'}.safetensors"
            window_module.annotate_window(
                video_path=video,
                index_path=folder / "index.parquet",
                window=window,
                prompts=prompts,
                model_dir=given.model,
                scale=given.scale,
                frame_interval=given.frame_interval,
                state_in=state,
                detections_out=folder / "detections.parquet",
                state_out=after,
                direction="backward" if reverse else "forward",
                device=given.device,
                precision=given.precision,
                object_batch=given.object_batch,
            )
            state = after
    return found


@contextmanager
def recorded(found: Logits) -> Iterator[None]:
    """Keep what the tracker says inside the window jobs."""
    original = window_module.track

    def track(tracker: Tracker, session: Any, frame: int, *args: Any, **kwargs: Any) -> Any:
        drawn = original(tracker, session, frame, *args, **kwargs)
        found[frame] = {name: prediction.logits for name, prediction in drawn.items()}
        return drawn

    window_module.track = track
    try:
        yield
    finally:
        window_module.track = original


def difference(one: Logits, other: Logits) -> dict[str, Any]:
    """How far two runs are from each other; ends with an error where there is nothing that could differ."""
    pairs = list(both(one, other))
    if not pairs:
        raise SystemExit("nothing was compared: no object has a mask on any frame. Do the prompts lie in the video?")
    if all(logits.min() == logits.max() for *_, a, b in pairs for logits in (a, b)):
        raise SystemExit(
            "nothing was compared: the logits of each mask are all one value, so the model does not look at the video. "
            "Are its weights those of its config.json?"
        )
    return {
        "frames": len({at for at, *_ in pairs}),
        "masks": len(pairs),
        "largest_logit": max(float(np.abs(b[b > -1000]).max(initial=0)) for *_, b in pairs),
        "largest_difference": max(float(np.abs(a - b).max()) for *_, a, b in pairs),
        "masks_that_differ": sum(bool(((a > 0) != (b > 0)).any()) for *_, a, b in pairs),
        "pixels_that_differ": float(np.mean([np.mean((a > 0) != (b > 0)) for *_, a, b in pairs])),
    }


def both(one: Logits, other: Logits) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Pair the logits of two runs; an object or a frame that one of them lacks is an error."""
    for at in sorted({at for at in one if one[at]} | {at for at in other if other[at]}):
        if one.get(at, {}).keys() != other.get(at, {}).keys():
            raise SystemExit(f"grid frame {at}: {sorted(one.get(at, {}))} against {sorted(other.get(at, {}))}")
        for name, logits in one[at].items():
            yield at, name, logits, other[at][name]


def show(found: dict[str, Any]) -> None:
    video = found["video"]
    print(
        f"{video['name']}: {video['frames']} frames, every {video['frame_interval']}th, {found['objects']} objects, "
        f"{found['prompts']} prompts, {found['windows']} windows; {found['model']}, {found['precision']}"
    )
    for run in found["cut_against_uncut"]:
        print(
            f"cut against uncut, {run['direction']}: largest difference of a logit {run['largest_difference']!r} "
            f"(largest logit {run['largest_logit']!r}) over {run['frames']} frames and {run['masks']} masks, "
            f"{run['masks_that_differ']} of which differ"
        )
    if half := found.get("bfloat16_against_float32"):
        print(
            f"bfloat16 against float32: largest difference of a logit {half['largest_difference']:.3g}, "
            f"{half['masks_that_differ']} of {half['masks']} masks differ, "
            f"in {half['pixels_that_differ']:.2%} of their pixels"
        )


if __name__ == "__main__":
    main()
