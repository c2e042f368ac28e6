"""What a Flink cluster says of itself over its REST interface."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

_SECONDS = 5.0


def overview(url: str) -> dict[str, Any]:
    """`taskmanagers`, `slots-total`, `slots-available` and more.

    Raises:
      OSError: it does not answer.
      ValueError: what answers is not Flink.
    """
    found = _get(url, "/overview")
    if not isinstance(found, dict) or "slots-total" not in found:
        raise ValueError("what answers there is not Flink")
    return found


def last_error(url: str, job_name: str) -> str:
    """The last exception of the job of that name; empty where there is none or nobody knows."""
    try:
        jobs = [job for job in _get(url, "/jobs/overview")["jobs"] if job["name"] == job_name]
        if not jobs:
            return ""
        said = _get(url, f"/jobs/{jobs[-1]['jid']}/exceptions?maxExceptions=1")
        entries = said.get("exceptionHistory", {}).get("entries", [])
        return str(entries[0]["stacktrace"] if entries else said.get("root-exception") or "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=_SECONDS) as answer:
        return json.load(answer)
