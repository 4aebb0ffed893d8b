"""Models of the ``transformers`` library from local folders: its classes, our reading of the files.

The library gets a configuration and tensors, never the folder: so nothing is fetched, nothing unpickled, no code of the
folder's is run, and no weight is missing, left over or of another shape without an error.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longtake.errors import ModelError
from longtake.model_config import check_config, check_size
from longtake.models.weights import numbers_of, read_weights

logger = logging.getLogger(__name__)

# An attention may name a kernel that is to be fetched, and what is computed in is said here.
_DROPPED = ("attn_implementation", "_attn_implementation", "attn_implementation_internal", "dtype", "torch_dtype")


def load_pretrained(folder: Path, config: dict[str, Any], class_name: str) -> nn.Module:
    """Build ``transformers.<class_name>`` by `config` and fill in the folder's weights; in eval mode, float32, frozen.

    Parameters
    ----------
    config : the content of config.json

    Memory: the weights, twice for a moment.

    Raises
    ------
    ModelError : the configuration does not fit the class or asks for something that is not done here; weights are
        missing, left over or of another shape.
    """
    import transformers
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a bar of the library's own has no place in a job's log
    kind: Any = getattr(transformers, class_name)
    settings = _settings(folder / "config.json", config, kind)
    weights = read_weights(folder)
    stored = {str(value.dtype).removeprefix("torch.") for value in weights.values() if value.is_floating_point()}
    if stored - {"float32"}:
        logger.info("%s: weights stored as %s are computed with in float32", folder, ", ".join(sorted(stored)))
    try:
        limited = no_larger(kind, sum(map(torch.Tensor.numel, weights.values())), folder)
        module, report = limited.from_pretrained(
            None,
            config=settings,
            state_dict=weights,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are reported, and refused below with their names
            output_loading_info=True,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"{folder}: the weights do not fit config.json ({error}). Copy both files again.") from error
    module.__class__ = kind
    _check_complete(folder, config, class_name, report)
    found: nn.Module = module.eval().requires_grad_(False)
    return found


def no_larger(kind: Any, stored: int, folder: Path) -> Any:
    """Return the class `kind`, whose model refuses to be larger than `stored` numbers of weights can fill.

    The library builds a model without memory first, and then takes memory for all of it, also for what no weights are
    there for. Between the two is no place but the end of the constructor.
    """

    def built(self: Any, *given: Any, **named: Any) -> None:
        kind.__init__(self, *given, **named)
        check_size(numbers_of(self), stored, folder)

    return type(kind.__name__, (kind,), {"__init__": built, "__module__": kind.__module__})


def plain_config(value: Any) -> Any:
    """Return a configuration without what would change how it is computed, also in its parts."""
    if isinstance(value, list):
        return [plain_config(each) for each in value]
    if isinstance(value, dict):
        return {key: plain_config(each) for key, each in value.items() if key not in _DROPPED}
    return value


def class_names(module: Any) -> tuple[str, ...]:
    """Names of the classes in the order of the scores, from id2label of the configuration."""
    named: dict[int, str] = {int(index): str(name) for index, name in module.config.id2label.items()}
    return tuple(named[index] for index in range(len(named)))


def sides(size: Any) -> tuple[int, int]:
    """Height and width of a configuration's size, which may be one number for both."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _settings(path: Path, config: dict[str, Any], kind: Any) -> Any:
    from huggingface_hub.errors import StrictDataclassError

    check_config(config, path)
    try:
        settings = kind.config_class.from_dict(plain_config(config))
    except (StrictDataclassError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise ModelError(f"{path}: {what}. Restore the file that came with the weights.") from error
    if getattr(settings, "num_channels", 3) != 3 or getattr(settings, "in_chans", 3) != 3:
        raise ModelError(f"{path}: the model takes another number of colours than three; videos have red, green, blue.")
    return settings


def _check_complete(folder: Path, config: dict[str, Any], class_name: str, report: dict[str, Any]) -> None:
    wrong = []
    for kind, words in (("missing_keys", "missing"), ("unexpected_keys", "left over")):
        names = sorted(map(str, report[kind]))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            wrong.append(f"{', '.join(names[:3])}{more} {words}")
    wrong += [f"{name} is {tuple(stored)} and not {tuple(own)}" for name, stored, own in report["mismatched_keys"]]
    if wrong or report["error_msgs"]:
        made = config.get("architectures") or ["another class"]
        hint = "" if class_name in made else f" The folder is one of {made[0]}; a classifier is needed, {class_name}."
        raise ModelError(
            f"{folder}: the weights are not those of {class_name}: {'; '.join([*wrong, *report['error_msgs']])}. "
            f"Missing weights would be random.{hint or ' Copy config.json and the weights again, together.'}"
        )
