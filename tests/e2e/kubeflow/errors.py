"""What the stand-in for Kubeflow raises.

PackageError: the package is wrong, or not what the stand-in knows; no result of a run could be believed.
    NotSubstituted: a placeholder at a place where KFP leaves it as text.
    Unsupported: a field or a form that the stand-in does not emulate. It is never ignored.
DriverError: KFP's driver would fail the task. It ends as FAILED with no attempt.
RunParameterError: KFP's API server would refuse the parameters of the run.
"""

from __future__ import annotations


class PackageError(Exception):
    """The package is wrong, or holds what the stand-in does not emulate."""


class NotSubstituted(PackageError):
    """KFP would leave a placeholder as text.

    Args:
      task: the task, or what else the text belongs to.
      place: the place of the text, such as args[3].
      text: the placeholder, from its opening braces on.
      why: the rule that it breaks.
    """

    def __init__(self, task: str, place: str, text: str, why: str) -> None:
        super().__init__(f"{task}: {place}: {text!r} is not substituted: {why}")
        self.task, self.place, self.text = task, place, text


class Unsupported(PackageError):
    """A field or form that the stand-in does not emulate."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}: not emulated")


class DriverError(Exception):
    """KFP's driver would end with an error, and the task would fail without an attempt."""


class RunParameterError(Exception):
    """KFP's API server would refuse the run for its parameters."""
