"""What `make flink-up` raises.

FlinkError
├── Impossible       this machine lacks what it takes, or a port is taken
└── StepFailed       a download or a process did not do what it should
"""

from __future__ import annotations


class FlinkError(Exception):
    """The cluster cannot be had; the message says why and what to do."""

    exit_code = 1


class Impossible(FlinkError):
    """This machine lacks what it takes, or a port is taken."""

    exit_code = 2


class StepFailed(FlinkError):
    """A download or a process did not do what it should."""
