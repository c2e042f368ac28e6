"""Which versions are loaded while loads are slow, and how the poller ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.model_server.faults import Fault
from serving.model_server.hosted_models import VersionState
from serving.model_server.model_config import ServedModel
from serving.model_server.model_manager import ModelManager
from serving.model_server.polling import PollSettings


class SlowLoader:
    """Loads one version at a time, each when the test allows it."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.allowed = threading.Semaphore(0)

    def load(self, name: str, number: int, path: str) -> SimpleNamespace:
        self.started.append(number)
        assert self.allowed.acquire(timeout=30)
        return SimpleNamespace(close=lambda: None, version=number)


@pytest.fixture
def loader() -> Iterator[SlowLoader]:
    loader = SlowLoader()
    yield loader
    loader.allowed.release(100)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def started(tmp_path: Path, loader: SlowLoader, *names: str) -> ModelManager:
    manager = ModelManager([ServedModel(name, str(tmp_path / name)) for name in names], loader, PollSettings(0.01))
    manager.start()
    return manager


def states(manager: ModelManager, name: str) -> dict[int, VersionState]:
    """Returns the state of each version, or nothing before the first poll has found one."""
    try:
        entries = manager.status(name)
    except Fault:
        return {}
    return {entry.number: entry.state for entry in entries}


def test_superseded_version_is_not_loaded(tmp_path: Path, loader: SlowLoader) -> None:
    """Versions 2 and 3 wait for the only thread when 4 appears: 1, then 4."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    manager = started(tmp_path, loader, "m")
    until(lambda: loader.started == [1])
    for number in (2, 3, 4):
        (tmp_path / "m" / str(number)).mkdir()
        until(lambda number=number: number in states(manager, "m"))
    loader.allowed.release()
    until(lambda: len(loader.started) > 1)
    loader.allowed.release()
    until(lambda: states(manager, "m")[4] is VersionState.AVAILABLE)
    assert loader.started == [1, 4]
    until(lambda: set(states(manager, "m").values()) == {VersionState.AVAILABLE, VersionState.END})
    with manager.lease("m") as servable:
        assert servable.version == 4
    assert manager.close(10)


def test_end_does_not_wait_for_loads(tmp_path: Path, loader: SlowLoader) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "1").mkdir(parents=True)
    manager = started(tmp_path, loader, "a", "b", "c")
    until(lambda: len(loader.started) == 1)
    assert not manager.wait_until_settled(0.05)
    begun = time.monotonic()
    assert not manager.close(0.1), "one version still loads"
    assert time.monotonic() - begun < 15
    loader.allowed.release(100)
    until(lambda: states(manager, "a")[1] in (VersionState.AVAILABLE, VersionState.END))
    time.sleep(0.05)
    assert len(loader.started) == 1, "what waited is not loaded"


def test_changed_files_of_a_served_version_are_reported(
    tmp_path: Path, loader: SlowLoader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in an object store. A store that cannot be reached has no fingerprint, and is no change."""
    files: dict[str, tuple[str, ...]] = {"now": ("first",)}
    monkeypatch.setattr("serving.model_server.changes.is_object", lambda path: True)
    for module in ("changes", "polling"):
        monkeypatch.setattr(f"serving.model_server.{module}.fingerprint", lambda path: files["now"])
    (tmp_path / "m" / "1").mkdir(parents=True)
    manager = started(tmp_path, loader, "m")
    loader.allowed.release(2)
    until(lambda: states(manager, "m").get(1) is VersionState.AVAILABLE)

    def note() -> str:
        return manager.status("m")[0].note

    assert note() == ""
    files["now"] = ("other",)
    until(note)
    assert "have changed since this version was loaded" in note()
    files["now"] = ()
    time.sleep(0.1)
    assert note(), "a store without an answer is no news"
    files["now"] = ("first",)
    until(lambda: not note())
    assert sum("have changed" in line for line in caplog.messages) == 1
    assert manager.close(10)
