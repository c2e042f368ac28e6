"""Cached inspections equal Beam's, and pipelines still work."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io import filesystems
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import core, userstate

from compat.apache_beam import (
    _PATCHES,
    _importing_client,
    _remembering,
    _remembering_specs,
    _remembering_views,
    _sampling_often,
    _without_import,
    apply_patches,
)

pytestmark = pytest.mark.tensorflow


class Adder(beam.DoFn):
    def process(self, element: int, amount: int = 1, window: Any = beam.DoFn.WindowParam) -> Any:
        yield element + amount


class Summer(beam.DoFn):
    """Has a state and a timer."""

    SUM = userstate.CombiningValueStateSpec("sum", sum)
    END = userstate.TimerSpec("end", beam.TimeDomain.WATERMARK)
    sum_, end_ = beam.DoFn.StateParam(SUM), beam.DoFn.TimerParam(END)

    def process(self, element: int, total: Any = sum_, end: Any = end_) -> None: ...


class Equal(beam.DoFn):
    """Cannot be a key, because it equals other objects and has no hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)


def plain(a: int, b: int = 2, *rest: int, c: int = 3) -> None: ...


@pytest.mark.parametrize(
    "function", [plain, Adder().process, Adder.process, Adder().setup, functools.partial(plain, 1), len, str.upper]
)
def test_result_equals_beams(function: Any) -> None:
    inspect_arguments = getattr(core.get_function_args_defaults, "__wrapped__", core.get_function_args_defaults)
    remembering = _remembering(inspect_arguments)
    for _ in range(2):
        assert remembering(function) == inspect_arguments(function)


def test_function_is_inspected_once() -> None:
    inspected: list[Any] = []

    def inspect_arguments(function: Any) -> tuple[list[str], list[Any]]:
        inspected.append(function)
        return ["element"], [1]

    remembering = _remembering(inspect_arguments)
    remembering(Adder().process)[0].append("spoilt")
    assert remembering(Adder().process) == (["element"], [1])
    assert len(inspected) == 1


def test_bound_and_unbound_methods_differ() -> None:
    apply_patches()
    apply_patches()
    assert core.get_function_args_defaults(Adder().process)[0] == ["element", "amount", "window"]
    assert core.get_function_args_defaults(Adder.process)[0] == ["self", "element", "amount", "window"]


@pytest.mark.parametrize("dofn", [Adder(), Summer(), Equal()])
def test_dofn_state_equals_beams(dofn: beam.DoFn) -> None:
    inspect_dofn = getattr(userstate.get_dofn_specs, "__wrapped__", userstate.get_dofn_specs)
    remembering = _remembering_specs(inspect_dofn)
    for _ in range(2):
        states, timers = remembering(dofn)
        assert (states, timers) == inspect_dofn(dofn)
        states.add("spoilt")


def test_view_is_cached_and_shares_values() -> None:
    made: list[type] = []
    view_as = getattr(PipelineOptions.view_as, "__wrapped__", PipelineOptions.view_as)

    def counting(options: PipelineOptions, cls: type) -> Any:
        made.append(cls)
        return view_as(options, cls)

    remembering = _remembering_views(counting)
    options, others = PipelineOptions(["--streaming"]), PipelineOptions(["--no_streaming"])
    assert remembering(options, StandardOptions).streaming is True
    assert remembering(others, StandardOptions).streaming is False
    remembering(options, StandardOptions).streaming = False
    remembering(options, SetupOptions).save_main_session = True
    assert view_as(options, StandardOptions).streaming is False
    assert view_as(remembering(options, StandardOptions), SetupOptions).save_main_session is True
    assert made == [StandardOptions, StandardOptions, SetupOptions]


def test_sampler_has_a_short_period_unless_a_caller_gives_one() -> None:
    periods: list[int] = []

    def init(sampler: object, prefix: str, counters: object, sampling_period_ms: int = 200) -> None:
        periods.append(sampling_period_ms)

    _sampling_often(init)(object(), "step", object())
    _sampling_often(init)(object(), "step", object(), sampling_period_ms=50)
    _sampling_often(init)(object(), "step", object(), 40)
    assert periods == [1, 50, 40]


@pytest.mark.parametrize(("imported", "asked", "answer"), [(False, 0, False), (True, 1, True)])
def test_only_an_imported_ipython_is_asked(
    imported: bool, asked: int, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def is_in_ipython() -> bool:
        calls.append("asked")
        return True

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    if imported:
        monkeypatch.setitem(sys.modules, "IPython", sys)
    assert _without_import(is_in_ipython)() is answer
    assert len(calls) == asked


def test_pipeline_still_works() -> None:
    apply_patches()
    with beam.Pipeline() as pipeline:
        added = pipeline | beam.Create([1, 2]) | beam.ParDo(Adder(), 5)
        assert_that(added | beam.Map(lambda x, y=1: x * y), equal_to([6, 7]))


def _owner(place: str) -> Any:
    module, _, name = place.partition(":")
    owner = importlib.import_module(module)
    return getattr(owner, name) if name else owner


@pytest.mark.parametrize(("place", "name"), [patch[:2] for patch in _PATCHES])
def test_locked_beam_has_patched_names(place: str, name: str) -> None:
    original = getattr(_owner(place), name)
    assert inspect.isfunction(getattr(original, "__wrapped__", original))


@pytest.mark.parametrize(("place", "name"), [patch[:2] for patch in _PATCHES])
def test_missing_function_is_skipped(place: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for patched, function, _ in _PATCHES:
        owner = _owner(patched)
        original = getattr(owner, function)
        monkeypatch.setattr(owner, function, getattr(original, "__wrapped__", original))
    monkeypatch.delattr(_owner(place), name)
    apply_patches()
    assert name not in vars(_owner(place))
    others = [(patched, function) for patched, function, _ in _PATCHES if (patched, function) != (place, name)]
    assert all(hasattr(getattr(_owner(patched), function), "__wrapped__") for patched, function in others)


def test_client_of_google_is_imported_for_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr("compat.apache_beam.importlib.import_module", imported.append)
    get = _importing_client(staticmethod(lambda path: path.upper())).__func__
    assert get("/tmp/x") == "/TMP/X"
    assert not imported
    assert get("gs://bucket/x") == "GS://BUCKET/X"
    assert imported == ["apache_beam.io.gcp.gcsfilesystem"]


def test_file_systems_find_stores_of_google() -> None:
    apply_patches()
    assert type(filesystems.FileSystems.get_filesystem("gs://bucket/x")).__name__ == "GCSFileSystem"
    assert type(filesystems.FileSystems.get_filesystem("/tmp/x")).__name__ == "LocalFileSystem"
