"""Work on several threads within a Beam worker: all outputs in order, and no lost exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from components.threads import Threaded, in_process, threads_of
from pipeline.beam import profiles
from pipeline.config.sections.beam import Beam

IN_MEMORY = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


def _bundle(threaded: Threaded, elements: list[int]) -> list[int]:
    threaded.start_bundle()
    for element in elements:
        assert threaded.process(element) is None
    return [output.value for output in threaded.finish_bundle()]


def test_outputs_have_the_order_of_elements() -> None:
    def work(element: int) -> Iterator[int]:
        time.sleep(0.02 / (1 + element))  # later elements are done first
        yield element
        yield -element

    assert _bundle(Threaded(work, 4), [0, 1, 2, 3]) == [0, 0, 1, -1, 2, -2, 3, -3]


def test_several_elements_are_worked_on_at_once() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(element: int) -> list[int]:
        together.wait()
        return [threading.get_ident()]

    assert len(set(_bundle(Threaded(work, 3), [1, 2, 3]))) == 3


def test_an_exception_of_one_element_is_raised() -> None:
    done: list[int] = []
    released = threading.Event()

    def work(element: int) -> list[int]:
        if element == 1:
            released.set()
            raise KeyError("the second")
        released.wait(30)
        done.append(element)
        return [element]

    with pytest.raises(KeyError, match="the second"):
        _bundle(Threaded(work, 2), list(range(3)))
    # The thread of the failed element may take the next one before the first ends.
    assert 0 in done


def test_work_that_has_not_begun_is_given_up() -> None:
    begun: list[int] = []

    def work(element: int) -> list[int]:
        begun.append(element)
        time.sleep(0.01)
        raise KeyError("the first")

    with pytest.raises(KeyError, match="the first"):
        _bundle(Threaded(work, 1), list(range(1000)))
    assert len(begun) < 1000


def test_a_bundle_can_follow_another() -> None:
    threaded = Threaded(lambda element: [element], 2)
    assert [_bundle(threaded, [1, 2]), _bundle(threaded, []), _bundle(threaded, [3])] == [[1, 2], [], [3]]


def test_beam_completes_the_side_input_first(tmp_path: Path) -> None:
    def note(number: int) -> list[str]:
        (tmp_path / f"{number}").touch()
        return [str(number)]

    def count(number: int) -> list[tuple[int, int]]:
        return [(number, len(list(tmp_path.iterdir())))]

    with beam.Pipeline(argv=IN_MEMORY) as pipeline:
        numbers = pipeline | beam.Create(list(range(20)))
        noted = numbers | "Note" >> beam.ParDo(Threaded(note, 3))
        counted = numbers | "Count" >> beam.ParDo(Threaded(count, 3), beam.pvalue.AsIter(noted))
        assert_that(counted, equal_to([(number, 20) for number in range(20)]))


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        (IN_MEMORY, True),
        (["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"], False),
        (["--runner=FlinkRunner"], False),
        (None, False),
    ],
)
def test_all_cores_are_used_in_one_process_alone(
    arguments: list[str] | None, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert in_process(arguments) is alone
    assert threads_of(arguments) == (7 if alone else 1)


def test_local_profile_runs_in_process() -> None:
    assert in_process(profiles.options(Beam()))
    assert not in_process(profiles.options(Beam(direct_workers=2)))
