"""Remembered signatures are the very ones that Beam would find, and pipelines do what they did."""

from __future__ import annotations

import functools
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import core

from pipeline.beam.startup import _remembering, remember_signatures

pytestmark = pytest.mark.tensorflow


class Adder(beam.DoFn):
    def process(self, element: int, amount: int = 1, window: Any = beam.DoFn.WindowParam) -> Any:
        yield element + amount


def plain(a: int, b: int = 2, *rest: int, c: int = 3) -> None: ...


@pytest.mark.parametrize(
    "function", [plain, Adder().process, Adder.process, Adder().setup, functools.partial(plain, 1), len, str.upper]
)
def test_the_answer_is_beams_own(function: Any) -> None:
    inspect_arguments = getattr(core.get_function_args_defaults, "__wrapped__", core.get_function_args_defaults)
    remembering = _remembering(inspect_arguments)
    for _ in range(2):
        assert remembering(function) == inspect_arguments(function)


def test_each_function_is_inspected_once_and_answers_are_copies() -> None:
    asked: list[Any] = []

    def inspect_arguments(function: Any) -> tuple[list[str], list[Any]]:
        asked.append(function)
        return ["element"], [1]

    remembering = _remembering(inspect_arguments)
    remembering(Adder().process)[0].append("spoilt")
    assert remembering(Adder().process) == (["element"], [1])
    assert len(asked) == 1


def test_bound_and_unbound_are_told_apart() -> None:
    remember_signatures()
    remember_signatures()
    assert core.get_function_args_defaults(Adder().process)[0] == ["element", "amount", "window"]
    assert core.get_function_args_defaults(Adder.process)[0] == ["self", "element", "amount", "window"]


def test_a_pipeline_still_works() -> None:
    remember_signatures()
    with beam.Pipeline() as pipeline:
        added = pipeline | beam.Create([1, 2]) | beam.ParDo(Adder(), 5)
        assert_that(added | beam.Map(lambda x, y=1: x * y), equal_to([6, 7]))
