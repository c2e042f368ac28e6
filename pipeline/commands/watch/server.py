"""What a server reports about a model: the state of a version, and counters of requests."""

from __future__ import annotations

import dataclasses
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 10.0
_REQUESTS = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"


class Unreachable(Exception):
    """The server does not answer, or its answer is not one of a model server."""


@dataclasses.dataclass(frozen=True)
class Counters:
    """Counters since the start of a server.

    Attributes:
      requests: number of requests.
      errors: how many of them were not answered with OK.
      predictions: number of Predict requests with a latency.
      microseconds: their time together.
    """

    requests: float = 0.0
    errors: float = 0.0
    predictions: float = 0.0
    microseconds: float = 0.0

    def since(self, before: Counters) -> Counters:
        """Returns the difference, or all of it if the server started again and its counters with it."""
        if self.requests < before.requests or self.predictions < before.predictions:
            return self
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(before), strict=True)
        return Counters(*(now - earlier for now, earlier in pairs))


class Server:
    """A model server.

    Args:
      endpoint: the URL of its REST port.
      metrics: path of its metrics.
      model: name of the model.
    """

    def __init__(self, endpoint: str, metrics: str, model: str) -> None:
        self._endpoint, self._model = endpoint.rstrip("/"), model
        self._metrics = f"{self._endpoint}/{metrics.lstrip('/')}"

    def state(self, version: int) -> tuple[str, str]:
        """Returns the state of a version, such as AVAILABLE or END, and the error of a version that does not load.

        Raises:
          Unreachable: the server does not answer.
        """
        text = self._get(f"{self._endpoint}/v1/models/{urllib.parse.quote(self._model, safe='')}")
        try:
            entries: list[dict[str, Any]] = json.loads(text)["model_version_status"]
            for entry in entries:
                if entry["version"] == str(version):
                    failed = entry["status"]["error_code"] != "OK"
                    return str(entry["state"]), str(entry["status"]["error_message"]) if failed else ""
        except (ValueError, KeyError, TypeError):
            raise Unreachable(f"{self._endpoint} does not answer like a model server") from None
        return "UNKNOWN", ""

    def counters(self) -> Counters:
        """Returns the counters of the model.

        Raises:
          Unreachable: the server does not answer, or it exports no metrics.
        """
        requests = errors = predictions = microseconds = 0.0
        try:
            for family in text_string_to_metric_families(self._get(self._metrics)):
                for sample in family.samples:
                    if sample.labels.get("model_name") != self._model:
                        continue
                    if sample.name.removesuffix("_total") == _REQUESTS:  # the parser may append it
                        requests += sample.value
                        errors += sample.value if sample.labels.get("status") != "OK" else 0.0
                    elif sample.name in (f"{_LATENCY}_sum", f"{_LATENCY}_count") and _is_predict(sample.labels):
                        predictions += sample.value if sample.name.endswith("_count") else 0.0
                        microseconds += sample.value if sample.name.endswith("_sum") else 0.0
        except (ValueError, KeyError, IndexError):
            raise Unreachable(f"{self._metrics} has no Prometheus metrics") from None
        return Counters(requests, errors, predictions, microseconds)

    def _get(self, url: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS) as reply:
                return str(reply.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404 and "/v1/models/" in url:  # the server does not have the model yet
                return '{"model_version_status": []}'
            raise Unreachable(f"{url}: HTTP status {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}") from None


def _is_predict(labels: dict[str, str]) -> bool:
    return labels.get("API", "").lower() == "predict"
