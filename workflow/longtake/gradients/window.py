"""The window job: temporal importance and motion of every object in one window of a video."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import AnswerError, ConfigError, ModelError
from longtake.gradients.attribution import ClipAttribution, attribute_clip
from longtake.gradients.clips import Clip, ObjectTrack, choose_clips, even_clips, read_tracks
from longtake.gradients.columns import curve_rows, key, packed, series_columns, span
from longtake.gradients.gather import GatheredClip, gather_clips
from longtake.gradients.lossy import in_bfloat16
from longtake.gradients.options import Options
from longtake.gradients.perturbations import NOT_FINITE, perturbation_rows
from longtake.gradients.planner import Planner, granted
from longtake.media.flow import flow_method
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.media.windows import Window
from longtake.memory.ledger import owns, stage
from longtake.models import ClipModel, load_model
from longtake.models.rounded import rounded
from longtake.models.targets import check_labels, class_of, listed
from longtake.status import ENDS, Status
from longtake.store.arrays import write_arrays
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import write_table
from longtake.streams import stream
from longtake.supervise.ladder import AS_ASKED, Rung, on_the_cpu
from longtake.unit import Done

logger = logging.getLogger(__name__)
PathLike = str | Path
WHOLE_FRAME, UNLABELLED = "frame", "unlabelled"


@stage("gather")
def analyse_window(
    *,
    video_path: PathLike,
    index_path: PathLike,
    window: Window,
    detections_path: PathLike,
    species: str | None,
    labels: Sequence[str] | None = None,
    options: Options,
    seed: int,
    curves_out: PathLike,
    clips_out: PathLike,
    maps_out: PathLike,
    perturbations_out: PathLike,
    device: str = "cpu",
    part: float = 1.0,
    requested_mb: float | None = None,
    approximate: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Ask the model about the clips of a window and write curves, clips, gradient maps and perturbations.

    Parameters
    ----------
    detections_path : detections of the window's frames, by which clips are chosen and crops placed
    species : the video's species from the sheet; the truth of objects whose label is no class of the model
    labels : the species that are asked about; None for all
    curves_out, clips_out, perturbations_out : tables CURVES, CLIPS and PERTURBATIONS
    maps_out : arrays ``{object}.{clip}`` (T, h, w) float16, each divided by its own maximum. The metadata's one entry
        ``clips`` is JSON with, for each of these names, `scale` (that maximum), `region` in source pixels, `frames`
        (first, last, stride), `video` and `window`
    part : of what one clip's gradient may take, what it shall take
    requested_mb : what was asked for this job of the host's memory, in MiB
    approximate : why the model is to compute in bfloat16, and how far off that is; every clip is then approximate
    progress : called with frames read and frames to read

    Returns
    -------
    Number of objects and of clips by status, and seconds that the clips took (``wall_s``); and how the gradient was
    had, with bytes predicted and measured.

    Memory: clips open at the same time, the maps of all clips of the window as float16 (0.6 MB for 31 frames of 96 x 96
    pixels), and what one clip's gradient needs.

    Raises
    ------
    ModelError : the model cannot be loaded or was trained on clips of another length.
    ConfigError : the target index is no class of the model.
    """
    model = load_model(options.model, device)
    model = rounded(model) if approximate else model
    _check_model(model, options)
    index = load_index(index_path, video_path)
    tracks, clips = _chosen(index, detections_path, window, species, model=model, options=options)
    clips = [clip for clip in clips if labels is None or clip.label in labels]
    usable = [clip for clip in clips if clip.status != Status.FAILED]
    logger.info("%d objects, %d clips, %d of them usable", len(tracks), len(clips), len(usable))
    planner = _planned(model, usable, options, index, device=device, part=part, requested_mb=requested_mb)
    rows = [_failed_row(clip, window) for clip in clips if clip.status == Status.FAILED]
    curves: list[dict[str, Any]] = []
    disturbed: list[dict[str, Any]] = []
    maps: dict[str, np.ndarray] = {}
    _account(model, device, maps)
    geometry: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    gathered = gather_clips(
        index,
        usable,
        {track.object: track for track in tracks},
        input_size=model.input_size,
        flow_width=options.flow_width,
        flow=flow_method(options.flow),
        progress=progress,
    )
    for entry in gathered:
        result = _analyse_clip(entry, model, window, species, options=options, seed=seed, planner=planner)
        rows.append(result.row)
        curves += result.curves
        disturbed += result.perturbations
        if result.packed is not None:
            name = f"{entry.clip.object}.{entry.clip.clip}"
            maps[name], geometry[name] = result.packed
    rows, disturbed = ([_told(row, approximate) for row in table] for table in (rows, disturbed))
    write_table(curves_out, sorted(curves, key=_order), CURVES)
    write_table(clips_out, sorted(rows, key=_order), CLIPS)
    write_table(perturbations_out, sorted(disturbed, key=_order), PERTURBATIONS)
    write_arrays(maps_out, maps, {"clips": json.dumps(geometry, sort_keys=True)})
    return {"objects": len(tracks)} | _counted(rows, time.monotonic() - began) | planner.record()


