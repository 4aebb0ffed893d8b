"""The settings of section `memory`."""

from __future__ import annotations

from typing import Literal

from longtake.settings.section import Section, setting


class Options(Section):
    """What jobs do about memory. None of this changes a number of a job that fits; a changed setting reruns nothing."""

    allow_approximate: bool = setting(
        False,
        "Whether a job that fits into memory in no exact way may run in bfloat16. What it gives is then called "
        "approximate, with the error measured on a small part of it; without this it fails.",
    )
    margin: float = setting(
        1.2,
        "By what a forecast of memory is multiplied before it is asked for. What was measured of such jobs in "
        "earlier runs is asked for instead as soon as there is some, with a margin of a twentieth.",
        ge=1,
    )
    history: str = setting(
        "",
        "Output folder of another run whose measurements are used, beside this run's own, where jobs were "
        "alike. Empty for none.",
    )
    clean_up_at: float = setting(
        0.85,
        "At what part of the memory that it may use a job of a model gives back what it holds and does not "
        "need, freed memory above all. Costs some time, so it is not done before.",
        gt=0,
        le=1,
    )
    expandable_segments: Literal["auto", "never", "always"] = setting(
        "auto",
        "Whether PyTorch's GPU allocator uses expandable segments. auto does so after an attempt that ran out "
        "of memory, or had to look for it, while a tenth or more of what was reserved lay in split blocks; "
        "below that memory is full and they cannot help.",
    )
