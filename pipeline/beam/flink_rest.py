"""Queries the REST interface of a Flink cluster."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_SECONDS = 5.0


def overview(url: str) -> dict[str, Any]:
    """Returns `taskmanagers`, `slots-total`, `slots-available` and more.

    Raises:
      OSError: the cluster does not answer.
      ValueError: the server is not Flink.
    """
    answer = _get(url, "/overview")
    if not isinstance(answer, dict) or "slots-total" not in answer:
        raise ValueError("the server is not Flink")
    return answer


def last_error(url: str, job_name: str) -> str:
    """Returns the last exception of the job with that name, or an empty string if none is known."""
    try:
        jobs = [job for job in _get(url, "/jobs/overview")["jobs"] if job["name"] == job_name]
        if not jobs:
            return ""
        exceptions = _get(url, f"/jobs/{jobs[-1]['jid']}/exceptions?maxExceptions=1")
        entries = exceptions.get("exceptionHistory", {}).get("entries", [])
        return str(entries[0]["stacktrace"] if entries else exceptions.get("root-exception") or "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=_SECONDS) as answer:
        return json.load(answer)
