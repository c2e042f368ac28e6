"""What pydantic finds wrong with a value, in the words of a pipeline file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def describe(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One of a ValidationError's `errors()` as `key: rule (got value)`.

    Args:
      fault: the error.
      model: the model that was validated.
    """
    kind = fault["type"]
    # Where a key may hold one of two types, pydantic adds the type to the path; an unknown key may be called that.
    of_types = () if kind == "extra_forbidden" else ("str", "constrained-int", "int", "range", "choices")
    key = ".".join(str(part) for part in fault["loc"] if part not in of_types)
    if kind == "extra_forbidden":
        return f"{key}: unknown key; {_choice(fault['loc'], model)}"
    if kind == "missing":
        return f"{key}: required, and missing"
    if not key:
        return rule(fault)  # a rule about several sections, which names them itself
    if isinstance(fault["input"], dict | list | BaseModel):
        return f"{key}: {rule(fault)}"
    return f"{key}: {rule(fault)} (got {fault['input']!r})"


def _choice(location: Sequence[int | str], model: type[BaseModel]) -> str:
    """The key that was meant, or all keys that can be there."""
    sections = {model}
    for part in location[:-1]:
        fields = [field for section in sections for name, field in _fields(section) if name == part]
        # A number in a list, a key of a mapping, or the type that pydantic adds to the path: the sections stay.
        sections = {inner for field in fields for inner in _sections(field.annotation)} or sections
    keys = sorted({name for section in sections for name, _ in _fields(section)})
    close = difflib.get_close_matches(str(location[-1]), keys, 1)
    return f"did you mean {close[0]}?" if close else f"choose one of {', '.join(keys)}"


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((field.alias or name, field) for name, field in section.model_fields.items())


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """The models in a type such as `Inner | None` or `dict[str, Inner]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {section for inner in get_args(annotation) for section in _sections(inner)}


def rule(fault: Mapping[str, Any]) -> str:
    """The rule that is broken, without the key and the value."""
    return str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
