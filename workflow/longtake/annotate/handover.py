"""The file by which one window hands the tracker's state to the next.

A safetensors file. Its tensors are what the bounded session keeps (memory features, object pointers, one positional
encoding or two); its one metadata entry, ``longtake``, is JSON with the schema, its version, the identity of the run
(model, video, settings, prompts so far), the direction of time, the next grid frame, the objects in order with their
frames, and a SHA-256 over all of it. A file that is torn, or that belongs to another run, is refused by name:
continuing from it would give masks that look right.

An object's frames are listed as pairs of the frame and the number of its positional encoding, null where no frame to
come reads the frame's memory features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from longtake.annotate.session import CONDITIONING, FEATURES, POINTER, POSITIONS, TRACKED, BoundedSession
from longtake.annotate.tracker import Tracker
from longtake.errors import StateError
from longtake.store.atomic import atomic_path

SCHEMA, VERSION = "longtake.tracker-state", 2
# A single entry: safetensors writes several in no fixed order, and the same state must be the same bytes.
_ENTRY = "longtake"
_KINDS = (CONDITIONING, TRACKED)
_DIRECTIONS = {False: "forward", True: "backward"}


def save_state(
    path: str | os.PathLike[str],
    session: BoundedSession,
    *,
    identity: Mapping[str, str],
    history: str,
    next_frame: int,
    reverse: bool = False,
    approximate: str = "",
) -> int:
    """Write the session's state after its last frame, atomically; the same state gives the same bytes.

    Parameters
    ----------
    identity
        What must agree for the state to be continued, as text by name: model, video, settings.
    history
        A digest of the prompts that the session has taken in.
    next_frame
        The grid frame with which the next window begins.
    reverse
        Time runs backward.
    approximate
        Why the session is not what `identity` says, in words that every window after will repeat; empty where it is.

    Returns
    -------
    int
        The file's size in bytes.

    Raises
    ------
    StateError
        The session went the other way.
    """
    session.go(reverse)
    objects, tensors = _pack(session)
    if approximate:
        # Half precision leaves half of it in half precision, which a session in float32 does not expect.
        tensors = {name: each if name.endswith(FEATURES) else each.float() for name, each in tensors.items()}
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "identity": dict(identity),
        "history": history,
        "direction": _DIRECTIONS[reverse],
        "next_frame": next_frame,
        "num_frames": session.num_frames,
        "objects": objects,
    }
    header |= {"approximate": approximate} if approximate else {}
    header["checksum"] = _checksum(header, tensors)
    contents = save(tensors, metadata={_ENTRY: json.dumps(header, sort_keys=True, ensure_ascii=False)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)
    return len(contents)


def _pack(session: BoundedSession) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    tensors: dict[str, torch.Tensor] = {}
    positions: list[torch.Tensor] = []
    objects = []
    for place, name in enumerate(session.obj_ids):
        frames: dict[str, list[list[int | None]]] = {kind: [] for kind in _KINDS}
        for kind in _KINDS:
            for frame, output in session.output_dict_per_obj[place][kind].items():
                tensors[_key(place, kind, frame, POINTER)] = output[POINTER].cpu().contiguous()
                number = None
                if FEATURES in output:
                    tensors[_key(place, kind, frame, FEATURES)] = output[FEATURES].cpu().contiguous()
                    number = next((n for n, known in enumerate(positions) if known is output[POSITIONS]), None)
                    if number is None:
                        number = len(positions)
                        positions.append(output[POSITIONS])
                frames[kind].append([frame, number])
        objects.append({"object": name, "frames": frames})
    named = {f"{POSITIONS}/{number}": each.cpu().contiguous() for number, each in enumerate(positions)}
    return objects, tensors | named


def load_state(
    path: str | os.PathLike[str],
    tracker: Tracker,
    *,
    identity: Mapping[str, str],
    history: str,
    next_frame: int,
    reverse: bool = False,
) -> BoundedSession:
    """Read a state back into a session that goes on as if it had never stopped.

    Raises
    ------
    StateError
        The file is missing, damaged, of another schema or version, of another model, video or setting, of the other
        direction, does not continue with `next_frame`, or has taken in other prompts.
    """
    file = Path(path)
    header, tensors = _read(file)
    _check_whole(file, header, tensors)
    _check_identity(file, header["identity"], identity)
    _check_place(file, header, next_frame, reverse)
    if header["history"] != history:
        first = "last" if reverse else "first"
        raise StateError(
            f"{file} was written with other prompts {'after' if reverse else 'before'} grid frame {next_frame} than "
            f"the sheet holds now; rerun this video from the {first} window whose prompts were changed."
        )
    session = BoundedSession(tracker, int(header["num_frames"]))
    session.go(reverse)
    session.approximate = header.get("approximate", "")
    count = sum(name.startswith(f"{POSITIONS}/") for name in tensors)
    session.positions = [tensors[f"{POSITIONS}/{number}"].to(tracker.device) for number in range(count)]
    for entry in header["objects"]:
        place = session.obj_id_to_idx(entry["object"])
        for kind in _KINDS:
            for frame, number in entry["frames"][kind]:
                output = {POINTER: tensors[_key(place, kind, frame, POINTER)].to(tracker.device)}
                if number is not None:
                    features = tensors[_key(place, kind, frame, FEATURES)].to(tracker.state_device)
                    output |= {FEATURES: features, POSITIONS: session.positions[number]}
                session.output_dict_per_obj[place][kind][frame] = output
    return session


def _read(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not file.is_file():
        raise StateError(f"{file} does not exist; run the window that writes it first.")
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})[_ENTRY])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise StateError(
            f"{file} is no whole state file ({type(error).__name__}: {error}); delete it and rerun the window that "
            "wrote it."
        ) from None
    if not isinstance(header, dict):
        raise StateError(f"{file} is no state file; delete it and rerun the window that wrote it.")
    return header, tensors


def _check_whole(file: Path, header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    if (header.get("schema"), header.get("version")) != (SCHEMA, VERSION):
        raise StateError(
            f"{file} is {header.get('schema')!r} version {header.get('version')!r}, expected {SCHEMA!r} version "
            f"{VERSION}; delete it and rerun the window that wrote it."
        )
    if header.get("checksum") != _checksum({k: v for k, v in header.items() if k != "checksum"}, tensors):
        raise StateError(
            f"{file} is damaged: its checksum does not match. Delete it and rerun the window that wrote it."
        )


def _check_identity(file: Path, found: Mapping[str, str], identity: Mapping[str, str]) -> None:
    for name in [*identity, *(found.keys() - identity.keys())]:
        if found.get(name) != identity.get(name):
            raise StateError(
                f"{file} was written for another {name} ({found.get(name)!r}, here {identity.get(name)!r}); "
                "rerun this video from its first window, or restore what was changed."
            )


def _check_place(file: Path, header: dict[str, Any], next_frame: int, reverse: bool) -> None:
    if header["direction"] != _DIRECTIONS[reverse]:
        raise StateError(
            f"{file} is of a pass that goes {header['direction']}, but this window is tracked {_DIRECTIONS[reverse]}; "
            "give the state of a window of the same pass."
        )
    if header["next_frame"] != next_frame:
        raise StateError(
            f"{file} continues with grid frame {header['next_frame']}, but this window begins with {next_frame}; "
            f"give the state of the window right {'after' if reverse else 'before'} it."
        )


def _key(place: int, kind: str, frame: int, what: str) -> str:
    return f"{place}/{kind}/{frame}/{what}"


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    whole = hashlib.sha256(json.dumps(header, sort_keys=True, ensure_ascii=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
