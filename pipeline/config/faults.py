"""Converts pydantic's errors to messages in the terms of a pipeline file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def describe(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Returns an error as `key: rule (got value)`.

    Args:
      fault: one of the `errors()` of a ValidationError.
      model: the model that was validated.

    Example: `describe(error.errors()[0], PipelineConfig)` returns "train.epochs: must be greater than 0 (got 0)".
    """
    kind = fault["type"]
    # If a key accepts two types, pydantic appends the type to the path. An unknown key may have the name of a type.
    of_types = () if kind == "extra_forbidden" else ("str", "constrained-int", "int", "bool", "range", "choices")
    key = ".".join(str(part) for part in fault["loc"] if part not in of_types)
    if kind == "extra_forbidden":
        return f"{key}: unknown key. {_choice(fault['loc'], model)}"
    if kind == "missing":
        return f"{key}: required key is missing"
    if not key:
        return rule(fault)  # a rule about several sections, which names their keys
    if isinstance(fault["input"], dict | list | BaseModel):
        return f"{key}: {rule(fault)}"
    return f"{key}: {rule(fault)} (got {fault['input']!r})"


def _choice(location: Sequence[int | str], model: type[BaseModel]) -> str:
    """Returns the key with a similar name, or all possible keys."""
    sections = {model}
    for part in location[:-1]:
        fields = [field for section in sections for name, field in _fields(section) if name == part]
        # A list index, a key of a mapping, or the type that pydantic appends. The sections stay the same.
        sections = {inner for field in fields for inner in _sections(field.annotation)} or sections
    keys = sorted({name for section in sections for name, _ in _fields(section)})
    close = difflib.get_close_matches(str(location[-1]), keys, 1)
    return f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(keys)}"


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((field.alias or name, field) for name, field in section.model_fields.items())


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """Returns the models in a type such as `Inner | None` or `dict[str, Inner]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {section for inner in get_args(annotation) for section in _sections(inner)}


def rule(fault: Mapping[str, Any]) -> str:
    """Returns the broken rule without the key and the value."""
    return str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
