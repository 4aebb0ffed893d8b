"""In which order a file holds the axes of a latent: batch, channel, frame, row, column (B, C, F, H, W)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.errors import ConfigError, LatentError, nearest

AUTO, CANONICAL = "auto", "CFHW"
PIPELINES = {
    "WanPipeline": "BCFHW",
    "WanImageToVideoPipeline": "BCFHW",
    "WanVideoToVideoPipeline": "BCFHW",
    "WanVACEPipeline": "BCFHW",
    "HunyuanVideoPipeline": "BCFHW",
    "HunyuanVideoImageToVideoPipeline": "BCFHW",
    "MochiPipeline": "BCFHW",
    "CosmosTextToWorldPipeline": "BCFHW",
    "CosmosVideoToWorldPipeline": "BCFHW",
    "TextToVideoSDPipeline": "BCFHW",
    "AnimateDiffPipeline": "BCFHW",
    "CogVideoXPipeline": "BFCHW",
    "CogVideoXImageToVideoPipeline": "BFCHW",
    "CogVideoXVideoToVideoPipeline": "BFCHW",
    "StableVideoDiffusionPipeline": "BFCHW",
    "Kandinsky5T2VPipeline": "BFHWC",
    "Kandinsky5I2VPipeline": "BFHWC",
}
"""Order of axes in the latents of a pipeline of diffusers, by the name of its class."""
PACKED = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline", "LTX2Pipeline")
"""Pipelines whose latents are sequences of tokens while they are denoised."""


def check_axes(axes: str) -> None:
    """Refuse an order of axes that is none: `ConfigError` unless ``auto`` or an arrangement of (B)CFHW."""
    if axes != AUTO and sorted(axes) not in (sorted("BCFHW"), sorted("CFHW")):
        raise ConfigError(
            f"latents.axes is {axes!r}, but it must be auto or name each of B, C, F, H and W once, as in BCFHW; "
            "B may be left out."
        )


def axes_of(asked: str, ndim: int, metadata: Mapping[str, Any], name: str) -> str:
    """The axes of a file, as many letters as it has dimensions.

    What is asked for stands; with ``auto`` it is what the metadata say by ``axes`` or ``pipeline``, else BCFHW.

    Raises
    ------
    LatentError
        The file is packed or has other than 4 or 5 dimensions, or the metadata contradict what was asked for.
    """
    told = _told(metadata, name)
    if ndim not in (4, 5):
        raise LatentError(
            f"{name} has {ndim} dimensions; a latent has channel, frame, row and column, and a batch of one before "
            "them. Packed latents (tokens in place of frames and pixels) must be unpacked by the pipeline's own "
            "function before they are saved."
        )
    if asked != AUTO and told and _without_batch(asked) != _without_batch(told):
        raise LatentError(
            f"{name}: latents.axes is {asked}, but the metadata say {told}. Correct the one that is wrong, or set "
            "latents.axes to auto."
        )
    axes = asked if asked != AUTO else told or "BCFHW"
    if ndim == 4:
        return _without_batch(axes)
    return axes if "B" in axes else "B" + axes


def canonical(shape: Sequence[int], axes: str, name: str) -> tuple[int, int, int, int]:
    """The shape in the order channel, frame, row, column.

    Raises
    ------
    LatentError
        The batch is not one, or an axis is empty.
    """
    if "B" in axes and shape[axes.index("B")] != 1:
        raise LatentError(
            f"{name} holds a batch of {shape[axes.index('B')]} (shape {list(shape)}, axes {axes}). Save one video a "
            "file, or correct latents.axes if the batch is another axis."
        )
    channels, frames, rows, columns = (int(shape[axes.index(letter)]) for letter in CANONICAL)
    if min(channels, frames, rows, columns) < 1:
        raise LatentError(f"{name} is empty: its shape is {list(shape)}. Save it again.")
    return channels, frames, rows, columns


def _told(metadata: Mapping[str, Any], name: str) -> str:
    """What the metadata say of the axes; empty where they say nothing that is known."""
    axes, pipeline = metadata.get("axes"), metadata.get("pipeline")
    if isinstance(axes, str) and axes:
        if sorted(axes) not in (sorted("BCFHW"), sorted("CFHW")):
            raise LatentError(f"{name}: its metadata give the axes {axes!r}; they must be an order of BCFHW.")
        return axes
    if isinstance(pipeline, str) and pipeline in PACKED:
        raise LatentError(f"{name} comes from {pipeline}, whose latents are packed. Unpack them before saving.")
    return PIPELINES.get(pipeline, "") if isinstance(pipeline, str) else ""


def of_pipeline(pipeline: str) -> str:
    """The axes of a pipeline's latents by the name of its class; `LatentError` if it is not known or packs them."""
    if pipeline in PACKED:
        raise LatentError(f"{pipeline} denoises packed latents; unpack them in a callback of your own and save those.")
    if pipeline not in PIPELINES:
        raise LatentError(
            f"The axes of {pipeline}'s latents are not known.{nearest(pipeline, PIPELINES)} Name them, as in "
            "axes='BCFHW'."
        )
    return PIPELINES[pipeline]


def _without_batch(axes: str) -> str:
    return axes.replace("B", "")
