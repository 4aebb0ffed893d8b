"""What a section of the settings is made of: a pydantic model, and settings with a default and a meaning.

::

    class Options(Section):
        '''Training of video classifiers on clips that are generated once.'''

        folds: int = setting(5, "Folds of the cross-validation.", ge=2)
        model: Literal["x3d", "slowfast"] = setting("x3d", "The network that is trained.")
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

LARGEST = 1e15
_Item = TypeVar("_Item")


def setting(default: Any, description: str, **bounds: Any) -> Any:
    """Declare a setting: its default, what it means, and pydantic's bounds (`ge`, `gt`, `le`, `lt`, `pattern` ...)."""
    return Field(default, description=description, **bounds)


def _each_once(values: list[Any]) -> list[Any]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands in it twice. Keep one.")
    return values


Once = Annotated[list[_Item], AfterValidator(_each_once), Field(json_schema_extra={"uniqueItems": True})]


class Section(BaseModel):
    """A section of the settings. Its docstring stands above it in config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        found = _parsed(value, cls.model_fields[str(info.field_name)].annotation)
        if isinstance(found, int | float) and not -LARGEST <= found <= LARGEST:
            raise ValueError(f"it is beyond all measure. Give a plain number, up to {LARGEST:.0e}.")
        return found

    def contradiction(self, settings: Any) -> str:  # noqa: ARG002
        """Return what is wrong about this section beside all other `settings`, and the remedy; nothing if all is well.

        Both named as users write them: "training.folds is 9, but ...". What is wrong within a section is better told
        by a ``model_validator`` that raises a ValueError.
        """
        return ""


def _parsed(value: Any, kind: Any) -> Any:
    """Return a number or truth value that came as text, as Snakemake hands on ``--config section={key: 1}``.

    A whole number where one is asked for is an int, also if it was written 5.0. What does not fit stays as it is, and
    is refused by its own name.
    """
    options, outer, inner = _options(kind)
    if value is None and isinstance(kind, type) and issubclass(kind, Section):
        return {}
    if isinstance(value, Mapping) and outer is dict:
        return {key: _parsed(each, inner) for key, each in value.items()}
    if isinstance(value, list | tuple) and outer is list:
        return [_parsed(each, inner) for each in value]
    if isinstance(value, str) and str not in options and options & {int, float, bool}:
        value = _from_text(value, options)
    return int(value) if int in options and isinstance(value, float) and value.is_integer() else value


def _from_text(text: str, options: frozenset[Any]) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    fits = type(found) is bool if bool in options else type(found) in (int, float)
    return found if fits and (float in options or found == found // 1) else text


@cache
def _options(kind: Any) -> tuple[frozenset[Any], Any, Any]:
    """Return the plain types of which a value of `kind` may be one, and for a list or mapping that and its values'."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        parts = [_options(part) for part in get_args(kind)]
        # As "all" or a list of numbers.
        outer, inner = next(((outer, inner) for _, outer, inner in parts if outer in (list, dict)), (None, None))
        return frozenset().union(*(plain for plain, _, _ in parts)), outer, inner
    outer = get_origin(kind)
    return frozenset([kind]), outer, get_args(kind)[-1] if outer in (list, dict) else None
