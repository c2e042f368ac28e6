"""Notices of runs and of drift: a signed webhook, a text for Slack, a command. They never change a result."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import http.client
import json
import math
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.data_gate.settings import DRIFT_RULES
from pipeline.config.sections.notify import Event, Notify
from pipeline.records.run_record import RunRecord, Status

TIME_LIMIT = 20.0
"""Seconds that a run waits for all notices together."""

SIGNATURE = "X-Kindred-Signature"
_TRIES = 3
_PAUSE = 1.0
_REQUEST_SECONDS = 5.0
_LONGEST_ERROR = 500
_EVENTS: dict[Status, Event] = {
    "published": "published",
    "data_refused": "refused",
    "model_refused": "refused",
    "failed": "failed",
    "awaiting_approval": "awaiting_approval",
}


class NoticeError(Exception):
    """A notice was not delivered. The text has no secret."""


@dataclasses.dataclass(frozen=True)
class Notice:
    """A finished run or a drift, as notices describe it.

    Attributes:
      event: for `notify.on`.
      content: the JSON object.
      result: what happened, for people.
    """

    event: Event
    content: dict[str, Any]
    result: str

    @classmethod
    def of(cls, record: RunRecord, exit_code: int) -> Notice | None:
        """Returns the notice of a run, or None for a run that only tunes."""
        event = _EVENTS.get(record.status)
        if event is None:
            return None
        content = _describe(record, exit_code) | {"event": event}
        waiting = f"version {record.awaiting}" if event == "awaiting_approval" else None
        what = waiting or record.published or content["error"] or "no reason"
        return cls(event, content, f"{record.status.replace('_', ' ')}: {what}")

    @classmethod
    def of_drift(cls, record: RunRecord, exit_code: int) -> Notice | None:
        """Returns the notice of a run whose data differ from earlier data beyond a bound, or None."""
        found = [check for check in record.data.get("checks", ()) if check["rule"] in DRIFT_RULES and not check["ok"]]
        if not found:
            return None
        named = (f"{check['rule']} {check.get('about', '')}".strip() for check in found)
        result = f"drift of the data: {', '.join(named)}"
        return cls("drift", _describe(record, exit_code) | {"event": "drift", "of": "data", "drift": found}, result)

    @classmethod
    def of_traffic(cls, pipeline: str, run_id: str, drift: Sequence[Mapping[str, Any]]) -> Notice:
        """Returns the notice of logged requests that differ from training data beyond a bound.

        Args:
          pipeline: name of the pipeline.
          run_id: the run that published the version.
          drift: the broken checks, with `model` and `version`.
        """
        content = {"event": "drift", "of": "requests", "pipeline": pipeline, "run_id": run_id, "drift": list(drift)}
        named = (f"{check['rule']} {check.get('about', '')}".strip() for check in drift)
        return cls("drift", content, f"drift of the requests: {', '.join(named)}")

    @classmethod
    def of_rollback(cls, pipeline: str, run_id: str, version: int, reason: str) -> Notice:
        """Returns the notice of a version that the watch rolled back.

        Args:
          pipeline: name of the pipeline.
          run_id: the run that published the version.
          version: the version.
          reason: the broken bound.
        """
        content = {"event": "rolled_back", "pipeline": pipeline, "run_id": run_id, "version": version, "reason": reason}
        return cls("rolled_back", content, f"rolled back: version {version}: {reason}")

    def body(self) -> bytes:
        """Returns the notice as JSON."""
        return json.dumps(self.content, allow_nan=False).encode()

    def text(self) -> bytes:
        """Returns the JSON that Slack accepts. Text from data cannot mention people or channels."""
        line = f"{self.content['pipeline']}: {self.result}"
        line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return json.dumps({"text": f"{line} (run {self.content['run_id']})"}).encode()


def _describe(record: RunRecord, exit_code: int) -> dict[str, Any]:
    return {
        "pipeline": record.pipeline,
        "run_id": record.run_id,
        "status": record.status,
        "exit_code": exit_code,
        "started": record.started,
        "seconds": record.seconds,
        "published": record.published,
        "awaiting": record.awaiting,
        "metrics": {name: value for name, value in record.metrics.items() if math.isfinite(value)},
        "error": record.error and record.error[:_LONGEST_ERROR],
    }


def send(settings: Notify, notice: Notice, environment: Mapping[str, str], limit: float = TIME_LIMIT) -> list[str]:
    """Sends a notice to all targets at the same time.

    Args:
      settings: section `notify`.
      notice: the notice.
      environment: the variables with the secrets.
      limit: seconds until unfinished targets are given up.

    Returns:
      A sentence for each target that was not reached.
    """
    if notice.event not in settings.on:
        return []
    deadline = time.monotonic() + limit
    faults: dict[str, str] = {}

    def attempt(name: str, deliver: Callable[[], None]) -> None:
        try:
            deliver()
        except NoticeError as error:
            faults[name] = f"notify.{name}: {error}"
        except Exception as error:  # its text could contain a secret
            faults[name] = f"notify.{name}: {type(error).__name__}"
        else:
            faults.pop(name, None)

    targets = _targets(settings, notice, environment, deadline)
    threads = []
    for name, deliver in targets.items():
        faults[name] = f"notify.{name}: no answer within {limit:g} s"
        # A daemon does not delay the end of the process: the resolution of a host name has no time limit.
        threads.append(threading.Thread(target=attempt, args=(name, deliver), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(dict(faults).values())


def _targets(
    settings: Notify, notice: Notice, environment: Mapping[str, str], deadline: float
) -> dict[str, Callable[[], None]]:
    targets: dict[str, Callable[[], None]] = {}
    if settings.webhook is not None:
        url, variable = settings.webhook, settings.webhook_secret

        def to_webhook() -> None:
            headers = {}
            if variable is not None:
                key = _secret(variable, environment).encode()
                headers[SIGNATURE] = f"sha256={hmac.new(key, notice.body(), hashlib.sha256).hexdigest()}"
            _post(url, notice.body(), headers, deadline)

        targets["webhook"] = to_webhook
    if settings.slack is not None:
        slack = settings.slack
        targets["slack"] = lambda: _post(_secret(slack, environment), notice.text(), {}, deadline)
    if settings.command is not None:
        command = settings.command
        targets["command"] = lambda: _run(command, notice.body(), environment, deadline)
    return targets


def _secret(variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable, "").strip()
    if not value:
        raise NoticeError(f"the environment variable {variable} is not set")
    return value


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: urllib would repeat a POST as a GET without the notice."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, body: bytes, headers: dict[str, str], deadline: float) -> None:
    """Posts JSON. Repeats it if the server is not reached, is overloaded or fails."""
    if not url.startswith(("https://", "http://")):
        raise NoticeError("its value is not an http(s) URL")
    opener = urllib.request.build_opener(_NoRedirect)
    for tries in range(1, _TRIES + 1):
        left = deadline - time.monotonic()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers}, method="POST")
        try:
            opener.open(request, timeout=max(0.1, min(_REQUEST_SECONDS, left))).close()
            return
        except urllib.error.HTTPError as error:
            reason, is_final = f"HTTP status {error.code}", error.code < 500 and error.code != 429
            error.close()
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            reason, is_final = f"{type(cause).__name__}", False
        pause = _PAUSE * tries
        if is_final or tries == _TRIES or time.monotonic() + pause > deadline:
            raise NoticeError(f"{reason} after {tries} {'try' if tries == 1 else 'tries'}")
        time.sleep(pause)


def _run(command: tuple[str, ...], body: bytes, environment: Mapping[str, str], deadline: float) -> None:
    try:
        done = subprocess.run(
            command,
            input=body,
            env=dict(environment),
            capture_output=True,
            timeout=max(0.1, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoticeError(f"{command[0]} was stopped, because it took too long") from None
    except OSError as error:
        raise NoticeError(f"{command[0]} could not be started ({error.strerror})") from None
    if done.returncode != 0:
        raise NoticeError(f"{command[0]} ended with exit code {done.returncode}")
