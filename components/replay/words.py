"""A replay in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def describe(result: Mapping[str, Any]) -> str:
    """Returns the figures of `replay.json` for people."""
    if nothing := result.get("nothing"):
        return f"nothing replayed: {nothing}"
    return f"{result['compared']:,} requests compared with version {result['served']}: {', '.join(_figures(result))}"


def _figures(result: Mapping[str, Any]) -> Iterator[str]:
    if result["failed"]:
        yield f"{result['failed']:,} refused"
    if scores := result.get("scores"):
        yield f"scores change by {scores['mean_change']:.3g}"
    if rankings := result.get("rankings"):
        yield f"{rankings['overlap']:.0%} of ranked ids in common"
    if ids := result.get("ids"):
        yield f"{ids['lost']:.1%} of ids lost"
    if latency := result.get("latency"):
        yield f"{latency['ratio']:.2f} times the time"
    if result["damaged_files"]:
        yield f"{result['damaged_files']:,} damaged log files"
