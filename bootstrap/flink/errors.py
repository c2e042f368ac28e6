"""Errors of `make flink-up`.

FlinkError
├── Impossible       a program is missing, or a port is in use
└── StepFailed       a download or a process failed
"""

from __future__ import annotations


class FlinkError(Exception):
    """The cluster cannot run. The message has the reason and a solution."""

    exit_code = 1


class Impossible(FlinkError):
    """A program is missing, or a port is in use."""

    exit_code = 2


class StepFailed(FlinkError):
    """A download or a process failed."""
