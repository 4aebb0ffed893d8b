"""Whether section `gradients` fits its model, which is looked at before hours are spent on annotation.

Parsed with the Snakefile in every job; weights are not looked into.
"""

from __future__ import annotations

from pathlib import Path

from longtake.errors import ConfigError, nearest
from longtake.gradients.options import Options
from longtake.model_config import check_config, read_model_json
from longtake.model_folder import VIDEO_MODELS, class_names, clip_length, is_code, model_files, module_file
from longtake.settings.paths import locate


def video_model_files(options: Options, base: Path) -> list[str]:
    """Return the files of the model in section `gradients`, whose settings are compared with its config.json.

    Now, before hours are spent on annotation.

    Raises
    ------
    ConfigError
        As `model_files`; or the kind of model is not known, its clips have another length, a target or label is no
        class of it, or `gradients.flow` names a module that Python does not find.
    """
    files = model_files(options.model, base, "gradients.model")
    if ":" in options.flow:
        module_file(options.flow, f"gradients.flow is {options.flow!r}, a module:function of your own")
    if not is_code(options.model, base):
        _check_settings(options, base)
    return files


def _check_settings(options: Options, base: Path) -> None:
    path = locate(options.model, base, "gradients.model") / "config.json"
    config = read_model_json(path, ConfigError)
    check_config(config, path, ConfigError)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in VIDEO_MODELS:
        raise ConfigError(
            f"gradients.model: {path} has model_type {kind!r}, which is no video model known here."
            f"{nearest(str(kind), VIDEO_MODELS)} Known: {', '.join(sorted(VIDEO_MODELS))}; docs/models.md says how to "
            "bring in any other."
        )
    try:
        (length, _), names = clip_length(config), class_names(config)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"gradients.model: {path} does not say clips and classes as a {kind} does ({error}). Copy the file again."
        ) from error
    if length not in (None, options.max_frames):
        raise ConfigError(
            f"gradients.max_frames is {options.max_frames}, but the model {options.model} was trained on clips of "
            f"{length} frames. Set it to {length}."
        )
    if names:
        _check_classes(options, names)


def _check_classes(options: Options, names: tuple[str, ...]) -> None:
    meant = {f"gradients.labels: {label}": value for label, value in options.labels.items()}
    if isinstance(options.target, int):
        meant["gradients.target"] = options.target
    for setting, value in meant.items():
        if value in names or (isinstance(value, int) and value < len(names)):
            continue
        hint = "" if isinstance(value, int) else nearest(value, names)
        shown = f"0 to {len(names) - 1}: " + ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise ConfigError(f"{setting} is {value!r}, but the model {options.model} has the classes {shown}.{hint}")
