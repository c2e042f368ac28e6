"""Parses what TensorFlow Serving's parser accepts beyond the JSON standard, and refuses what it refuses.

RapidJSON, with the flags of json_tensor.cc (kParseNanAndInfFlag, kParseStopWhenDoneFlag) and its EncodedInputStream,
skips a byte order mark, accepts `NaN`, `Inf` and `Infinity`, and ignores what follows the document. It refuses numbers
beyond a double and lone surrogates.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from serving.model_server.faults import invalid

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DOUBLE_INTEGERS = range(-(2**63), 2**64)  # RapidJSON reads larger integers as doubles
_LONGEST_INTEGER = 20
# A string, to skip it, or an abbreviated infinity outside strings. An open string also matches, so that the time is
# linear for every input.
_INFINITY = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|\bInf\b', re.DOTALL)


class _NumberTooBig(ValueError):
    pass


def parse(body: bytes | bytearray, problem: str) -> Any:
    """Parses a document that strict JSON refuses.

    Args:
      body: the document.
      problem: why strict JSON refuses it.

    Returns:
      The document as Python objects.

    Raises:
      Fault: TensorFlow Serving would refuse the document, too.
    """
    try:
        text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8").lstrip()
        if "Inf" in text:
            text = _INFINITY.sub(lambda match: "Infinity" if match[0] == "Inf" else match[0], text)
        document, _ = _DECODER.raw_decode(text)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()  # fails for a lone surrogate
    except _NumberTooBig as error:
        raise invalid(f"JSON Parse error: {error}") from None
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    except RecursionError:
        raise invalid("JSON Parse error: the lists and objects are nested too deeply") from None
    except ValueError:
        raise invalid(f"JSON Parse error: {problem}") from None
    return document


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NumberTooBig("Number too big to be stored in double.")
    return value


def _integer(text: str) -> int | float:
    if len(text) <= _LONGEST_INTEGER and int(text) in _DOUBLE_INTEGERS:
        return int(text)
    return _float(text)


_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_integer)
