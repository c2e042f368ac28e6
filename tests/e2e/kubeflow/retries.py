"""The number of retries of a failed task, and Argo's waits between them.

argocompiler/container.go (getTaskRetryParametersWithValues, addContainerExecutorTemplate) passes a task's retryPolicy
to Argo's retryStrategy: whole seconds, "0" for missing values, and no retryPolicy of Argo. Argo then retries failed
nodes, but not nodes with an error. The rest is workflow/controller/operator.go (processNodeRetries) of Argo Workflows
3.7.8 (KFP 2.16.1). 3.7.3 in KFP 2.15.0 does the same.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tests.e2e.kubeflow.errors import Unsupported
from tests.e2e.kubeflow.package import only

_DURATION = re.compile(r"([0-9]+)(\.[0-9]+)?s")


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """A task's retryPolicy, in seconds."""

    retries: int = 0
    backoff: int = 0
    factor: int = 0
    window: int = 0

    @staticmethod
    def read(found: Any, task: str) -> RetryPolicy:
        """Reads the policy in a package. Without a policy there are no retries.

        Raises:
          Unsupported: a field or form that Argo would not accept.
        """
        place = f"{task}: retryPolicy"
        if found is None:
            return RetryPolicy()
        only(found, ["maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration"], place)
        factor = found.get("backoffFactor", 0)
        if factor != int(factor):
            # Argo reads it with intstr.Int32 and the node ends with an error.
            raise Unsupported(place, f"backoffFactor {factor}, which is no whole number")
        return RetryPolicy(
            int(found.get("maxRetryCount", 0)),
            _seconds(found.get("backoffDuration", "0s"), place),
            int(factor),
            _seconds(found.get("backoffMaxDuration", "0s"), place),
        )

    def wait_after(self, failed: int, since_first: float) -> float | None:
        """Returns the seconds to wait after `failed` attempts, or None if there are no more attempts.

        Args:
          failed: the number of attempts. All of them failed.
          since_first: the seconds since the first attempt began. There are no retries after the window, which begins
            with the first attempt. Without backoffMaxDuration, the window is empty.
        """
        wait = self.backoff * (self.factor ** (failed - 1) if self.factor > 0 else 1)
        if failed > self.retries or since_first > self.window or since_first + wait > self.window:
            return None
        return float(wait)


def _seconds(text: str, place: str) -> int:
    """Reads protobuf's Duration as JSON. argocompiler passes its whole seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Unsupported(place, f"a duration like {text!r}")
    return int(found[1])
