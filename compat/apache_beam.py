"""Apache Beam: imported without optional libraries, with cached inspections of functions, and without idle waits.

Versions: apache-beam 2.77. Other versions are imported without changes. If a patched function is gone, Beam uses its
own code, which is slower and has the same results.

Reason: Beam tries to import pandas and the clients of BigQuery and of object stores, and works without them. The client
of Google's store is imported for the first path that needs it. TensorFlow reads no other store. Beam also inspects all
methods of a DoFn whenever it builds, translates, validates or starts a stage, and builds a command-line parser whenever
it reads an option. One Transform has tens of thousands of inspections and a thousand parsers. Their results never
change.

It imports IPython to ask whether it runs in a notebook. At the end of each bundle, it waits until a thread that samples
the time of its steps wakes up. That thread sleeps up to 0.2 s.

Upstream: https://github.com/apache/beam/pull/9925, "Memoize expensive introspection functions", was never merged.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from compat.imports import is_version, without

_GOOGLE_STORAGE = "apache_beam.io.gcp.gcsfilesystem"
_OTHER_STORES = ("aws.s3filesystem", "azure.blobstoragefilesystem", "hadoopfilesystem")
UNNEEDED = (
    "pandas", "pymongo", "bson", "apache_beam.io.gcp.bigquery", _GOOGLE_STORAGE,
    *(f"apache_beam.io.{name}" for name in _OTHER_STORES),
)  # fmt: skip
TESTED = "2.77."

_SAMPLING_MS = 1

_Arguments = tuple[list[str], list[Any]]
_Specs = tuple[set[Any], set[Any]]


def import_quickly(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `apache_beam`."""
    if not is_version("apache-beam", TESTED):
        return execute()
    with without(*UNNEEDED):
        execute()
    return apply_patches()


def apply_patches() -> None:
    """Makes Beam inspect each function, each DoFn and each view of options once per process, and not wait. Idempotent.

    Beam's thread of samples wakes up every millisecond. IPython is not imported.
    """
    for place, name, remembering in _PATCHES:
        # By name, because importing this module must not import Beam.
        owner: Any = importlib.import_module(place.partition(":")[0])
        owner = getattr(owner, place.partition(":")[2]) if ":" in place else owner
        original = vars(owner).get(name)
        if original is not None and not hasattr(getattr(original, "__func__", original), "__wrapped__"):
            setattr(owner, name, remembering(original))


def _remembering(inspect_arguments: Callable[[Any], _Arguments]) -> Callable[[Any], _Arguments]:
    """Caches results by function. A bound method uses its function as key."""
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
    """Caches results by the identity of a DoFn."""
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
    """Caches views by options. A view shares the values of its options."""
    known: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(view_as)
    def view(options: Any, cls: Any) -> Any:
        views = known.setdefault(options, {})
        if cls not in views:
            views[cls] = view_as(options, cls)
        return views[cls]

    return view


def _sampling_often(init: Callable[..., None]) -> Callable[..., None]:
    """Gives the sampler of a bundle a short period, because the end of the bundle waits for the next sample."""

    @functools.wraps(init)
    def short(sampler: Any, prefix: Any, counters: Any, sampling_period_ms: int = _SAMPLING_MS) -> None:
        init(sampler, prefix, counters, sampling_period_ms)

    return short


def _without_import(is_in_ipython: Callable[[], bool]) -> Callable[[], bool]:
    """Asks IPython only if something else has imported it. A process that runs in IPython has."""

    @functools.wraps(is_in_ipython)
    def answer() -> bool:
        return "IPython" in sys.modules and is_in_ipython()

    return answer


def _importing_client(get_filesystem: Any) -> staticmethod[[str], Any]:
    """Imports the client of Google's store for a path of that store."""
    find: Callable[[str], Any] = getattr(get_filesystem, "__func__", get_filesystem)

    @functools.wraps(find)
    def found(path: str) -> Any:
        if path.startswith("gs://"):
            importlib.import_module(_GOOGLE_STORAGE)
        return find(path)

    return staticmethod(found)


_PATCHES: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("apache_beam.transforms.core", "get_function_args_defaults", _remembering),
    ("apache_beam.transforms.userstate", "get_dofn_specs", _remembering_specs),
    ("apache_beam.options.pipeline_options:PipelineOptions", "view_as", _remembering_views),
    ("apache_beam.runners.worker.statesampler:StateSampler", "__init__", _sampling_often),
    ("apache_beam.io.filesystems:FileSystems", "get_filesystem", _importing_client),
    ("apache_beam.utils.interactive_utils", "is_in_ipython", _without_import),
    ("apache_beam.pipeline", "is_in_ipython", _without_import),
)
