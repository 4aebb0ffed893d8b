"""The settings that belong to no analysis: sheets, outputs, windows, and the machine."""

from __future__ import annotations

import os
from fractions import Fraction

from pydantic import field_validator, model_validator

from longtake.settings.paths import shortened, written_out
from longtake.settings.section import Section, setting


class Device(Section):
    """Where the models run."""

    force_cpu: bool = setting(False, "Run on the CPU even where there is a GPU.")
    gpu_memory_gb: float = setting(
        0,
        "GiB of a GPU's memory that a job may use at most, the driver's own included; PyTorch is held to it. 0 leaves "
        "it to what is free. Changes how a job is run, never a number.",
        ge=0,
    )


class Core(Section):
    """The settings outside all sections; `longtake.settings.read` adds the sections of the analyses."""

    videos: str = setting(
        "config/videos.tsv",
        "Sheet of videos, one row each (columns video, path, species). Paths are relative to the working directory.",
    )
    prompts: str = setting(
        "config/prompts.tsv",
        "Sheet of boxes, points and masks that show the objects to follow. It may hold no row; annotate.dense_seeding "
        "then finds objects by itself.",
    )
    output_dir: str = setting(
        "results",
        "Folder of all outputs, without braces, brackets, * or ?, which Snakemake reads as patterns, and with ~ "
        "written out. Nothing is written outside it.",
        pattern=r"^[^\s{}*?\[\]\x00-\x1f][^{}*?\[\]\x00-\x1f]*$",
    )
    seed: int = setting(
        20260601,
        "Seed of every random draw (permutations, shuffled frames, clip choice). Each draw is keyed by seed, unit and "
        "purpose.",
        ge=0,
    )
    demo: bool = setting(
        False, "Whether the sheet's videos are the demo's synthetic scenes, which the workflow then renders itself."
    )
    window_duration: float = setting(300, "Length of a window in seconds. One window is one job.", gt=0)
    window_overlap: float = setting(
        30,
        "Seconds that a window shares with the next, so a new window begins every window_duration - window_overlap "
        "seconds. Must be smaller than window_duration by at least 1 s or a hundredth of it, whichever is less, or "
        "there would be too many windows. Every frame is emitted once. With annotate.continuity chain no frame "
        "is processed twice, and the overlap only says where windows end; with overlap neighbours both process the "
        "shared frames, by which their objects are joined, so it must hold at least one processed frame, and some tens "
        "are good.",
        ge=0,
    )
    frame_interval: int = setting(
        30,
        "Every how many source frames one is processed (1 = every frame). Saves decoding and compute; outputs stay in "
        "source frames and source pixels.",
        ge=1,
    )
    video_scale_factor: float = setting(
        0.5,
        "Scale at which frames are decoded for tracking, as a fraction of the source size. Prompts and outputs stay in "
        "source pixels.",
        gt=0,
        le=1,
    )
    picture_rate: float = setting(
        6,
        "Frames a second of a video that is a folder of pictures (JPEG or PNG, in the order of the numbers in their "
        "names), which carry no times. 6 is YouTube-VIS's.",
        gt=0,
    )
    cluster: str = setting(
        "",
        "File that lists the kinds of GPU of your cluster and how jobs ask for them; config/clusters has examples. "
        "Each job of a model then asks for the smallest kind that its forecast fits. Empty asks SLURM for any GPU "
        "(--gpus=1), and where there is no SLURM takes this machine's.",
    )
    device: Device = setting(Device(), str(Device.__doc__))

    @field_validator("output_dir")
    @classmethod
    def _one_run_alone(cls, folder: str) -> str:
        whole = os.path.normpath(folder)
        home = written_out(folder)
        if home:
            raise ValueError(f"it would be a folder called ~ here, as no shell reads it.{home}")
        if folder[0] in "~-":
            raise ValueError("programs would read it as an option or a home. Begin it with a letter.")
        if "://" in folder:
            raise ValueError("it is an address. Name a folder of this machine.")
        if not whole.strip("/") or set(whole.split("/")) == {".."}:
            raise ValueError(
                f"it holds more than this run. Name a folder in it: {shortened(whole.rstrip('/'))}/results."
            )
        return folder

    @model_validator(mode="after")
    def _windows_advance(self) -> Core:
        duration, overlap = self.window_duration, self.window_overlap
        if overlap >= duration:
            raise ValueError(
                f"window_overlap is {overlap:g} s, but a window lasts window_duration = {duration:g} s. Make the "
                "overlap smaller than the window, for example a tenth of it."
            )
        # In whole ratios, as windows are cut: 0.3 - 0.297 is more than 0.003 in floats, and other steps are less.
        step = Fraction(str(duration)) - Fraction(str(overlap))
        least = min(Fraction(1), Fraction(str(duration)) / 100)
        if step < least:
            raise ValueError(
                f"window_overlap is {overlap} s of window_duration = {duration} s, so a window would begin every "
                f"{float(step):g} s, and most frames would lie in more than a hundred windows. Leave at least "
                f"{float(least):g} s from one to the next; an overlap of a tenth of the window is usual."
            )
        return self
