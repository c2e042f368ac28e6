"""Which request gives way, and what the counts are then."""

from __future__ import annotations

import pytest

from serving.model_server import calls, giving_way
from serving.model_server.calls import Call, Calls, Limits
from serving.model_server.faults import Code, Fault
from serving.model_server.giving_way import Waiting, to_give_way

_MOST, _BYTES, _RATE = 3, 1000, 100.0


def chosen(waiting: list[tuple[str, float]], peer: str) -> int | None:
    return to_give_way([Waiting(number, of, stalled) for number, (of, stalled) in enumerate(waiting)], peer)


@pytest.mark.parametrize(
    ("waiting", "peer", "expected"),
    [
        ([], "a", None),
        ([("a", 0.5), ("a", 0.9)], "a", None),
        ([("a", 0.5), ("a", 1.1), ("b", 9.0)], "a", 1),
        ([("b", 0.0), ("a", 0.0), ("a", 0.0), ("a", 0.0)], "c", 1),
        ([("a", 0.0), ("a", 0.0)], "c", None),
        ([("a", 0.0)] * 9, "a", None),
        ([("a", 0.0)] * 4 + [("b", 0.0)], "b", None),
        ([("a", 0.0)] * 5 + [("b", 0.0)], "b", 0),
    ],
)
def test_stalled_or_greedy_gives_way(waiting: list[tuple[str, float]], peer: str, expected: int | None) -> None:
    assert chosen(waiting, peer) == expected


class Clock:
    """The time of the calls."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(calls, "time", clock)
    return clock


@pytest.fixture
def counted() -> Calls:
    return Calls(Limits(max_concurrency=_MOST, max_bytes_in_flight=_BYTES, slow_body_bytes_per_second=_RATE))


def refused(begin: object) -> bool:
    try:
        begin()  # type: ignore[operator]
    except Fault as fault:
        return fault.code is Code.RESOURCE_EXHAUSTED
    return False


def test_body_that_does_not_arrive_gives_way(counted: Calls, clock: Clock) -> None:
    """Each of three clients sends half a body. The one that sends nothing more loses its place, and its bytes."""
    held = [counted.begin("a") for _ in range(_MOST)]
    ended: list[Call] = []
    blocks = [counted.arriving(call, lambda call=call: ended.append(call)) for call in held]
    for call, block in zip(held, blocks, strict=True):
        block.__enter__()
        call.hold(300)
        call.progress(300)
    assert refused(lambda: counted.begin("a")), "all of them make progress"
    for step in range(4):
        clock.now += 0.5
        for call in held[:1] + held[2:]:
            call.progress(60 if step % 2 else 40)
    new = counted.begin("a")
    assert (ended, [call.gave_way for call in held]) == ([held[1]], [False, True, False])
    assert counted.running == _MOST
    new.hold(400)
    assert refused(lambda: held[1].hold(1)), "it holds nothing any more"
    for call, block in zip(held, blocks, strict=True):
        block.__exit__(None, None, None)
        call.close()
    new.close()
    new.close()
    assert counted.running == 0
    last = counted.begin()
    last.hold(_BYTES)
    assert refused(lambda: last.hold(1))


def test_memory_of_stalled_bodies_is_for_others(counted: Calls, clock: Clock) -> None:
    stalled, growing = counted.begin("a"), counted.begin("a")
    with counted.arriving(stalled, lambda: None), counted.arriving(growing, lambda: None):
        stalled.hold(900)
        clock.now += giving_way.PATIENCE_SECONDS * 2
        growing.progress(500)
        growing.hold(500)
        assert stalled.gave_way
        assert refused(lambda: growing.hold(501)), "it does not give way to itself"
    assert counted.running == 0


def test_whole_bodies_do_not_give_way(counted: Calls, clock: Clock) -> None:
    held = [counted.begin("a") for _ in range(_MOST)]
    for call in held:
        with counted.arriving(call, lambda: None):
            pass
    clock.now += 100
    assert refused(lambda: counted.begin("b"))
