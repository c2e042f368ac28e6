"""A client of a published model behind a TensorFlow Serving endpoint.

The REST client uses only the standard library, so a command does not wait for the import of TensorFlow.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from errors import EndpointError
from serving.client import ModelClient

_TIMEOUT = 30.0
_DEFAULT_NAME = "default"
_FORMS = "http://HOST:PORT[/v1/models/NAME], https://... or grpc://HOST:PORT[/NAME]"

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

    def __init__(self, url: str) -> None:
        """Parses `url` without connecting to it.

        Args:
          url: `http://HOST:PORT[/v1/models/NAME]`, the same with `https`, or `grpc://HOST:PORT[/NAME]`. The name
            defaults to `default`.

        Raises:
          EndpointError: the URL has another form.
        """
        self._predict = _transport(url)

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        """Calls a signature, as described in `ModelClient`.

        Raises:
          EndpointError: the server does not answer, or reports an error.
        """
        return self._predict(signature, inputs)


def _transport(url: str) -> Predict:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("http", "https") and parts.netloc:
        path = parts.path.rstrip("/") or f"/v1/models/{_DEFAULT_NAME}"
        return _Rest(url, f"{parts.scheme}://{parts.netloc}{path}:predict")
    if parts.scheme == "grpc" and parts.netloc:
        return _Grpc(url, parts.netloc, parts.path.strip("/") or _DEFAULT_NAME)
    raise EndpointError(f"--endpoint {url}: must have the form {_FORMS}")


class _Rest:
    """Calls Predict over REST in the columnar format."""

    def __init__(self, url: str, predict: str) -> None:
        self._url, self._predict = url, predict

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        body = json.dumps({"signature_name": signature, "inputs": {k: _as_json(v) for k, v in inputs.items()}})
        request = urllib.request.Request(
            self._predict, body.encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
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

    def __init__(self, url: str, address: str, name: str) -> None:
        self._url, self._address, self._name = url, address, name

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        import grpc
        import tensorflow as tf  # whose messages are the protocol's
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        for name, value in inputs.items():
            kind = {"k": tf.int32, "probes": tf.int32, "given_score": tf.float32}.get(name, tf.string)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, kind))
        with grpc.insecure_channel(self._address, [("grpc.max_receive_message_length", -1)]) as channel:
            try:
                answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=_TIMEOUT)
            except grpc.RpcError as error:
                message = f"{error.details()} ({error.code().name})"
                raise EndpointError(f"--endpoint {self._url}: {message}") from None
        return {name: tf.make_ndarray(proto).tolist() for name, proto in answer.outputs.items()}
