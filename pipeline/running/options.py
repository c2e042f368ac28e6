"""Options of a single run that are not in the pipeline file."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of one run."""

    accept_reason: str | None = None
    """The reason to overrule the data gate once, or None."""
    until: str | None = None
    """The last node to run, or None for the whole graph."""
    owns_process: bool = False
    """Whether the process serves this run only, so that a signal may end it whatever a library does meanwhile."""
    quiet: bool = False
    """Whether the terminal shows warnings only."""
