"""Buffers of bodies hold what was appended, and large ones leave the process when they are dropped."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.buffers import SMALL_BYTES, Buffer

_SIZES = st.lists(st.sampled_from([0, 1, 1000, SMALL_BYTES - 1, SMALL_BYTES, 3 * SMALL_BYTES]), max_size=6)


@given(sizes=_SIZES)
def test_content_is_what_was_appended(sizes: list[int]) -> None:
    pieces = [bytes([number % 256]) * size for number, size in enumerate(sizes, 1)]
    buffer = Buffer(max(sum(sizes), 1))
    for piece in pieces:
        buffer.append(piece)
    assert len(buffer) == sum(sizes)
    assert bytes(buffer.content()) == b"".join(pieces)
    assert isinstance(buffer.content(), memoryview) == (sum(sizes) > SMALL_BYTES)


def test_no_memory_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers it with RESOURCE_EXHAUSTED. An OSError would be an internal error."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("serving.model_server.buffers.mmap.mmap", refuse)
    with pytest.raises(MemoryError, match="Cannot allocate"):
        Buffer(1 << 30).append(bytes(SMALL_BYTES + 1))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_returned_in_any_order() -> None:
    """Buffers that grow by turns, half of which are dropped: the heap would keep gaps."""
    piece = b"x" * (64 << 10)
    size = 4 << 20
    for _ in range(3):
        buffers = [Buffer(size) for _ in range(32)]
        for _ in range(size // len(piece)):
            for buffer in buffers:
                buffer.append(piece)
        full = _resident()
        del buffer, buffers[::2]
        assert full - _resident() > 15 * size
        buffers.clear()
        assert full - _resident() > 31 * size


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
