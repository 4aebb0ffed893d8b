"""The settings of section `gradients`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from longtake.settings.section import Once, Section, setting

Name = Annotated[str, Field(min_length=1)]
Index = Annotated[int, Field(ge=0)]


class Options(Section):
    """Temporal gradients of a video classifier on clips around the objects."""

    model: str = setting(
        "workflow/models/clip31-pond",
        "Folder of a video model (docs/models.md lists the kinds), or module:factory of your own. The default "
        "knows the demo's species only.",
        min_length=1,
    )
    max_frames: int = setting(
        31,
        "Frames in a clip. It must be what the model was trained on and is never lowered silently.",
        ge=2,
    )
    clip_stride: int = setting(
        1,
        "Source frames from one frame of a clip to the next.",
        ge=1,
    )
    annotations: str = setting(
        "",
        "YouTube-VIS JSON with masks that people drew; clips and motion are then taken from it and not from "
        "the tracker's detections. Its videos are those of the sheet, each a folder of the pictures that the "
        "file lists, called by that folder's name. Empty for the detections.",
    )
    clips: Literal["object", "even"] = setting(
        "object",
        "Where clips are taken. object is around each object, where it is seen; even spreads clips of the "
        "whole frame over each window, whatever is seen there.",
    )
    clips_per_window: int = setting(
        2,
        "Most clips taken for one object in one window; of even clips, those in one window.",
        ge=1,
    )
    max_videos: int = setting(
        0,
        "Most videos analysed for one species, drawn by the seed from those that name it in a sheet; 0 takes all.",
        ge=0,
    )
    chunk_size: int = setting(
        0,
        "Frames whose gradient is computed at a time, at most; 0 takes as many as fit. For models with encode "
        "and head. Changes memory and speed, never a number.",
        ge=0,
    )
    memory_gb: float = setting(
        0,
        "GiB of tensors that one gradient may take, of the GPU or of the host, beyond the model and the clip. "
        "The gradient is had within it, exactly, by taking fewer frames at a time or by computing parts of the "
        "model twice. 0 takes four fifths of what is free. Changes memory and speed, never a number.",
        ge=0,
    )
    target: Literal["predicted", "labelled"] | Index = setting(
        "predicted",
        "Score whose gradient is taken, as the predicted class, the labelled species, or a class index. Of a "
        "model of instances it is the score of the query that is most probably of that class.",
    )
    labels: dict[str, Name | Index] = setting(
        {},
        "What your species and labels are called in the model, where they have another name there: an entry "
        "`cod: 391` or `cod: Atlantic cod` gives the class by index or name.",
    )
    region: Literal["object", "frame"] = setting(
        "object",
        "What the model sees. object is a fixed crop around the object over the whole clip; frame is the whole frame.",
    )
    margin: float = setting(
        0.25,
        "Margin added to each side of the object's region, as a fraction of its longer side.",
        ge=0,
    )
    flow: str = setting(
        "dis",
        "How optical flow is computed. dis (dense inverse search, fast), dis-fine (the same, four times "
        "slower), farneback, or module:function of your own, which takes two grey frames (h, w) uint8 and "
        "returns (h, w, 2).",
        pattern=r"^(dis|dis-fine|farneback|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*)$",
    )
    flow_width: int = setting(
        320,
        "Width in pixels at which optical flow is computed. Motion is reported in source pixels per frame step.",
        ge=64,
    )
    perturbations: Once[Literal["shuffle", "drop-50", "drop-75", "reverse", "static", "middle"]] = setting(
        ["shuffle", "drop-50", "drop-75", "reverse", "static", "middle"],
        "What is done to each clip to see whether the model needs its order and motion. Frames are shuffled, "
        "lost by half or three quarters, reversed, or frozen (static: at five frames in turn; middle: at the middle "
        "one). Each costs one more gradient, static five. The verdict on a species needs shuffle and static. Any "
        "number of shuffle, drop-50, drop-75, reverse, static, middle; [] for none.",
    )
    shuffles: int = setting(
        5,
        "How often the frames of each clip are shuffled.",
        ge=1,
    )
    short_windows: int = setting(
        5,
        "Each clip is also shown to the model in windows of this many frames, to compare. 0 leaves it out; a "
        "model that takes one length only is told so in the table.",
        ge=0,
    )
