"""Parses gRPC messages whose parsed form can be much larger than what was sent.

A field of two bytes, such as an empty string, becomes 16 to 56 bytes. So the fields of a large message are counted
before it is parsed.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf.message import DecodeError

from serving.model_server.calls import Call
from serving.model_server.faults import invalid

_SMALL = 4 << 20  # bytes of a message that is parsed without counting
_MOST_FIELDS = 1 << 20  # of a larger message
_HELD = 4  # times the bytes of a typical message
_DEEPEST = 100  # as in protobuf
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def parsed(kind: Any, body: bytes, call: Call) -> Any:
    """Parses a message.

    Args:
      kind: the class of the message.
      body: the bytes on the wire.
      call: counts the memory.

    Raises:
      Fault: the bytes are not such a message, or have too many fields.
    """
    call.hold(len(body) * _HELD)
    try:
        if len(body) > _SMALL and count_fields(body, kind.DESCRIPTOR, _MOST_FIELDS) > _MOST_FIELDS:
            raise invalid(f"the message has more than {_MOST_FIELDS:,} fields and values. Send smaller requests")
        return kind.FromString(body)
    except (DecodeError, IndexError):
        raise invalid(f"the message is not a {kind.DESCRIPTOR.name}") from None


def count_fields(body: bytes, descriptor: Any, limit: int) -> int:
    """Counts the fields of a message and of its messages. Stops above `limit`.

    Args:
      body: the bytes on the wire.
      descriptor: the descriptor of the message.
      limit: the count at which to stop.

    Raises:
      IndexError: the bytes are not a message.
    """
    count, at = 0, 0
    waiting: list[tuple[int, dict[int, Any]]] = []
    end, messages = len(body), _messages(descriptor)
    while count <= limit:
        if at >= end:
            if not waiting:
                break
            end, messages = waiting.pop()
            continue
        count += 1
        tag = body[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(body, at - 1)
        kind = tag & 7
        if kind == _LENGTH:
            size = body[at]
            at += 1
            if size >= 0x80:
                size, at = _varint(body, at - 1)
            child = messages.get(tag >> 3)
            if size and child is not None and len(waiting) < _DEEPEST:
                waiting.append((end, messages))
                end, messages = min(at + size, end), _messages(child)
            else:
                at += size
        elif kind == _VARINT:
            _, at = _varint(body, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:  # groups, which none of the messages has
            raise IndexError(at)
    return count


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Returns a number and the position after it."""
    value = body[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError(at)


@functools.cache
def _messages(descriptor: Any) -> dict[int, Any]:
    """Returns the descriptors of the fields that are messages, by field number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}
