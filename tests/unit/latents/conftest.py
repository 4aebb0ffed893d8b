"""Small latents on disk in every format, and whole small studies."""

import gzip
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from longtake.streams import stream


def noise(name="noise", shape=(4, 5, 12, 14), dtype=np.float32):
    return stream(1, name, "test").standard_normal(shape).astype(dtype)


def save(path, array):
    """Write an array in the format that the name of the file asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.name.partition(".")[2]
    buffer = io.BytesIO()
    if kind.startswith("npy"):
        np.save(buffer, array)
    elif kind.startswith("pt"):
        torch.save(torch.from_numpy(np.ascontiguousarray(array)), buffer)
    elif kind == "safetensors":
        save_file({"latents": np.ascontiguousarray(array)}, path)
    elif kind == "latent":
        save_file(
            {"latent_tensor": np.ascontiguousarray(array), "latent_format_version_0": np.zeros(0, np.float32)}, path
        )
    elif kind == "zarr":
        import zarr

        # No chunk is as long as the array, and those at the end are cut.
        chunks = tuple(max(1, n // 2 + 1) for n in array.shape)
        zarr.create_array(str(path), data=np.ascontiguousarray(array), chunks=chunks)
    data = buffer.getvalue()
    if kind.endswith(".gz"):
        path.write_bytes(gzip.compress(data, mtime=0))
    elif data:
        path.write_bytes(data)
    return path


def save_video(folder, latents, *, kind="npy", steps=None, **metadata):
    """Write the latents [T, C, F, H, W] of one video with a batch of one, and their metadata."""
    for step, latent in zip(steps or range(len(latents)), latents, strict=True):
        save(folder / f"step_{step:03d}.{kind}", latent[None])
        about = {"step": step, "sigma": 1.0 - step / max(1, len(latents)), "timestep": 1000 - step, **metadata}
        (folder / f"step_{step:03d}_metadata.json").write_text(json.dumps(about))


@pytest.fixture(scope="session")
def disk():
    """The functions above, by name."""
    return SimpleNamespace(noise=noise, save=save, save_video=save_video)


@pytest.fixture
def study(tmp_path):
    """Two groups of three videos with matched seeds and three steps each."""
    for group in ("calm", "wild"):
        for seed in range(3):
            latents = noise(f"{group} {seed}", (3, 4, 5, 12, 14), np.float16)
            save_video(tmp_path / "latents" / group / f"v{seed}", latents, seed=seed, prompt=group)
    return tmp_path / "latents"
