"""A client of a published model behind a TensorFlow Serving endpoint.

The REST client uses only the standard library, so a command does not wait for the import of TensorFlow.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from errors import EndpointError
from serving.client import ModelClient

_TIMEOUT = 30.0
_DEFAULT_NAME = "default"
_FORMS = "http://HOST:PORT[/v1/models/NAME], https://..., grpc://HOST:PORT[/NAME] or grpcs://..."
# A token is never an argument of a command, which other users of a machine can read.
TOKEN_VARIABLE = "KINDRED_TOKEN"

Predict = Callable[[str, dict[str, Any]], dict[str, list[Any]]]


class Endpoint(ModelClient):
    """A client of a model behind a TensorFlow Serving endpoint, over REST or gRPC.

    Each call times out after 30 seconds.

    Example:
      ```python
      endpoint = Endpoint("http://localhost:8501/v1/models/word-pairs")
      endpoint.score(b"cat", b"dog").score
      neighbors, known = endpoint.similar("right", b"cat", k=10)
      ```
    """

    def __init__(self, url: str, ca_file: Path | None = None, token_file: Path | None = None) -> None:
        """Parses `url` without connecting to it.

        Args:
          url: `http://HOST:PORT[/v1/models/NAME]`, the same with `https`, `grpc://HOST:PORT[/NAME]`, or the same with
            `grpcs`, which is gRPC with TLS. The name defaults to `default`.
          ca_file: the PEM file of the certificates to trust. Default: those of the system.
          token_file: the file of the bearer token. Default: the environment variable `KINDRED_TOKEN`, if it is set.

        Raises:
          EndpointError: the URL has another form, or a file cannot be used.
        """
        self._predict = _transport(url, ca_file, _token(token_file))

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        """Calls a signature, as described in `ModelClient`.

        Raises:
          EndpointError: the server does not answer, or reports an error.
        """
        return self._predict(signature, inputs)


def _transport(url: str, ca_file: Path | None, token: str | None) -> Predict:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("http", "https") and parts.netloc:
        path = parts.path.rstrip("/") or f"/v1/models/{_DEFAULT_NAME}"
        return _Rest(url, f"{parts.scheme}://{parts.netloc}{path}:predict", ca_file, token)
    if parts.scheme in ("grpc", "grpcs") and parts.netloc:
        trusted = _trusted(ca_file) if parts.scheme == "grpcs" else None
        return _Grpc(url, parts.netloc, parts.path.strip("/") or _DEFAULT_NAME, trusted, token)
    raise EndpointError(f"--endpoint {url}: must have the form {_FORMS}")


def _token(file: Path | None) -> str | None:
    """Returns the token of the file or of the environment. Messages never contain it."""
    where, text = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "")
    if file is not None:
        where, text = f"--token-file {file}", _content(file, "--token-file").decode("latin-1")
    token = text.strip()
    if not (token.isascii() and token.isprintable()) or " " in token or (file is not None and not token):
        raise EndpointError(f"{where}: must be one token of printable ASCII characters without spaces")
    return token or None


def _trusted(ca_file: Path | None) -> bytes:
    """Returns certificates to trust, for gRPC. An empty value stands for those of gRPC."""
    return b"" if ca_file is None else _content(ca_file, "--ca-file")


def _content(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise EndpointError(f"{option} {file}: {error.strerror}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Reports a redirect as an error, because it would send the token to another server."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follows no redirect."""


class _Rest:
    """Calls Predict over REST in the columnar format."""

    def __init__(self, url: str, predict: str, ca_file: Path | None, token: str | None) -> None:
        self._url, self._predict = url, predict
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        try:
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        except OSError as error:
            raise EndpointError(f"--ca-file {ca_file}: not certificates in PEM format ({error.strerror})") from None
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        body = json.dumps({"signature_name": signature, "inputs": {k: _as_json(v) for k, v in inputs.items()}})
        request = urllib.request.Request(self._predict, body.encode(), self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                outputs: dict[str, Any] = json.loads(answer.read())["outputs"]
        except urllib.error.HTTPError as error:
            raise EndpointError(f"--endpoint {self._url}: {_error_message(error)}") from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise EndpointError(f"--endpoint {self._url}: no answer ({reason}). Is the server running?") from None
        except (ValueError, KeyError, TypeError):
            raise EndpointError(f"--endpoint {self._url}: the response is not from a model server") from None
        return {name: _ids(value) if name.endswith("_id") else value for name, value in outputs.items()}


def _as_json(value: Any) -> Any:
    """Encodes ids as base64, because they are bytes and not always valid text."""
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _ids(value: Any) -> Any:
    """Decodes ids from text or from base64."""
    if isinstance(value, list):
        return [_ids(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode("utf-8", "surrogatepass")


def _error_message(error: urllib.error.HTTPError) -> str:
    """Returns the error message of the server, or the reason phrase of the status."""
    try:
        message = str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError):
        message = str(error.reason)
    return f"{message} (status {error.code})"


class _Grpc:
    """Calls Predict over gRPC."""

    def __init__(self, url: str, address: str, name: str, trusted: bytes | None, token: str | None) -> None:
        """Keeps the settings. Without `trusted`, the connection has no TLS."""
        self._url, self._address, self._name = url, address, name
        self._trusted = trusted
        self._metadata = [] if token is None else [("authorization", f"Bearer {token}")]

    def _channel(self) -> Any:
        import grpc

        options = [("grpc.max_receive_message_length", -1)]
        if self._trusted is None:
            return grpc.insecure_channel(self._address, options)
        return grpc.secure_channel(self._address, grpc.ssl_channel_credentials(self._trusted or None), options)

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        import grpc
        import tensorflow as tf  # whose messages are the protocol's
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        for name, value in inputs.items():
            kind = {"k": tf.int32, "probes": tf.int32, "given_score": tf.float32}.get(name, tf.string)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, kind))
        with self._channel() as channel:
            try:
                predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
                answer = predict(request, timeout=_TIMEOUT, metadata=self._metadata)
            except grpc.RpcError as error:
                message = f"{error.details()} ({error.code().name})"
                raise EndpointError(f"--endpoint {self._url}: {message}") from None
        return {name: tf.make_ndarray(proto).tolist() for name, proto in answer.outputs.items()}
