"""Models of the user's own, brought in as ``module:factory``."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch

from longtake.errors import ModelError, nearest
from longtake.models.protocols import ClipModel, ScoreModel

CLIP_PARTS = ("module", "class_names", "n_frames", "input_size", "scores")


def load_factory(module: str, factory: str, device: torch.device) -> ClipModel:
    """Import `module`, call its `factory` with the device, and check what it returns.

    Raises
    ------
    ModelError : the module or the factory cannot be found, or what it returns is no `ClipModel`.
    """
    name, make = find_factory(module, factory)
    try:
        inspect.signature(make).bind(device)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} is called with the device alone, which it does not take ({error}).") from error
    made = make(device)
    if not isinstance(made, ClipModel):
        missing = [part for part in CLIP_PARTS if not hasattr(made, part)]
        raise ModelError(
            f"{name} returned a {type(made).__name__} without {', '.join(missing)}; docs/models.md says what a "
            "model has, with an example of ten lines."
        )
    check_model(made, name)
    length: Any = made.n_frames
    if length is not None and (not isinstance(length, int) or length < 1):
        raise ModelError(f"{name}: n_frames is {length!r}; give the frames of a clip, or None for any number.")
    return made


def find_factory(module: str, factory: str) -> tuple[str, Callable[..., Any]]:
    """Import `module` and return what stands there as `factory`, after a name of it for messages.

    Raises
    ------
    ModelError : one of them cannot be found.
    """
    name = f"model {module}:{factory}"
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module + ".").startswith(error.name + "."):
            remedy = f"put the folder that holds {module.partition('.')[0]} on PYTHONPATH"
        else:
            remedy = f"{module} was found, but what it imports is missing from this environment"
        raise ModelError(f"{name} cannot be loaded: {error}; {remedy}.") from error
    except ImportError as error:
        raise ModelError(f"{name} cannot be loaded: importing {module} failed ({error}).") from error
    make = getattr(imported, factory, None)
    if not callable(make):
        functions = [known for known, value in vars(imported).items() if callable(value) and known[0] != "_"]
        raise ModelError(
            f"{name}: {getattr(imported, '__file__', module)} has no function or class of that name."
            f"{nearest(factory, functions)} It has: {', '.join(sorted(functions)) or 'none'}."
        )
    return name, make


def check_model(model: ScoreModel, name: str) -> None:
    """What the protocol cannot say: types of the parts, and eval mode. Raises ModelError."""
    names: Any = model.class_names
    if isinstance(names, str) or not names or not all(isinstance(one, str) for one in names):
        raise ModelError(f"{name}: class_names is {names!r}; give the name of every class, in the order of the scores.")
    if not isinstance(model.module, torch.nn.Module):
        kind = type(model.module).__name__
        raise ModelError(f"{name}: module is a {kind}; give the torch.nn.Module that holds the weights.")
    training = next((part for part, inner in model.module.named_modules() if inner.training), None)
    if training is not None:
        raise ModelError(
            f"{name}: {training or 'the module'} is in training mode, so dropout and batch statistics would change the "
            "scores from call to call. Call module.eval() in the factory."
        )
