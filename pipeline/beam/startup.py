"""Makes Beam's start cheaper: it inspects every method of every DoFn anew each time it looks at one."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.transforms import core

_Arguments = tuple[list[str], list[Any]]


def remember_signatures() -> None:
    """Lets Beam inspect each function once per process; idempotent.

    Beam asks for the arguments of all methods of a DoFn whenever it builds, translates, validates or starts a stage:
    tens of thousands of inspections in one Transform. A function's signature does not change, so the answers are kept
    by function (for a bound method: by the function behind it).
    """
    inspect_arguments = core.get_function_args_defaults
    if not hasattr(inspect_arguments, "remembered"):
        core.get_function_args_defaults = _remembering(inspect_arguments)


def _remembering(inspect_arguments: Callable[[Any], _Arguments]) -> Callable[[Any], _Arguments]:
    methods: weakref.WeakKeyDictionary[Any, _Arguments] = weakref.WeakKeyDictionary()
    functions: weakref.WeakKeyDictionary[Any, _Arguments] = weakref.WeakKeyDictionary()

    def arguments(function: Any) -> _Arguments:
        if type(function) is types.MethodType:
            known, key = methods, function.__func__
        elif type(function) is types.FunctionType:
            known, key = functions, function
        else:
            return inspect_arguments(function)
        if key not in known:
            known[key] = inspect_arguments(function)
        names, defaults = known[key]
        return list(names), list(defaults)

    arguments.remembered = True  # type: ignore[attr-defined]
    return arguments
