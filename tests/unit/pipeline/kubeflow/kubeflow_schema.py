"""The published schema of Kubeflow's API v2beta1.

kfp-server-api generates its models from Kubeflow's OpenAPI file. Their names, types and enumerations are the schema.
"""

from __future__ import annotations

import re
from typing import Any

import kfp_server_api as api

_PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str}


class SchemaError(AssertionError):
    """The published schema does not allow a message."""


def check(message: Any, kind: str, path: str = "") -> None:
    """Checks `message` against the schema of `kind`.

    Raises:
      SchemaError: the schema does not know a key or a value.
    """
    if kind == "object":
        return
    if found := re.fullmatch(r"list\[(.*)\]", kind):
        _demand(isinstance(message, list), path, kind, message)
        for element in message:
            check(element, found[1], f"{path}[]")
    elif found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        _demand(isinstance(message, dict), path, kind, message)
        for key, value in message.items():
            check(value, found[1], f"{path}.{key}")
    elif kind in _PRIMITIVES:
        _demand(isinstance(message, _PRIMITIVES[kind]), path, kind, message)
    else:
        model = getattr(api, kind)
        if hasattr(model, "allowable_values"):
            _demand(message in model.allowable_values, path, kind, message)
            return
        keys = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        _demand(isinstance(message, dict) and message.keys() <= keys.keys(), path, kind, message)
        for key, value in message.items():
            check(value, keys[key], f"{path}.{key}")


def _demand(holds: bool, path: str, kind: str, message: Any) -> None:
    if not holds:
        raise SchemaError(f"{path}: not a {kind}: {message!r}")
