"""glibc: keeps freed memory for the next training step.

Versions: any glibc. Other C libraries and systems are unchanged. Training is slower there, with the same model.

Reason: a training step allocates and frees about twenty buffers of a few megabytes. glibc returns such memory to the
system at once, and the system clears each page of the next buffer. That took half of the training time.

Upstream: https://man7.org/linux/man-pages/man3/mallopt.3.html, which documents the parameters.
"""

from __future__ import annotations

import ctypes
import sys

# malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

_LARGEST_MMAP_THRESHOLD = 32 << 20  # the maximum on 64 bits
_KEPT = 512 << 20  # more than the buffers of a step
_ASKED_AT_ONCE = 64 << 20


def keep_freed_memory() -> bool:
    """Makes glibc keep up to half a gigabyte of freed memory. Returns whether it does.

    Do not call this for least squares. Its threads keep arrays longer, and it becomes slower.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # Setting any parameter turns off glibc's own adjustment of all parameters.
    settings = {_M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _M_TRIM_THRESHOLD: _KEPT, _M_TOP_PAD: _ASKED_AT_ONCE}
    accepted = [mallopt(name, value) for name, value in settings.items()]
    return 0 not in accepted
