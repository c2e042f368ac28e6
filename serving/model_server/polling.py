"""Polls the file system, loads the versions that the policy selects, and unloads others.

A version is unloaded only after another version of the model is available, like the availability-preserving policy of
TensorFlow Serving, and after its last lease ends.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from errors import KindredError
from serving.model_server import changes
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.hosted_models import HostedModel, ModelVersion, VersionState
from serving.model_server.loading import Loader, fingerprint
from serving.model_server.versions import find_versions
from storage.urls import is_object

log = logging.getLogger("kindred.model_server")


@dataclasses.dataclass(frozen=True)
class PollSettings:
    """The intervals of polling and retries, and the number of retries for a broken version."""

    poll_seconds: float = 1.0
    max_retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 1
    allow_labels_for_unavailable: bool = False


class Poller:
    """Loads and unloads versions in the background.

    Args:
      models: the models by name. The caller may add models.
      changed: guards `models` and everything in it, and is notified of each change.
      loader: loads a version.
      settings: the intervals, and the number of threads that load.
    """

    def __init__(
        self, models: dict[str, HostedModel], changed: threading.Condition, loader: Loader, settings: PollSettings
    ) -> None:
        self._models, self._changed = models, changed
        self._loader, self._settings = loader, settings
        self._wake = threading.Event()
        self._closing = False
        self._pool = ThreadPoolExecutor(max(settings.load_threads, 1), thread_name_prefix="load")
        self._thread = threading.Thread(target=self._poll_forever, name="poll", daemon=True)

    def start(self) -> None:
        """Starts polling. Returns before any version is loaded."""
        self._thread.start()

    def wake(self) -> None:
        """Starts the next poll at once."""
        self._wake.set()

    def close(self, seconds: float = 0) -> bool:
        """Stops polling. Versions that wait for a thread are not loaded.

        Args:
          seconds: how long to wait for running loads, which nothing can interrupt.

        Returns:
          Whether all loads have ended.
        """
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=False)  # what still waits sees that the poller closes
        with self._changed:
            return self._changed.wait_for(self._idle, seconds)

    def _idle(self) -> bool:
        return not any(entry.busy for model in self._models.values() for entry in model.versions.values())

    def _poll_forever(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                self._poll()
            except Exception:  # if this thread ended, no new version would ever load
                log.exception("polling failed")
            self._wake.wait(self._pause())

    def _pause(self) -> float | None:
        """Returns the seconds until the next poll, or None if polling is off and no retry is due."""
        with self._changed:
            waiting = [
                entry.next_attempt - time.monotonic()
                for model in self._models.values()
                for entry in model.versions.values()
                if entry.state is VersionState.LOADING and not entry.busy
            ]
        interval = [self._settings.poll_seconds] if self._settings.poll_seconds > 0 else []
        return max(min(waiting + interval), 0.001) if waiting or interval else None

    def _poll(self) -> None:
        with self._changed:
            models = list(self._models.items())
        for name, model in models:
            paths = self._scan_versions(name, model)
            with self._changed:
                if paths is not None:
                    self._want(model, paths)
                self._load_wanted(name, model)
                self._unload_unwanted(name, model)
                model.polled = model.polled or paths is not None or model.problem is not None
                self._changed.notify_all()

    def _scan_versions(self, name: str, model: HostedModel) -> dict[int, str] | None:
        """Returns the paths of the selected versions, or None if the directory is unreadable, to change nothing."""
        settings = model.settings
        if settings is None:
            return {}
        if model.polled and self._settings.poll_seconds <= 0:
            return None
        try:
            names = find_versions(_children(settings.base_path))
        except (tf.errors.OpError, KindredError) as error:
            reason = error.message if isinstance(error, tf.errors.OpError) else str(error)
            self._note(model, f"Could not find base path {settings.base_path} for servable {name}: {reason}")
            return None
        changes.look(model, self._changed)
        with self._changed:
            damaged = {number for number in names if changes.is_damaged(model.versions.get(number))}
            changes.report(name, model)
        # The newest whole version serves in place of a damaged one.
        chosen = settings.policy.choose(set(names) - damaged)
        problem = f"No versions of servable {name} found under base path {settings.base_path}"
        self._note(model, None if chosen else problem)
        return {number: os.path.join(settings.base_path, names[number]) for number in chosen}

    def _note(self, model: HostedModel, problem: str | None) -> None:
        """Stores the problem of a model's directory, and logs it once."""
        if problem is not None and problem != model.problem:
            log.warning("%s", problem)
        model.problem = problem

    def _want(self, model: HostedModel, paths: dict[int, str]) -> None:
        for entry in model.versions.values():
            entry.wanted = entry.number in paths
        for number, path in paths.items():
            known = model.versions.get(number)
            if known is None or (known.state is VersionState.END and known.fault is None):
                model.versions[number] = ModelVersion(number, path)
            elif known.fault is not None and not known.busy and known.files != known.seen:
                known.state, known.attempts, known.next_attempt = VersionState.LOADING, 0, 0.0

    def _load_wanted(self, name: str, model: HostedModel) -> None:
        now = time.monotonic()
        for number in sorted(model.versions, reverse=True):
            entry = model.versions[number]
            retry = entry.state is VersionState.LOADING and now >= entry.next_attempt
            if (entry.state is VersionState.START or retry) and entry.wanted and not entry.busy:
                entry.state, entry.busy = VersionState.LOADING, True
                self._in_background(self._load, name, entry)
            elif not entry.wanted and not entry.busy and entry.state in (VersionState.START, VersionState.LOADING):
                entry.state = VersionState.END

    def _in_background(self, work: Callable[[str, ModelVersion], None], name: str, entry: ModelVersion) -> None:
        """Runs `work` in the pool, and logs its exceptions, which the pool would drop."""
        self._pool.submit(work, name, entry).add_done_callback(_log_error)

    def _load(self, name: str, entry: ModelVersion) -> None:
        if self._superseded(name, entry):
            return
        files = fingerprint(entry.path)
        try:
            servable = self._loader.load(name, entry.number, entry.path)
        except Exception as error:  # one broken version must not affect others, and its status reports the error
            self._failed(name, entry, fault_of(error), files)
        else:
            log.info("Successfully loaded servable version {name: %s version: %d}", name, entry.number)
            with self._changed:
                entry.servable, entry.fault, entry.state, entry.busy = servable, None, VersionState.AVAILABLE, False
                entry.files, entry.seen, entry.note = files, files, ""
                self._changed.notify_all()
        self._wake.set()

    def _superseded(self, name: str, entry: ModelVersion) -> bool:
        """Whether a version is no longer wanted after it waited for a thread. The newest one must not wait for it."""
        with self._changed:
            if entry.wanted and not self._closing:
                return False
            entry.state, entry.busy = VersionState.END, False
            self._changed.notify_all()
        log.info("Skipped servable version {name: %s version: %d}", name, entry.number)
        self._wake.set()
        return True

    def _failed(self, name: str, entry: ModelVersion, fault: Fault, files: Any) -> None:
        log.error("Loading servable {name: %s version: %d} failed: %s", name, entry.number, fault.message)
        with self._changed:
            entry.attempts += 1
            entry.fault, entry.files, entry.seen, entry.busy = fault, files, files, False
            entry.next_attempt = time.monotonic() + max(self._settings.retry_seconds, 0)
            if fault.code is Code.DATA_LOSS:
                entry.wanted = self._models[name].polled = False  # the next poll chooses another one
            if entry.attempts > self._settings.max_retries or not entry.wanted:
                entry.state = VersionState.END
            self._changed.notify_all()

    def _unload_unwanted(self, name: str, model: HostedModel) -> None:
        wanted = [entry for entry in model.versions.values() if entry.wanted]
        if not wanted or any(entry.state is VersionState.AVAILABLE for entry in wanted):
            for entry in model.available():
                if not entry.wanted:
                    entry.state = VersionState.UNLOADING
        for entry in model.versions.values():
            if entry.state is VersionState.UNLOADING and entry.leases == 0 and not entry.busy:
                entry.busy = True
                self._in_background(self._unload, name, entry)

    def _unload(self, name: str, entry: ModelVersion) -> None:
        servable, entry.servable = entry.servable, None
        if servable is not None:
            servable.close()
        log.info("Unloaded servable version {name: %s version: %d}", name, entry.number)
        with self._changed:
            entry.state, entry.busy = VersionState.END, False
            self._changed.notify_all()


def _children(base_path: str) -> list[str]:
    """Returns the names in a base path. In an object store, only those of complete versions."""
    if not is_object(base_path):
        return list(tf.io.gfile.listdir(base_path))
    from serving.downloads import complete_versions  # imports PyArrow

    return complete_versions(base_path)


def _log_error(work: Future[None]) -> None:
    if error := work.exception():
        log.error("unexpected %s", type(error).__name__, exc_info=error)
