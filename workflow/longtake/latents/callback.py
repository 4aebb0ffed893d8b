"""`SaveLatents`: a callback for diffusers' pipelines that writes the layout which this analysis reads.

::

    from longtake.latents import SaveLatents

    save = SaveLatents("latents", group="calm", video="seed-7", seed=7, prompt=prompt)
    pipeline(prompt, generator=torch.Generator().manual_seed(7), callback_on_step_end=save)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import LatentError
from longtake.latents.axes import axes_of, canonical, of_pipeline
from longtake.store.atomic import atomic_path, write_text


class SaveLatents:
    """Write the latent after every denoising step, [1, C, F, H, W], with its metadata.

    diffusers calls after the scheduler's step i, so what it hands over has the noise level ``sigmas[i + 1]`` and is
    written as step i + 1; the noise at the beginning is never handed over.

    Parameters
    ----------
    folder, group, video
        The files are ``<folder>/<group>/<video>/step_NNN.npy``.
    seed, prompt
        Written into the metadata; videos of one seed in two groups are matched pairs.
    axes
        Order of the axes of the pipeline's latents, as BCFHW; None takes it from the pipeline's class.
    """

    def __init__(
        self, folder: str | Path, *, group: str, video: str, seed: int | None = None, prompt: str = "",
        axes: str | None = None,
    ) -> None:  # fmt: skip
        self.folder = Path(folder) / group / video
        self.about = {"seed": seed, "prompt": prompt}
        self.axes = axes

    def __call__(
        self, pipeline: Any, step_index: int, _timestep: Any, callback_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the latent of this step and hand everything back unchanged.

        Raises
        ------
        LatentError
            The latents are packed, a batch, of a pipeline whose axes are not known, or not handed over.
        """
        name, step = type(pipeline).__name__, step_index + 1
        if "latents" not in callback_kwargs:
            raise LatentError(f"{name} hands over no latents; pass callback_on_step_end_tensor_inputs=['latents'].")
        latents = callback_kwargs["latents"].detach()
        order = axes_of(self.axes or of_pipeline(name), latents.ndim, {}, f"The latent of {name}")
        canonical(latents.shape, order, f"The latent of {name}")
        array = latents.permute([order.index(letter) for letter in "BCFHW" if letter in order]).cpu()
        # NumPy has no bfloat16.
        numbers = (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()
        known = {"step": step, "pipeline": name, "axes": "BCFHW", **self.about, **_noise_level(pipeline, step)}
        with atomic_path(self.folder / f"step_{step:03d}.npy") as temporary:
            np.save(temporary, numbers if numbers.ndim == 5 else numbers[None])
        write_text(self.folder / f"step_{step:03d}_metadata.json", json.dumps(known, sort_keys=True))
        return callback_kwargs


def _noise_level(pipeline: Any, step: int) -> dict[str, float]:
    """Sigma and timestep of the latent after so many steps, as far as the scheduler has them; 0 at the end."""
    scheduler = getattr(pipeline, "scheduler", None)
    found: dict[str, float] = {}
    sigmas, timesteps = getattr(scheduler, "sigmas", None), getattr(scheduler, "timesteps", None)
    if sigmas is not None and step < len(sigmas):
        found["sigma"] = float(sigmas[step])
    if timesteps is not None:
        found["timestep"] = float(timesteps[step]) if step < len(timesteps) else 0.0
    return found
