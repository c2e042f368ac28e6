"""The conditions that the kfp compiler creates from dsl.If with == or != on a text.

driver/dag.go and driver/container.go evaluate triggerPolicy.condition as CEL (expression/expression.go) on the inputs
of the task. This module supports one form and refuses others, because CEL has its own rules for numbers and missing
keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.e2e.kubeflow.errors import DriverError, Unsupported
from tests.e2e.kubeflow.values import Value

_FORM = re.compile(r"inputs\.parameter_values\['([^'\\]+)'\]\s+(==|!=)\s+(?:'([^'\\\n]*)'|\"([^\"\\\n]*)\")")


def check(condition: str, parameters: Mapping[str, Mapping[str, Any]], task: str) -> None:
    """Checks a condition against the parameters of the component of `task`.

    Raises:
      Unsupported: the condition has another form, or does not compare a text.
    """
    name, _, _ = _parts(condition, task)
    if parameters.get(name, {}).get("parameterType") != "STRING":
        raise Unsupported(f"{task}: triggerPolicy.condition", f"{name}, which is no STRING of the task")


def holds(condition: str, inputs: Mapping[str, Value], task: str) -> bool:
    """Returns whether the condition holds for the inputs of `task`.

    Raises:
      DriverError: the input is missing.
    """
    name, sign, text = _parts(condition, task)
    if name not in inputs:
        raise DriverError(f"evaluation error: no such key: {name}")
    return (inputs[name] == text) == (sign == "==")


def _parts(condition: str, task: str) -> tuple[str, str, str]:
    found = _FORM.fullmatch(condition.strip())
    if found is None:
        raise Unsupported(f"{task}: triggerPolicy.condition", condition)
    return found[1], found[2], found[3] if found[3] is not None else found[4]
