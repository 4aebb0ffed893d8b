"""The columns of a clip's rows: which clip it is, the pattern of its importance, its curves; and its packed maps."""

from dataclasses import asdict
from typing import Any

import numpy as np

from longtake.gradients.attribution import ClipAttribution
from longtake.gradients.clips import Clip
from longtake.gradients.gather import GatheredClip
from longtake.gradients.importance import gradient_change, pattern
from longtake.gradients.relation import relate
from longtake.media.windows import Window
from longtake.verdicts import relation_class


def key(clip: Clip, window: Window) -> dict[str, Any]:
    names = {"video": window.video, "window": window.window}
    return names | {"object": clip.object, "label": clip.label, "clip": clip.clip}


def span(clip: Clip) -> dict[str, Any]:
    ends = {"first_frame": clip.frames[0], "last_frame": clip.frames[-1]} if clip.frames else {}
    return {"stride": clip.stride} | ends


def series_columns(entry: GatheredClip, found: ClipAttribution) -> dict[str, Any]:
    """Pattern of the importance, and its relation to motion from the second frame on."""
    magnitude = np.array([frame.magnitude for frame in found.importance])
    change = gradient_change(found.maps)
    source, motion = "object", entry.motion_object[1:]
    if any(value is None for value in motion):
        source, motion = "region", entry.motion_region[1:]
    relation = relate(magnitude[1:], np.array(motion, dtype=np.float64))
    return {
        **asdict(pattern(magnitude)),
        "gradient_change_mean": float(change.mean()),
        "gradient_change_max": float(change.max()),
        "motion": source,
        **asdict(relation),
        "relation": relation_class(relation.pearson, relation.spearman),
    }


def curve_rows(entry: GatheredClip, found: ClipAttribution, window: Window) -> list[dict[str, Any]]:
    change = [None, *gradient_change(found.maps).tolist()]
    return [
        {
            **key(entry.clip, window),
            "offset": offset,
            "frame": frame,
            "time_s": entry.time_s[offset],
            **asdict(found.importance[offset]),
            "gradient_change": change[offset],
            "motion_frame": entry.motion_frame[offset],
            "motion_region": entry.motion_region[offset],
            "motion_object": entry.motion_object[offset],
        }
        for offset, frame in enumerate(entry.clip.frames)
    ]


def packed(entry: GatheredClip, found: ClipAttribution, window: Window) -> tuple[np.ndarray, dict[str, Any]]:
    """Maps (T, h, w) float16 in [0, 1] and their record; a map that is zero everywhere keeps scale 1."""
    scale = float(found.maps.max()) or 1.0
    frames = [entry.clip.frames[0], entry.clip.frames[-1], entry.clip.stride]
    region = list(asdict(entry.region).values())
    record = {"scale": scale, "region": region, "frames": frames, "video": window.video, "window": window.window}
    return (found.maps / np.float32(scale)).astype(np.float16), record
