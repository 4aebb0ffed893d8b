"""Structure of the latents of video-diffusion models: over space, time, channels, frequency and denoising steps."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # The Snakefile imports this package in every job, and the callback's module loads NumPy.
    if name == "SaveLatents":
        from longtake.latents.callback import SaveLatents

        return SaveLatents
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
