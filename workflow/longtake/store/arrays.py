"""Named arrays with text metadata in one safetensors file: no pickle, written whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from longtake.errors import SchemaError
from longtake.store.atomic import atomic_path

METADATA = "longtake"


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `arrays` and `metadata` to `path`, atomically; the same content gives the same bytes.

    The metadata goes into one entry of the file, as JSON: safetensors writes several in an order that changes from run
    to run.
    """
    packed = {METADATA: json.dumps(dict(metadata), sort_keys=True)} if metadata else None
    with atomic_path(path) as temporary:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            temporary,
            metadata=packed,
        )


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return all arrays and the metadata of `path`; `SchemaError` if it is no safetensors file."""
    file = Path(path)
    try:
        with safe_open(file, framework="numpy") as handle:
            names = list(handle.keys())
            packed = (handle.metadata() or {}).get(METADATA, "{}")
            return {name: handle.get_tensor(name) for name in names}, json.loads(packed)
    except FileNotFoundError:
        raise SchemaError(f"{file} does not exist; run the step that writes it.") from None
    except SafetensorError as error:
        raise SchemaError(f"{file} is damaged ({error}); delete it and run again.") from None
