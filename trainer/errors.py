"""What training raises when the user's settings or data are at fault.

TrainingError
└── TrainingDiverged    the loss stopped being a finite number
"""

from __future__ import annotations


class TrainingError(Exception):
    """Something that the user can mend; its message says how, and is shown as it stands."""

    exit_code = 1


class TrainingDiverged(TrainingError):
    """The loss stopped being a finite number."""
