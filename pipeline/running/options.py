"""What a person may say about one run that is not part of the pipeline file."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options of one run."""

    accept_reason: str | None = None
    """Why the gate is overruled, this once; None: it is not."""
    until: str | None = None
    """The node with which the run ends; None: the last of the graph."""
