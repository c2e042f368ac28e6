"""Makes Beam's start cheaper: it inspects functions, DoFns and options anew each time it looks at one."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core, userstate

_Arguments = tuple[list[str], list[Any]]
_Specs = tuple[set[Any], set[Any]]


def remember_inspections() -> None:
    """Lets Beam inspect each function, each DoFn and each view of options once per process; idempotent.

    Beam asks for the arguments of all methods of a DoFn whenever it builds, translates, validates or starts a stage,
    and builds a parser of command lines whenever it looks at an option: tens of thousands of inspections and a thousand
    parsers in one Transform. None of the answers changes, so they are kept.
    """
    if hasattr(core.get_function_args_defaults, "__wrapped__"):
        return
    core.get_function_args_defaults = _remembering(core.get_function_args_defaults)
    userstate.get_dofn_specs = _remembering_specs(userstate.get_dofn_specs)
    PipelineOptions.view_as = _remembering_views(PipelineOptions.view_as)


def _remembering(inspect_arguments: Callable[[Any], _Arguments]) -> Callable[[Any], _Arguments]:
    """Answers are kept by function; for a bound method by the function behind it."""
    methods: weakref.WeakKeyDictionary[Any, _Arguments] = weakref.WeakKeyDictionary()
    functions: weakref.WeakKeyDictionary[Any, _Arguments] = weakref.WeakKeyDictionary()

    @functools.wraps(inspect_arguments)
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

    return arguments


def _remembering_specs(inspect_dofn: Callable[[Any], _Specs]) -> Callable[[Any], _Specs]:
    """Answers are kept by DoFn, where only itself is equal to it."""
    known: weakref.WeakKeyDictionary[Any, _Specs] = weakref.WeakKeyDictionary()

    @functools.wraps(inspect_dofn)
    def specs(dofn: Any) -> _Specs:
        kind: Any = type(dofn)
        if kind.__hash__ is not object.__hash__:
            return inspect_dofn(dofn)
        if dofn not in known:
            known[dofn] = inspect_dofn(dofn)
        states, timers = known[dofn]
        return set(states), set(timers)

    return specs


def _remembering_views(view_as: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Views are kept by the options that they are of: all of them share those options' values."""
    known: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(view_as)
    def view(options: Any, cls: Any) -> Any:
        views = known.setdefault(options, {})
        if cls not in views:
            views[cls] = view_as(options, cls)
        return views[cls]

    return view
