"""How this process treats memory that was freed."""

from __future__ import annotations

import ctypes
import sys

# malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

_LARGEST_MMAP_THRESHOLD = 32 << 20  # what glibc takes at most, on 64 bits
_KEPT = 512 << 20  # more than the buffers of a step come to
_ASKED_AT_ONCE = 64 << 20


def keep_freed_memory() -> bool:
    """Has glibc keep the buffers of one step for the next, up to half a gigabyte; says whether it does.

    A step of training makes and frees some twenty buffers of a few megabytes. glibc gives such memory back to the
    system at once, and the system clears each page anew when it is asked for again: half of the time of a training
    went there. Least squares, whose threads hold arrays for longer, is slowed down by it and does without. Elsewhere
    (macOS, musl) nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # The first one to be set ends glibc's own adjusting of all of them.
    settings = {_M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _M_TRIM_THRESHOLD: _KEPT, _M_TOP_PAD: _ASKED_AT_ONCE}
    accepted = [mallopt(name, value) for name, value in settings.items()]
    return 0 not in accepted
