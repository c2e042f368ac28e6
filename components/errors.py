"""What a component raises when the user's input, data or model is at fault.

    ComponentError
    ├── InputError      the input cannot be read as the pipeline file describes it
    ├── DataRefused     the input was read, and its content breaks a rule
    └── ModelRefused    the model was trained, and it breaks a rule

Each message is complete: what, which rule, which value, what to do next. It is shown to people as it stands.
"""

from __future__ import annotations


class ComponentError(Exception):
    """Something that the user can mend; its message says how."""

    exit_code = 1


class InputError(ComponentError):
    """The input cannot be read as the pipeline file describes it."""

    exit_code = 2


class DataRefused(ComponentError):
    """The data break a rule of the gate."""

    exit_code = 3


class ModelRefused(ComponentError):
    """The model breaks a rule: it was not blessed, or failed the serving canary."""

    exit_code = 4
