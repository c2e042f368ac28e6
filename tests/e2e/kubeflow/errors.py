"""The errors of the Kubeflow emulator.

PackageError: the package is invalid or not supported, so no result of a run would be reliable.
    NotSubstituted: KFP would leave a placeholder as text.
    Unsupported: a field or form that the emulator does not support. It is never ignored.
DriverError: KFP's driver would fail the task. It ends as FAILED with no attempt.
RunParameterError: KFP's API server would refuse the parameters of the run.
"""

from __future__ import annotations


class PackageError(Exception):
    """The package is invalid, or has features that are not emulated."""


class NotSubstituted(PackageError):
    """KFP would leave a placeholder as text.

    Args:
      task: the task, or another owner of the text.
      place: the place of the text, such as args[3].
      text: the placeholder, from its opening braces on.
      why: the rule that it breaks.
    """

    def __init__(self, task: str, place: str, text: str, why: str) -> None:
        super().__init__(f"{task}: {place}: {text!r} is not substituted: {why}")
        self.task, self.place, self.text = task, place, text


class Unsupported(PackageError):
    """A field or form that the emulator does not support."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}: not emulated")


class DriverError(Exception):
    """KFP's driver would fail, and the task would fail without an attempt."""


class RunParameterError(Exception):
    """KFP's API server would refuse the parameters of the run."""
