"""Errors of the model server: a canonical status code and a message, the same over REST and gRPC."""

from __future__ import annotations

import enum
import logging
from typing import Any

log = logging.getLogger("kindred.model_server")


class Code(enum.IntEnum):
    """The canonical status codes that gRPC, TensorFlow and TensorFlow Serving share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# The mapping of TensorFlow Serving's HTTP server.
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class Fault(Exception):
    """A request, model or configuration is invalid or cannot be served."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class HttpFault(Fault):
    """A fault for which HTTP has a separate status, unlike gRPC."""

    def __init__(self, code: Code, message: str, status: int) -> None:
        super().__init__(code, message)
        self.status = status


def http_status(fault: Fault) -> int:
    """Returns the HTTP status of a fault."""
    return fault.status if isinstance(fault, HttpFault) else HTTP_STATUS[fault.code]


def invalid(message: str) -> Fault:
    """Returns an INVALID_ARGUMENT fault."""
    return Fault(Code.INVALID_ARGUMENT, message)


def fault_of(error: Exception) -> Fault:
    """Converts `error` to a fault.

    TensorFlow errors keep their code. Unexpected errors become INTERNAL and are logged with their traceback, so code
    that catches every exception to answer its client does not hide a bug.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, MemoryError):
        return Fault(Code.RESOURCE_EXHAUSTED, "the server has not enough memory for this request")
    code: Any = getattr(error, "error_code", None)
    if code is not None and code in Code.__members__.values():
        return Fault(Code(code), str(getattr(error, "message", error)))
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    return Fault(Code.INTERNAL, f"{type(error).__name__}: {error}")
