"""Freed memory is kept: a second buffer of the same size causes no new page faults."""

from __future__ import annotations

import ctypes
import resource
import sys
import types

import numpy as np
import pytest

from compat.glibc import keep_freed_memory

_BUFFER = 8 << 20


def _page_faults_of_a_buffer() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(_BUFFER, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is tuned on Linux only")
def test_freed_memory_is_used_again() -> None:
    if not keep_freed_memory():
        pytest.skip("this C library has no mallopt")
    first = _page_faults_of_a_buffer()
    later = [_page_faults_of_a_buffer() for _ in range(5)]
    # A page has at least 4 KiB. A kept buffer causes no page faults.
    assert max(later) < _BUFFER // 4096 // 10, (first, later)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_library_without_mallopt_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_refused_parameter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace(mallopt=lambda name, value: int(name != -2)))
    assert not keep_freed_memory()
