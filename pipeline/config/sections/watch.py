"""Section `publish.watch`: how a published version is watched, and when it is rolled back."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

from pipeline.config.sections.notify import PlainUrl
from sections import Number, PositiveInt, Section, Share, Text
from storage.settings import DataPath

Positive = Annotated[Number, Field(gt=0)]


class WatchSettings(Section):
    """How a version is watched after its publication. A bound that is None is not watched.

    Attributes:
      endpoint: the URL of the server's REST port.
      metrics: path of the server's Prometheus metrics.
      model: name of the model on the server. None means the name of the pipeline.
      minutes: how long the version is watched.
      every_seconds: time between two looks.
      load_seconds: maximum time until the server serves the version.
      min_requests: bounds are compared from this number of requests on.
      max_error_rate: bound of the share of requests that the server did not answer with OK.
      max_latency_ms: bound of the mean latency of Predict requests.
      max_unknown: bound of the share of requested ids that the version does not know. Needs `log`.
      log: the beginning of the paths, or of the URLs, of the request log.
    """

    endpoint: PlainUrl
    metrics: Text = "/monitoring/prometheus/metrics"
    model: Text | None = None
    minutes: Positive = 10.0
    every_seconds: Positive = 10.0
    load_seconds: Positive = 120.0
    min_requests: PositiveInt = 100
    max_error_rate: Share | None = None
    max_latency_ms: Positive | None = None
    max_unknown: Share | None = None
    log: DataPath | None = None

    @pydantic.model_validator(mode="after")
    def _has_bounds(self) -> WatchSettings:
        if self.max_error_rate is None and self.max_latency_ms is None and self.max_unknown is None:
            raise ValueError("needs a bound: max_error_rate, max_latency_ms or max_unknown")
        if (self.max_unknown is None) != (self.log is None):
            raise ValueError("max_unknown and log: need each other, because only the request log has unknown ids")
        return self
