"""Parameter values in the form of KFP, and their texts.

KFP stores every parameter as google.protobuf.Value, that is, as JSON. There are no integers, only doubles. A Value is
None, a bool, a float, a str, a list or a dict here. The rules are the same in 2.15.0 and 2.16.1.
"""

from __future__ import annotations

import decimal
import json
import math
import re
from typing import Any

Value = Any

TYPES = ("STRING", "BOOLEAN", "NUMBER_INTEGER", "NUMBER_DOUBLE", "LIST", "STRUCT")
_KINDS = {
    "STRING": str,
    "BOOLEAN": bool,
    "NUMBER_INTEGER": float,
    "NUMBER_DOUBLE": float,
    "LIST": list,
    "STRUCT": dict,
}
# Go's strconv.ParseBool.
_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_BOOLEANS |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)
_WHITE_SPACE = " \t\n\v\f\r\x85\xa0"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HTML = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def value_of(found: Any) -> Value:
    """Converts a value of YAML or JSON to the form of protobuf, in which a whole number is a double."""
    if isinstance(found, bool) or found is None or isinstance(found, str):
        return found
    if isinstance(found, int | float):
        if not math.isfinite(found):
            raise ValueError(f"{found}: JSON has no such number")
        return float(found)
    if isinstance(found, list):
        return [value_of(item) for item in found]
    if isinstance(found, dict) and all(isinstance(key, str) for key in found):
        return {key: value_of(item) for key, item in found.items()}
    raise ValueError(f"{found!r}: a {type(found).__name__} is no value of JSON")


def is_of_type(value: Value, kind: str) -> bool:
    """Returns whether a parameter of type `kind` accepts `value` without conversion.

    KFP accepts 2.5 as a NUMBER_INTEGER: driver/resolve.go (handleParamTypeValidationAndConversion) checks only the kind
    of protobuf's value, as does apiserver/template/v2_template.go (validatePipelineJobInputs).
    """
    expected = _KINDS[kind]
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def kind_name(value: Value) -> str:
    """Returns the name of the kind of `value` in messages of the driver."""
    names = {bool: "bool", float: "number", str: "string", list: "list", dict: "struct"}
    return "null" if value is None else names[type(value)]


def text_of(value: Value) -> str:
    """Returns the text of a value in command and args, and for a STRING that accepts another type.

    component/launcher_v2.go (getPlaceholders) and metadata/converter.go (PbValueToText) format numbers by
    strconv.FormatFloat(v, 'f', -1, 64), that is, without an exponent. They format lists and structs by json.Marshal.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(decimal.Decimal(repr(value)), "f").removesuffix(".0")
    return _json(value)


def value_from_text(text: str, kind: str) -> Value:
    """Returns the value of an output parameter that a task wrote as `text`.

    metadata/converter.go (TextToPbValue). A STRING is the whole text, including a line break at its end.

    Raises:
      ValueError: the text is not a value of type `kind`.
    """
    if kind == "STRING":
        return text
    trimmed = text.strip(_WHITE_SPACE)
    if kind == "NUMBER_INTEGER" and _INTEGER.fullmatch(trimmed) and -(2**63) <= int(trimmed) < 2**63:
        return float(int(trimmed))
    if kind == "NUMBER_DOUBLE" and _FLOAT.fullmatch(trimmed) and math.isfinite(float(trimmed)):
        return float(trimmed)
    if kind == "BOOLEAN" and trimmed in _BOOLEANS:
        return _BOOLEANS[trimmed]
    if kind in ("LIST", "STRUCT") and is_of_type(value := _from_json(text), kind):
        return value
    raise ValueError(f'TextToPbValue(text={json.dumps(text)}, type="{kind}") failed')


def _from_json(text: str) -> Value:
    """Returns the value in a JSON text, or None if the text is not JSON."""
    try:
        return value_of(json.loads(text, parse_constant=refuse_constant))
    except ValueError:
        return None


def refuse_constant(name: str) -> None:
    """Refuses NaN and Infinity, which Python's `json.loads` accepts."""
    raise ValueError(f"{name}: JSON has no such number")


def _json(value: Value) -> str:
    """Formats a value like Go's json.Marshal of a structpb value: sorted keys, no spaces, escaped HTML characters."""
    if isinstance(value, list):
        return "[" + ",".join(_json(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(key)}:{_json(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, float):
        return _json_number(value)
    return json.dumps(value, ensure_ascii=False).translate(_HTML)


def _json_number(value: float) -> str:
    """Formats like Go, with an exponent below 1e-6 and from 1e21 on, without a zero before a single digit."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return text_of(value)
    return re.sub(r"e-0(\d)$", r"e-\1", repr(value).replace(".0e", "e"))