def _planned(
    model: ClipModel,
    usable: Sequence[Clip],
    options: Options,
    index: VideoIndex,
    *,
    device: str,
    part: float,
    requested_mb: float | None,
) -> Planner:
    """Plan for clips of the size that comes first; mostly there is no other."""
    planner = Planner(
        model, granted(options.memory_gb, device, part=part, chunk_size=options.chunk_size, requested_mb=requested_mb)
    )
    if usable:
        planner.strategy((options.max_frames, 3, *model.input_size(index.height, index.width)))
    return planner


def _account(model: ClipModel, device: str, maps: Mapping[str, np.ndarray]) -> None:
    """Tell the ledger of the model, and of the maps that wait to be written."""
    weights = {id(each): each.nbytes for each in (*model.module.parameters(), *model.module.buffers())}
    owns("parameters", sum(weights.values()), gpu=device.startswith("cuda"))
    owns("frames", lambda: sum(each.nbytes for each in maps.values()))


def asked(options: Mapping[str, Any], resources: Mapping[str, Any]) -> Options:
    """Options of a job from the rule's params and, for what changes no number, its resources.

    Parameters
    ----------
    resources : `chunk`, frames at a time at most, and `gradient_mb`, MiB that a gradient may take, if they are there
    """
    memory = {"chunk_size": resources.get("chunk") or 0, "memory_gb": (resources.get("gradient_mb") or 0) / 1024}
    return Options(**{**options, **memory})


def ladder(arguments: Mapping[str, Any]) -> list[Rung]:
    """Give the ways to run `analyse_window` with these arguments, the later the less memory.

    Within half the memory the gradient is planned anew: fewer frames at a time, or more that is computed twice. One
    frame at a time is for models that split, whatever was predicted.
    """
    options: Options = arguments["options"]
    half = Rung("half the memory", {"part": 0.5})
    least = {"part": 0.125, "options": options.model_copy(update={"chunk_size": 1})}
    exact = [AS_ASKED, half, Rung("one frame at a time, an eighth of the memory", least), *on_the_cpu(arguments)]
    return exact + in_bfloat16(arguments)


def _told(row: dict[str, Any], approximate: str) -> dict[str, Any]:
    """A row with the reason why it is approximate, if there is one and it did not fail."""
    if not approximate or row["status"] == Status.FAILED:
        return row
    return row | {"status": Status.APPROXIMATE, "reason": "; ".join(filter(None, [row.get("reason"), approximate]))}


