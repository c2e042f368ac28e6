"""Lines about what a long node does. A run shows them on its console, and a task of a cluster in its log."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("kindred.progress")
LOGGER.setLevel(logging.INFO)


def show(line: str) -> None:
    """Shows a line."""
    LOGGER.info(line)
