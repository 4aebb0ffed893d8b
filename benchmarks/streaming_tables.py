"""Tables of studies that were never recorded: any number of videos, or of windows of one video, of a given size each.

The values mean nothing; schemas, sizes and the relations between tables are those of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from streaming_sizes import FPS, FRAMES, HEIGHT, SPECIES, WIDTH, Size, windows_of

from longtake import masks
from longtake.media.index import KEY, StreamFacts, VideoIndex
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.sources import content_digest, stamp
from longtake.species import measures as measured
from longtake.species import tables
from longtake.store import schemas
from longtake.store.arrays import write_arrays
from longtake.store.tables import write_table
from longtake.streams import stream


def write(path: Path, schema: pa.Schema, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    """Write a table from columns; what is not given is null, and one value stands for all rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, _table(schema, columns), schema, metadata)
    return path


def _table(schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    n = max(len(value) for value in columns.values() if isinstance(value, list | np.ndarray))
    arrays = []
    for field in schema:
        value = columns.get(field.name)
        full = value if isinstance(value, list | np.ndarray) else [value] * n
        arrays.append(pa.array(full).cast(field.type) if value is not None else pa.nulls(n, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def detections(folder: Path, video: str, n: int, size: Size, *, kind: str = "chain") -> dict[str, list[Path]]:
    """The tables of `n` windows as annotation leaves them: a "chain", of "both" directions, or in "overlap".

    Objects are prompted on the first frame, and of "both" directions again in every window's middle. Where windows
    "overlap", every second object is, and all that later windows show they have found by themselves.
    """
    found: dict[str, list[Path]] = {"forward": [], "backward": []}
    shapes = [_mask(number) for number in range(size.objects)]
    last_prompt = (n - 1) * size.frames + size.frames // 2
    for window in windows_of(video, n, size):
        facts = {
            "video": video, "window": window.window, "continuity": "overlap" if kind == "overlap" else "chain",
            "frame_interval": 1, "grid_start": window.start, "grid_stop": window.stop, "emit_start": window.emit_start,
            "emit_stop": window.emit_stop, "grid_frames": n * size.frames, "model": "m", "source": "s",
        }  # fmt: skip
        for direction in ("forward", "backward") if kind == "both" else ("forward",):
            columns = _rows(window, size, shapes, kind, last_prompt if direction == "backward" else n * size.frames)
            columns["direction"] = direction
            metadata = {f"longtake.{key}": str(value) for key, value in {**facts, "direction": direction}.items()}
            path = folder / f"window-{window.window:04d}.{direction}.parquet"
            found[direction].append(write(path, schemas.DETECTIONS, columns, metadata))
    return found


def _mask(number: int) -> tuple[str, tuple[float, float, float, float]]:
    x, y = 4 + 9 * (number % 12), 4 + 18 * (number // 12 % 5)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + 14, x : x + 8] = True
    return masks.encode(mask), (float(x), float(y), float(x + 8), float(y + 14))


def _rows(window: Window, size: Size, shapes: list[Any], kind: str, last: int) -> dict[str, Any]:
    """Columns of the frames up to `last`."""
    rows = []
    for frame in range(window.start, min(window.stop, last + 1)):
        begins = frame == (window.start if kind == "overlap" else 0)
        again = kind == "both" and (frame - window.emit_start) == size.frames // 2
        for number in range(size.objects):
            counts, box = shapes[number]
            found = kind == "overlap" and (number % 2 == 1 or window.window > 0)
            name = f"auto-{window.window:04d}-{number:02d}" if found else f"animal-{number}"
            hidden = (frame + 7 * number) % 11 == 0 and not (begins or again)
            rows.append((frame, name, SPECIES[number % 6], begins or again, None if hidden else counts, box))
    frames, names, labels, prompted_, counts_, boxes = (list(column) for column in zip(*rows, strict=True))
    seen = [counts is not None for counts in counts_]
    edges = np.where(np.array(seen)[:, None], np.array(boxes), np.nan).T
    sides = {
        name: pa.array(edge, from_pandas=True).to_pylist()
        for name, edge in zip(("x_min", "y_min", "x_max", "y_max"), edges, strict=True)
    }
    return {
        "video": window.video, "frame": frames, "time_s": [frame / FPS for frame in frames], "object": names,
        "label": labels, **sides, "mask": counts_, "height": HEIGHT, "width": WIDTH, "score": 0.9, "visible": seen,
        "prompted": prompted_, "window": window.window, "status": "ok", "direction": "forward",
    }  # fmt: skip


def merged(path: Path, video: str, n: int, size: Size) -> Path:
    """The detections of a whole video of `n` windows, written window by window."""
    shapes = [_mask(number) for number in range(size.objects)]
    path.parent.mkdir(parents=True, exist_ok=True)
    windows = windows_of(video, n, size)
    parts = (_table(schemas.DETECTIONS, _rows(each, size, shapes, "chain", each.stop)) for each in windows)
    write_table(path, parts, schemas.DETECTIONS)
    return path


def gradients(folder: Path, video: str, n: int, size: Size, *, split: bool = False) -> dict[str, list[Path]]:
    """CURVES, CLIPS and PERTURBATIONS of `n` windows: of the video, or (`split`) of each window."""
    found: dict[str, list[Path]] = {"curves": [], "clips": [], "perturbations": []}
    for first in range(n) if split else [0]:
        numbers = range(first, first + 1) if split else range(n)
        name = f"{video}/window-{first:04d}" if split else video
        for kind, columns in _gradients(video, numbers, size).items():
            schema = {"curves": schemas.CURVES, "clips": schemas.CLIPS, "perturbations": schemas.PERTURBATIONS}[kind]
            found[kind].append(write(folder / f"{name}.{kind}.parquet", schema, columns))
    return found


def _gradients(video: str, windows: range, size: Size) -> dict[str, dict[str, Any]]:
    draws = stream(1, f"{video} {windows.start}", "synthetic gradients")
    window = np.repeat(np.array(windows), size.clips)
    clip = np.tile(np.arange(size.clips), len(windows))
    labels = [SPECIES[k % 6] for k in clip]
    names = [f"animal-{k}" for k in clip]
    first = window * size.frames + clip
    key = {"video": video, "window": window, "object": names, "label": labels, "clip": clip}
    n = len(window)
    reals = {
        name: draws.uniform(-1, 1, n)
        for name in "pearson spearman detrended_p best_lag_p mutual_information best_lag peak_alignment "
        "phase_coherence mean variation "
        "autocorrelation n_peaks".split()
    }
    clips = {
        **key, **reals, "first_frame": first, "last_frame": first + FRAMES - 1, "stride": 1, "status": "ok",
        "reason": "", "target": 0, "target_name": "fish", "predicted_name": "fish", "score": 0.5, "correct": True,
        "motion": "object", "relation": "moderate",
    }  # fmt: skip
    offset = np.tile(np.arange(FRAMES), n)
    long = {name: np.repeat(np.array(value), FRAMES) for name, value in key.items() if name != "video"}
    walks = {name: draws.gamma(2.0, size=n * FRAMES) for name in ("magnitude", "motion_frame", "motion_object")}
    for name in ("motion_frame", "motion_object"):
        walks[name] = pa.array(np.where(offset == 0, np.nan, walks[name]), from_pandas=True).to_pylist()
    zero = dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude"), 0.5)
    frame = np.repeat(first, FRAMES) + offset
    curves = {"video": video, **long, **walks, **zero, "offset": offset, "frame": frame, "time_s": frame / FPS}
    kinds = list(measured.PERTURBED)
    times = {name: np.repeat(np.array(value), len(kinds)) for name, value in key.items() if name != "video"}
    shares = {
        name: draws.uniform(0, 1, n * len(kinds))
        for name in "ratio total answer answer_power kept agrees logit_cosine importance_r".split()
    }
    disturbed = {"video": video, **times, **shares, "perturbation": kinds * n, "repeat": 0, "status": "ok",
                 "reason": "", "n_frames": FRAMES}  # fmt: skip
    return {"curves": curves, "clips": clips, "perturbations": disturbed}


def maps(folder: Path, n: int, size: Size) -> list[Path]:
    """Gradient maps of every clip of `gradients`, window by window."""
    paths = []
    for window in range(n):
        names = [(f"animal-{clip}", clip) for clip in range(size.clips)]
        arrays = {f"{name}.{clip}": np.full((FRAMES, 24, 32), 0.5, np.float16) for name, clip in names}
        clips = {f"{name}.{clip}": {"window": window, "region": [0, 0, WIDTH, HEIGHT]} for name, clip in names}
        paths.append(folder / f"window-{window:04d}.maps.safetensors")
        write_arrays(paths[-1], arrays, {"clips": json.dumps(clips)})
    return paths


def of_video(folder: Path, video: str, size: Size) -> Path:
    """What the statistics of one video leave."""
    draws = stream(2, video, "synthetic statistics")
    names = [f"animal-{number}" for number in range(size.objects)]
    kinds = [SPECIES[number % 6] for number in range(size.objects)]
    species = sorted(set(kinds))
    measures = {m.name: draws.uniform(0.1, 0.9, len(species)) for m in measured.MEASURES}
    counts = {f"{prefix}_{status}": int(status == "ok") for prefix in ("n", "clips")
              for status in ("ok", "approximate", "failed")}  # fmt: skip
    write(
        folder / "species.parquet", tables.VIDEO_SPECIES,
        {"video": video, "species": species, "n_frames": 900, **measures, **counts, "uses": "motion"},
    )  # fmt: skip
    reals = {field.name: 1.5 for field in tables.OBJECTS if field.type == pa.float64()}
    ints = dict.fromkeys("n_frames n_looked n_visible n_visits entries exits n_steps".split(), 3)
    write(folder / "objects.parquet", tables.OBJECTS,
          {"video": video, "object": names, "species": kinds, **reals, **ints})  # fmt: skip
    start = np.arange(size.objects * 3) * 1.0
    write(
        folder / "visits.parquet", tables.VISITS,
        {"video": video, "object": names * 3, "species": kinds * 3, "visit": 0, "first_frame": 0, "last_frame": 9,
         "start_s": start, "stop_s": start + 0.5, "duration_s": 0.5, "n_frames": 9, "entry_seen": True,
         "exit_seen": True},
    )  # fmt: skip
    write(folder / "prompts.parquet", tables.PROMPTS,
          {"video": video, "object": names, "species": kinds, "frame": 0, "time_s": 0.0})  # fmt: skip
    offset = np.tile(np.arange(FRAMES), len(species))
    write(
        folder / "curves.parquet", tables.VIDEO_CURVES,
        {"video": video, "species": np.repeat(species, FRAMES), "offset": offset, "n_clips": 3,
         "importance": draws.gamma(2.0, size=offset.size), "motion_animal": draws.gamma(2.0, size=offset.size)},
    )  # fmt: skip
    write(
        folder / "series.parquet", tables.SERIES,
        {"video": video, "species": np.repeat(species, FRAMES), "source": "animal", "clip": "0/animal/0",
         "offset": offset, "importance": draws.gamma(2.0, size=offset.size),
         "motion": draws.gamma(2.0, size=offset.size)},
    )  # fmt: skip
    return folder


def study(root: Path, n: int, size: Size, *, bad: int = 40) -> None:
    """A run's folder of `n` videos as the report finds it; every `bad`-th video has a window that failed."""
    rows, plan = [], []
    for number in range(n):
        video = f"video-{number:05d}"
        of_video(root / "statistics" / "videos" / video, video, size)
        names = [f"animal-{k}" for k in range(size.objects)]
        write(
            root / "detections" / f"{video}.prompts.parquet", schemas.PROMPTS,
            {"video": video, "row": np.arange(size.objects), "object": names, "label": "species a", "kind": "box",
             "frame": 0, "acts_on_frame": 0, "time_s": 0.0, "clipped": False, "status": "ok", "reason": "",
             "visible": True, "score": 0.9, "iou": np.linspace(0.4, 0.9, size.objects), "lost": False,
             "mask_area": 100},
        )  # fmt: skip
        cut = windows_of(video, size.windows, size)
        plan += ["\t".join(map(str, [*vars(window).values(), size.frames])) for window in cut]
        rows.append(
            f"{video}\tok\t\t{len(cut)}\t{cut[-1].stop}\t{cut[-1].stop_s}\t10.0\tFalse\t128\t96\th264\t/m/{video}"
        )
        for window in cut:
            failed = number % bad == bad - 1 and window.window == 1
            _record(root, "annotate_window", video, window.window, failed=failed)
            if not failed:
                (root / "annotate" / video).mkdir(parents=True, exist_ok=True)
                (root / "annotate" / video / f"window-{window.window:04d}.parquet").touch()
            _record(root, "gradients_window", video, window.window, ok=4, failed_clips=0)
        for rule in ("probe_video", "merge_detections", "merge_gradients", "video_statistics", "video_figures",
                     "video_stills", "heat_video", "overlay"):  # fmt: skip
            _record(root, rule, video)
    _tsv(root / "plan" / "windows.tsv",
         "video window start stop emit_start emit_stop start_s stop_s n_frames", plan)  # fmt: skip
    _tsv(root / "plan" / "videos.tsv",
         "video status reason windows frames duration_s fps variable_rate width height codec path", rows)  # fmt: skip


def _tsv(path: Path, columns: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["\t".join(columns.split()), *rows]) + "\n")


def _record(
    root: Path, rule: str, video: str, window: int | None = None, *, failed: bool = False, **facts: Any
) -> None:
    wildcards = {"video": video} | ({} if window is None else {"window": f"{window:04d}"})
    record = {
        "rule": rule, "wildcards": wildcards, "status": "failed" if failed else "ok",
        "reason": "OutOfMemoryError: 512 MiB were asked for" if failed else "", "threads": 1,
        "requested_mem_mb": 4000, "budget_mb": 3800, "budget_by": "mem_mb", "host": "node-1", "slurm_job": None,
        "rss_mb": 800.0, "vms_mb": 4000.0, "gpu_allocated_mb": 0.0, "gpu_reserved_mb": 0.0, "wall_s": 10.0,
        "cpu_s": 9.0, "attempts": [], "facts": {"status": "ok", "device": "cpu", "rung": "as asked", **facts},
    }  # fmt: skip
    path = root / "logs" / rule / f"{'.'.join(wildcards.values())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2))


def index_of(folder: Path, n_frames: int) -> tuple[Path, Path]:
    """The index of a video of so many frames, and a file that stands in for the video: nothing of it is decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "video.mp4"
    source.write_bytes(b"no video")
    facts = StreamFacts("mp4", "h264", "yuv420p", WIDTH, HEIGHT, 0, False, 2, 0, 2, 2, n_frames)
    pts = np.arange(n_frames)
    flags = np.where(pts % 250 == 0, KEY, 0)
    made = VideoIndex(source, content_digest(source), source.stat().st_size, Fraction(1, FPS), facts, packet_pts=pts,
                      content=content_digest(source), stamp=stamp(source),
                      packet_dts=pts, packet_position=100 * pts, packet_size=np.full(n_frames, 100),
                      packet_flags=flags)  # fmt: skip
    save_index(made, folder / "index.parquet")
    return source, folder / "index.parquet"


def pictures(n: int) -> Iterator[tuple[int, np.ndarray]]:
    """Plain frames for a video that is decoded."""
    for number in range(n):
        yield number, np.full((HEIGHT, WIDTH, 3), number % 200, np.uint8)
