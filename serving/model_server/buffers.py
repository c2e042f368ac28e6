"""Memory for request bodies, which the system gets back when a body is no longer needed.

A large body is collected in a separate mapping. On the heap, bodies that grow at the same time would be copied, and
would leave gaps that stay with the process.
"""

from __future__ import annotations

import mmap

SMALL_BYTES = 256 << 10
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Buffer:
    """Collects the pieces of a body. The pages of a large one use memory only once they are filled."""

    def __init__(self, limit: int) -> None:
        """Allocates nothing yet.

        Args:
          limit: maximum size in bytes. The caller must not append more.
        """
        self._limit = limit
        self._small = bytearray()
        self._mapping: mmap.mmap | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, piece: bytes) -> None:
        """Copies a piece to the end.

        Raises:
          MemoryError: the system gives no more memory to this process.
        """
        end = self._size + len(piece)
        if self._mapping is None and end > SMALL_BYTES:
            try:
                self._mapping = mmap.mmap(-1, self._limit, flags=_PRIVATE)
            except OSError as error:
                raise MemoryError(str(error)) from None
            self._mapping[: self._size] = self._small
            self._small = bytearray()
        if self._mapping is None:
            self._small += piece
        else:
            self._mapping[self._size : end] = piece
        self._size = end

    def content(self) -> bytearray | memoryview:
        """Returns what was appended, without a copy. More than SMALL_BYTES are a memoryview."""
        return self._small if self._mapping is None else memoryview(self._mapping)[: self._size]
