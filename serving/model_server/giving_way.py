"""Which request gives way to a new one when the server is at a limit: one whose message does not arrive.

A request without its whole message occupies a place and does no work. So clients that send slowly, or not at all, could
keep all others out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

# A message that arrived at the least rate within so many seconds does not give way to those of the same client.
PATIENCE_SECONDS = 1.0

Key = TypeVar("Key")


class Waiting(NamedTuple, Generic[Key]):
    """A request whose message is not complete.

    Attributes:
      key: the request.
      peer: the address of its client.
      stalled: the seconds since its message last arrived at the least rate.
    """

    key: Key
    peer: str
    stalled: float


def to_give_way(waiting: Sequence[Waiting[Key]], peer: str) -> Key | None:
    """Returns the request that gives way to a new one, or None.

    If one client has more than twice as many as the new one will have, it loses its oldest. Otherwise the oldest that
    has stalled gives way.

    Args:
      waiting: the requests whose message is not complete, the oldest first.
      peer: the address of the new client.
    """
    counts = Counter(one.peer for one in waiting)
    most = max(counts.values(), default=0)
    if most > 2 * (counts[peer] + 1):
        return next(one.key for one in waiting if counts[one.peer] == most)
    return next((one.key for one in waiting if one.stalled > PATIENCE_SECONDS), None)
