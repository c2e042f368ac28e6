"""What training raises when the user's settings or data are at fault.

TrainingError
├── TrainingDiverged    the loss stopped being a finite number
├── TrainingTooLarge    it would not fit in memory
└── PairsTooMany        a solver needs all pairs in memory, and they are on disk
"""

from __future__ import annotations


class TrainingError(Exception):
    """Something that the user can mend; its message says how, and is shown as it stands."""

    exit_code = 1


class TrainingDiverged(TrainingError):
    """The loss stopped being a finite number."""


class TrainingTooLarge(TrainingError):
    """The tables, their optimizer and a batch do not fit in memory."""

    exit_code = 2


class PairsTooMany(TrainingError):
    """There are more pairs than memory may hold, and the solver needs them all."""

    exit_code = 2
