"""Who may call: bearer tokens for REST and gRPC, and the certificate of REST."""

from __future__ import annotations

import hmac
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc

from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.health import SERVICE as HEALTH

log = logging.getLogger("kindred.model_server")
_SCHEME = b"bearer "


class Tokens:
    """The tokens of a file, one a line. The file is read again when it changes.

    With two lines, old and new token are valid, so that clients can change one after the other.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Args:
          path: the file. Empty lines do not count.

        Raises:
          Fault: the file cannot be read, or has no token.
        """
        self._path = path
        self._lock = threading.Lock()
        self._state = self._seen()
        self._tokens = self._read()

    def check(self, authorization: bytes) -> None:
        """Accepts a call with a valid token.

        Args:
          authorization: the value of the header, `Bearer TOKEN`.

        Raises:
          Fault: UNAUTHENTICATED, because there is no valid token.
        """
        self._reread()
        scheme, given = authorization[: len(_SCHEME)].lower(), authorization[len(_SCHEME) :].strip()
        is_valid = False
        for token in self._tokens:  # all of them, so that the time does not depend on which one is given
            is_valid |= hmac.compare_digest(token, given)
        if scheme != _SCHEME or not is_valid:
            raise Fault(Code.UNAUTHENTICATED, "send a valid token in the header `Authorization: Bearer TOKEN`")

    def _seen(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _reread(self) -> None:
        """Reads a changed file. The tokens stay as they are while it cannot be read."""
        with self._lock:
            state = self._seen()
            if state == self._state:
                return
            self._state = state
            try:
                self._tokens = self._read()
                log.info("Read --auth_token_file again")
            except Fault as fault:
                log.error("%s. The tokens read before stay valid", fault.message)

    def _read(self) -> list[bytes]:
        try:
            tokens = [line.strip() for line in self._path.read_bytes().splitlines() if line.strip()]
        except OSError as error:
            raise invalid(f"--auth_token_file {self._path}: {error.strerror}") from None
        if not tokens:
            raise invalid(f"--auth_token_file {self._path}: has no token. Write one in a line")
        return tokens


def token_of(headers: Iterable[tuple[Any, Any]]) -> bytes:
    """Returns the value of the header `authorization`, or nothing if there is none, or more than one.

    A proxy in front may check another of several than this server.

    Args:
      headers: names in lower case and values, as bytes or text: those of REST, or the metadata of a gRPC call.
    """
    values = [value for name, value in headers if name in ("authorization", b"authorization")]
    if len(values) != 1:
        return b""
    return values[0] if isinstance(values[0], bytes) else str(values[0]).encode("utf-8", "surrogateescape")


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses gRPC calls without a valid token, before their message is read. Health checks need none."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Returns the handler of a call, or one that refuses it."""
        if handler_call_details.method.startswith(f"/{HEALTH}/"):
            return continuation(handler_call_details)
        try:
            self._tokens.check(token_of(handler_call_details.invocation_metadata))
        except Fault as fault:
            message = fault.message
            # A handler of a stream, because that of a single message runs only when the message is here.
            return grpc.stream_unary_rpc_method_handler(
                lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, message)
            )
        return continuation(handler_call_details)


def check_certificate(certificate: str, key: str) -> None:
    """Refuses a certificate and a key that cannot be used together.

    Args:
      certificate: the PEM file of the certificate and its chain.
      key: the PEM file of its private key, without a password.

    Raises:
      Fault: a file cannot be read, or the key is not that of the certificate.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:
        names = f"--rest_ssl_cert_file {certificate}, --rest_ssl_key_file {key}"
        raise invalid(f"{names}: not a PEM certificate and its key without a password: {error.strerror}") from None
