"""The settings of section `latents`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from longtake.errors import ConfigError
from longtake.latents.axes import check_axes
from longtake.latents.names import FAMILIES
from longtake.settings.section import Once, Section, setting

Family = Literal["spatial", "patches", "temporal", "channel", "information", "complexity", "global", "frequency"]


class Options(Section):
    """Structure of the latents of video-diffusion models."""

    folder: str = setting("", "The study: <folder>/<group>/<video>/step_NNN.npy (.npy.gz, .pt, .pt.gz, .safetensors, "
                          ".latent, .zarr), with step_NNN_metadata.json beside. Empty for none.")  # fmt: skip
    sheet: str = setting("", "Instead of the folder: a table of video, group, path and seed, separated by tabs.")
    axes: str = setting("auto", "Order of the axes in the files, as BCFHW; auto takes it from the metadata.")
    steps: Literal["all"] | Once[int] = setting("all", "The numbers of the steps that are measured, or all.")
    missing_steps: Literal["fail", "keep"] = setting(
        "fail", "A video whose steps have a gap: fail leaves it out, keep measures what is there."
    )
    families: Once[Family] = setting(list(FAMILIES), "The families of metrics that are measured.", min_length=1)
    baseline: str = setting("", "The group that others are compared with. Empty for the first in alphabetical order.")
    order: Once[str] = setting([], "Groups in the order in which a trend is looked for. Empty for none.")
    contrasts: Literal["baseline", "all"] = setting("baseline", "Compare all groups with the baseline, or all pairs.")
    pair_by_seed: Literal["auto", "never"] = setting(
        "auto", "auto takes videos of one seed in two groups for a matched pair; never for unrelated ones."
    )
    scale: Literal["none", "rms"] = setting(
        "none", "rms divides each latent by its root mean square before it is measured; ways over steps stay as stored."
    )
    edge_threshold: float = setting(0.93, "The gradient from which a pixel is an edge, in the latent's units.", gt=0)
    bins: int = setting(32, "Bins of values in which information is counted.", ge=2, le=128)
    span: float = setting(4.0, "Standard deviations to each side over which the bins lie.", gt=0)
    patch_sizes: Once[int] = setting([4, 8, 16], "Sides of the patches, in latent pixels.", min_length=1)
    separability: bool = setting(True, "Whether a forest is asked to tell the groups apart.")
    permutations: int = setting(10_000, "Random rearrangements behind a p value where not all are visited.", ge=100)
    latents_per_job: int = setting(500, "Most latents that a job measures.", ge=1)
    read_ahead: int = setting(2, "Latents that are read in advance.", ge=0, le=64)
    most_compared: int = setting(
        3000, "Up to so many videos are compared with each other at a step; time and memory go with their square (6 "
        "min a step for 3,000). Of more none is, and the report says so.", ge=2,
    )  # fmt: skip
    memory_gb: float = setting(
        0, "GiB that a job may take of the host, its libraries included: less is read ahead, and a job that takes more "
        "all the same says so before it works. 0 for what the size of a latent asks for.", ge=0,
    )  # fmt: skip

    @field_validator("axes")
    @classmethod
    def _order_of_axes(cls, value: str) -> str:
        try:
            check_axes(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("patch_sizes")
    @classmethod
    def _sides(cls, value: list[int]) -> list[int]:
        if min(value) < 2:
            raise ValueError("a patch has at least two pixels a side. Give larger ones.")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Any:
        if self.folder and self.sheet:
            raise ValueError("latents.folder and latents.sheet are both set. Give one of them.")
        return self
