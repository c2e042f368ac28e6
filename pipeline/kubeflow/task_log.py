"""The records that tasks print to their logs for `kindred submit` to read.

A record is one line: `kindred-record: ` and a JSON object. A log also contains the output of libraries and truncated
lines. If a task was retried, the log contains a record several times.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PREFIX = "kindred-record: "
STATES = ("executed", "cached", "skipped", "failed")
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_DECODER = json.JSONDecoder()


@dataclasses.dataclass(frozen=True)
class NodeEnded:
    """The end of a node. `state` is one of `STATES`."""

    node_id: str
    state: str
    seconds: float
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class RunEnded:
    """The end of a run.

    Attributes:
      status: the status in summary.json, such as published or data_refused.
      error: the reason of a refusal or failure, in one or more lines.
      components: the nodes in the order of the graph, without details.
      published: the published version, such as serving/1.
      root: the root directory, as tasks see it.
      report: the URI of the report in Kubeflow's own storage.
    """

    run_id: str
    status: str
    error: str | None = None
    components: tuple[NodeEnded, ...] = ()
    published: str | None = None
    root: str = ""
    report: str = ""


def node_line(node_id: str, state: str, seconds: float, detail: str = "") -> str:
    """Returns the record of a node that ended, without a line break. Print it in one write, and flush."""
    return _line("node", _node(node_id, state, seconds) | {"detail": detail})


def run_line(
    run_id: str,
    status: str,
    *,
    error: str | None = None,
    components: Sequence[NodeEnded] = (),
    published: str | None = None,
    root: str = "",
    report: str = "",
) -> str:
    """Returns the record of a run that ended, without a line break. Print it in one write, and flush."""
    content = {
        "run_id": run_id,
        "status": status,
        "error": error,
        "components": [_node(node.node_id, node.state, node.seconds) for node in components],
        "published": published,
        "root": root,
        "report": report,
    }
    return _line("run", content)


def read(text: str) -> list[NodeEnded | RunEnded]:
    """Returns the records in the log `text` in order. Skips text that is not a complete record."""
    return [record for line in text.splitlines() for record in _records(line)]


def _line(kind: str, content: Mapping[str, Any]) -> str:
    # ASCII, so that `str.splitlines` finds no line break inside a record.
    return PREFIX + json.dumps({kind: content}, ensure_ascii=True, allow_nan=False)


def _node(node_id: str, state: str, seconds: float) -> dict[str, Any]:
    return {"id": node_id, "state": state, "seconds": round(float(seconds), 3)}


def _records(line: str) -> Iterator[NodeEnded | RunEnded]:
    """Yields the records in one line. Output of a library may precede the prefix."""
    begin = line.find(PREFIX)
    while begin >= 0:
        begin += len(PREFIX)
        try:
            found, begin = _DECODER.raw_decode(line, begin)
            yield from _record(found)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            pass
        begin = line.find(PREFIX, begin)


def _record(found: Any) -> Iterator[NodeEnded | RunEnded]:
    """Yields the record in a JSON value. Raises a built-in error if the value is malformed."""
    if "node" in found:
        yield _read_node(found["node"])
    elif "run" in found:
        yield _read_run(found["run"])


def _read_node(found: Mapping[str, Any]) -> NodeEnded:
    node = NodeEnded(
        _text(found["id"]), _text(found["state"]), float(found["seconds"]), _text(found.get("detail") or "")
    )
    if not node.node_id or node.state not in STATES or not 0 <= node.seconds < math.inf:
        raise ValueError(node)
    return node


def _read_run(found: Mapping[str, Any]) -> RunEnded:
    return RunEnded(
        run_id=_text(found["run_id"]),
        status=_text(found["status"]),
        error=_text(found.get("error") or "") or None,
        components=tuple(_read_node(node) for node in found.get("components") or ()),
        published=_text(found.get("published") or "") or None,
        root=_text(found.get("root") or ""),
        report=_text(found.get("report") or ""),
    )


def _text(value: Any) -> str:
    """Returns `value` without control characters and characters that a terminal cannot print."""
    if not isinstance(value, str):
        raise TypeError(value)
    return _UNPRINTABLE.sub(" ", value)
