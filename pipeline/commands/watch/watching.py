"""Watches a version until its time is over, or until it breaks a bound."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pipeline.commands.watch.server import Counters, Server, Unreachable
from pipeline.config.sections.watch import WatchSettings

State = Literal["kept", "rolled_back", "not_rolled_back", "not_watched", "superseded", "stopped"]


@dataclasses.dataclass(frozen=True)
class Watched:
    """How a watch ended.

    Attributes:
      version: the watched version.
      state: `kept`, `rolled_back`, `not_rolled_back` if there is no version to serve instead, `not_watched` if the
        server did not answer, `superseded` by a newer version, or `stopped` by a signal.
      reason: the broken bound, or why it was not watched. Empty for `kept`.
      figures: the figures by name of the bound.
      requests: number of requests during the watch.
      stopped_by: exit code of the signal that stopped the watch.
    """

    version: int
    state: State
    reason: str = ""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    requests: int = 0
    stopped_by: int = 1

    @property
    def exit_code(self) -> int:
        """0 if the version is served, 4 if it broke a bound, 1 if nobody knows."""
        return {"rolled_back": 4, "not_rolled_back": 4, "not_watched": 1, "stopped": self.stopped_by}.get(self.state, 0)

    def to_json(self) -> dict[str, Any]:
        """Returns the attributes by name."""
        content = dataclasses.asdict(self)
        del content["stopped_by"]
        return content

    def describe(self) -> str:
        """Returns a sentence."""
        figures = ", ".join(f"{name.removeprefix('max_')} {value:.4g}" for name, value in self.figures.items())
        seen = f"{self.requests:,} requests{f', {figures}' if figures else ''}"
        return {
            "kept": f"version {self.version} is kept: {seen}",
            "rolled_back": f"version {self.version} is rolled back: {self.reason} ({seen})",
            "not_rolled_back": f"version {self.version} stays, although {self.reason} ({seen})",
            "not_watched": f"version {self.version} is kept, but could not be watched: {self.reason}",
            "superseded": f"the watch of version {self.version} ended: {self.reason}",
            "stopped": f"the watch of version {self.version} was stopped. The version is kept",
        }[self.state]


def watch(
    server: Server,
    version: int,
    settings: WatchSettings,
    unknown: Callable[[], tuple[int, int]],
    newest: Callable[[], int],
) -> Watched:
    """Watches a version. Changes nothing: `rolled_back` says what to do.

    Args:
      server: the server.
      version: the version.
      settings: times and bounds.
      unknown: returns how many ids the log has of requests to the version, and how many of them are unknown.
      newest: returns the newest published version.
    """
    try:
        if refused := _wait(server, version, settings):
            return Watched(version, "rolled_back", refused)
        before = server.counters()
    except Unreachable as error:
        return Watched(version, "not_watched", str(error))
    return _look(server, version, settings, unknown, newest, before)


def _look(
    server: Server, version: int, settings: WatchSettings,
    unknown: Callable[[], tuple[int, int]], newest: Callable[[], int], before: Counters,
) -> Watched:  # fmt: skip
    deadline = time.monotonic() + settings.minutes * 60
    fault, figures, seen = "", dict[str, float](), Counters()
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(settings.every_seconds, left))
        if (now := newest()) > version:
            return Watched(version, "superseded", f"version {now} was published", figures, int(seen.requests))
        try:
            seen = server.counters().since(before)
            fault = ""
        except Unreachable as error:
            fault = str(error)
            continue
        figures = dict(_figures(seen, unknown() if settings.log else (0, 0), settings))
        broken = [f"{name} is {value:.4g}, above {getattr(settings, name):g}" for name, value in figures.items()
                  if value > getattr(settings, name)]  # fmt: skip
        if broken:
            return Watched(version, "rolled_back", "; ".join(broken), figures, int(seen.requests))
    if fault:
        return Watched(version, "not_watched", fault, figures, int(seen.requests))
    return Watched(version, "kept", "", figures, int(seen.requests))


def _figures(seen: Counters, ids: tuple[int, int], settings: WatchSettings) -> Iterator[tuple[str, float]]:
    """Yields each bounded figure of which there are enough requests."""
    least = settings.min_requests
    if settings.max_error_rate is not None and seen.requests >= least:
        yield "max_error_rate", seen.errors / seen.requests
    if settings.max_latency_ms is not None and seen.predictions >= least:
        yield "max_latency_ms", seen.microseconds / seen.predictions / 1000
    if settings.max_unknown is not None and ids[0] >= least:
        yield "max_unknown", ids[1] / ids[0]


def _wait(server: Server, version: int, settings: WatchSettings) -> str | None:
    """Waits until a version is served. Returns why the server cannot load it, or None.

    Raises:
      Unreachable: the server does not answer, or does not have the version in time.
    """
    deadline = time.monotonic() + settings.load_seconds
    while True:
        try:
            state, error = server.state(version)
            fault = f"the server did not serve version {version} within {settings.load_seconds:g} s (state {state})"
            if state == "AVAILABLE":
                return None
            if error:
                return f"the server cannot load version {version}: {error}"
        except Unreachable as unreachable:
            fault = str(unreachable)
        if time.monotonic() > deadline:
            raise Unreachable(fault)
        time.sleep(min(settings.every_seconds, 1.0))
