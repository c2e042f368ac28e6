"""What pydantic finds wrong with a value, in the words of a pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def describe(fault: Mapping[str, Any]) -> str:
    """One of a ValidationError's `errors()` as `key: rule (got value)`."""
    kind = fault["type"]
    # Where a key may hold one of two types, pydantic adds the type to the path; an unknown key may be called that.
    of_types = () if kind == "extra_forbidden" else ("str", "constrained-int", "int", "range", "choices")
    key = ".".join(str(part) for part in fault["loc"] if part not in of_types)
    if kind == "extra_forbidden":
        return f"{key}: unknown key; see docs/pipeline-file.md for the keys there are"
    if kind == "missing":
        return f"{key}: required, and missing"
    if not key:
        return rule(fault)  # a rule about several sections, which names them itself
    if isinstance(fault["input"], dict | list | BaseModel):
        return f"{key}: {rule(fault)}"
    return f"{key}: {rule(fault)} (got {fault['input']!r})"


def rule(fault: Mapping[str, Any]) -> str:
    """The rule that is broken, without the key and the value."""
    return str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