def _counted(rows: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Clips by status and the time they took; what was done (`longtake.unit.Done`), counted in clips and not frames."""
    counts: dict[str, int] = {status: sum(row["status"] == status for row in rows) for status in ENDS}
    clips, wall = counts[Status.OK] + counts[Status.APPROXIMATE], round(seconds, 3)
    done = {"done": asdict(Done(clips, wall, alike=False))} if clips else {}
    return {**counts, "wall_s": wall, **done}


@dataclass(frozen=True)
class _ClipResult:
    """A row of CLIPS; where the clip did not fail also rows of CURVES and PERTURBATIONS, and maps with their record."""

    row: dict[str, Any]
    curves: list[dict[str, Any]] = field(default_factory=list)
    perturbations: list[dict[str, Any]] = field(default_factory=list)
    packed: tuple[np.ndarray, dict[str, Any]] | None = None


def _analyse_clip(
    entry: GatheredClip,
    model: ClipModel,
    window: Window,
    species: str | None,
    *,
    options: Options,
    seed: int,
    planner: Planner,
) -> _ClipResult:
    truth = _truth(model, entry.clip.label, species, options)
    entry = _answerable(entry, truth, options)
    if entry.clip.status == Status.FAILED:
        return _ClipResult(_failed_row(entry.clip, window))
    target = {"predicted": None, "labelled": truth}.get(str(options.target), _index(options.target))
    try:
        found = attribute_clip(model, entry.pixels, entry.inside, target=target, planner=planner)
    except AnswerError as error:
        return _ClipResult(_failed_row(replace(entry.clip, status=Status.FAILED, reason=str(error)), window))
    if not np.isfinite(found.maps).all():
        # A NaN would go into every mean of the video, and a map of it would look like one without importance.
        return _ClipResult(_failed_row(replace(entry.clip, status=Status.FAILED, reason=NOT_FINITE), window))
    draws = partial(stream, seed, f"{window.video}/{window.window}/{entry.clip.object}/{entry.clip.clip}")
    row = _clip_row(entry, found, window, model, truth) | series_columns(entry, found)
    disturbed = perturbation_rows(
        model,
        entry.pixels,
        found,
        names=options.perturbations,
        shuffles=options.shuffles,
        short=options.short_windows,
        draws=draws,
        planner=planner,
    )
    disturbed = [key(entry.clip, window) | _of_clip(columns, entry.clip) for columns in disturbed]
    return _ClipResult(row, curve_rows(entry, found, window), disturbed, packed(entry, found, window))


def _of_clip(columns: dict[str, Any], clip: Clip) -> dict[str, Any]:
    """A perturbation of an approximate clip is no better than the clip."""
    same = clip.status == Status.OK or columns["status"] == Status.FAILED
    return columns if same else columns | {"status": clip.status, "reason": clip.reason}


def _chosen(
    index: VideoIndex,
    detections_path: PathLike,
    window: Window,
    species: str | None,
    *,
    model: ClipModel,
    options: Options,
) -> tuple[list[ObjectTrack], list[Clip]]:
    """The objects of a window, or the whole frame in their place, and the clips of each."""
    if options.clips == "even":
        frame = _whole_frame(species, index)
        return [frame], _even(frame, window, options)
    processed, tracks = read_tracks(detections_path, window)
    return tracks, _around(processed, tracks, window, model=model, options=options)


def _around(
    processed: np.ndarray, tracks: list[ObjectTrack], window: Window, *, model: ClipModel, options: Options
) -> list[Clip]:
    """The clips around every object."""
    clips = []
    for track in tracks:
        height, width = model.input_size(*track.size)
        clips += choose_clips(
            processed,
            track,
            window,
            n_frames=options.max_frames,
            stride=options.clip_stride,
            clips_per_window=options.clips_per_window,
            aspect=width / height if options.region == "object" else None,
            margin=options.margin,
            others=[other for other in tracks if other.object != track.object],
        )
    return clips


def _whole_frame(species: str | None, index: VideoIndex) -> ObjectTrack:
    """The whole frame in the place of an object: no masks, and the video's species as its label."""
    size = (index.height, index.width)
    return ObjectTrack(WHOLE_FRAME, species or UNLABELLED, np.empty(0, np.int64), np.empty((0, 4)), {}, size)


def _even(frame: ObjectTrack, window: Window, options: Options) -> list[Clip]:
    return even_clips(
        window,
        name=frame.object,
        label=frame.label,
        size=frame.size,
        n_frames=options.max_frames,
        stride=options.clip_stride,
        clips_per_window=options.clips_per_window,
    )


def _order(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["object"], row["clip"], row.get("offset", 0)


def _check_model(model: ClipModel, options: Options) -> None:
    if model.n_frames is not None and model.n_frames != options.max_frames:
        raise ModelError(
            f"model {options.model} was trained on clips of {model.n_frames} frames, but gradients.max_frames is "
            f"{options.max_frames}. Set it to {model.n_frames}."
        )
    target = _index(options.target)
    if target is not None and target >= len(model.class_names):
        raise ConfigError(
            f"gradients.target is {target}, but model {options.model} has the classes "
            f"0 to {len(model.class_names) - 1}: {listed(model.class_names)}."
        )
    check_labels(options.labels, model.class_names)


def _index(target: str | int) -> int | None:
    return target if isinstance(target, int) else None


def _truth(model: ClipModel, label: str, species: str | None, options: Options) -> int | None:
    """The class that the object's label names, else the one that the video's species names."""
    found = (class_of(name, model.class_names, options.labels) for name in (label, species))
    return next((index for index in found if index is not None), None)


def _answerable(entry: GatheredClip, truth: int | None, options: Options) -> GatheredClip:
    if entry.clip.status == Status.FAILED or options.target != "labelled" or truth is not None:
        return entry
    reason = (
        f"target is the labelled species, but {entry.clip.label!r} is no class of the model (gradients.labels can say "
        "which)"
    )
    return replace(entry, clip=replace(entry.clip, status=Status.FAILED, reason=reason))


def _failed_row(clip: Clip, window: Window) -> dict[str, Any]:
    logger.warning("%s, clip %d: %s", clip.object, clip.clip, clip.reason)
    return key(clip, window) | span(clip) | {"status": Status.FAILED, "reason": clip.reason}


def _clip_row(
    entry: GatheredClip, found: ClipAttribution, window: Window, model: ClipModel, truth: int | None
) -> dict[str, Any]:
    region = {f"region_{side}": value for side, value in asdict(entry.region).items()}
    answer = {
        "status": entry.clip.status,
        "reason": entry.clip.reason,
        "target": found.target,
        "target_name": model.class_names[found.target],
        "predicted": found.predicted,
        "predicted_name": model.class_names[found.predicted],
        "score": float(found.scores[found.target]),
        "correct": None if truth is None else found.predicted == truth,
    }
    return key(entry.clip, window) | span(entry.clip) | answer | region
