"""The models of a server, their versions, and a lease for every request.

One thread polls the file system and loads the versions that the policy selects. It unloads a version only after another
version of the model is available, like the availability-preserving policy of TensorFlow Serving. A request holds a
lease on its version, so a replaced version is unloaded after its last lease ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.loading import Loader, fingerprint
from serving.model_server.model_config import ServedModel
from serving.model_server.servable import Servable
from serving.model_server.versions import find_versions

log = logging.getLogger("kindred.model_server")


class State(enum.IntEnum):
    """ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class PollSettings:
    """The intervals of polling and retries, and the number of retries for a broken version."""

    poll_seconds: float = 1.0
    max_retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 1
    allow_labels_for_unavailable: bool = False


@dataclasses.dataclass
class Version:
    """One version of a model, and its state."""

    number: int
    path: str
    state: State = State.START
    fault: Fault | None = None
    servable: Servable | None = None
    leases: int = 0
    attempts: int = 0
    next_attempt: float = 0.0
    busy: bool = False
    wanted: bool = True
    files: Any = None


class _Model:
    """The versions of a model. `settings` is None after the model is removed from the configuration."""

    def __init__(self, settings: ServedModel) -> None:
        self.settings: ServedModel | None = settings
        self.versions: dict[int, Version] = {}
        self.labels: dict[str, int] = {}
        self.polled = False
        self.problem: str | None = None

    def available(self) -> list[Version]:
        return [version for version in self.versions.values() if version.state is State.AVAILABLE]

    def settled(self) -> bool:
        """Whether every wanted version is available or has failed at least once."""
        wanted = [version for version in self.versions.values() if version.wanted]
        return self.polled and all(version.state is State.AVAILABLE or version.fault for version in wanted)


class ModelManager:
    """Loads and unloads versions in the background, and leases them to requests."""

    def __init__(self, models: Sequence[ServedModel], loader: Loader, settings: PollSettings) -> None:
        self._loader, self._settings = loader, settings
        self._models = {model.name: _Model(model) for model in models}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._closing = False
        self._pool = ThreadPoolExecutor(max(settings.load_threads, 1), thread_name_prefix="load")
        self._poller = threading.Thread(target=self._poll_forever, name="poll", daemon=True)

    def start(self) -> None:
        """Starts polling. Returns before any version is loaded. See `wait_until_settled`."""
        self._poller.start()

    def wait_until_settled(self, timeout: float | None = None) -> bool:
        """Waits until every model has loaded its versions or failed to load them.

        Args:
          timeout: the maximum wait in seconds. None waits without limit.

        Returns:
          False if the timeout expired first.
        """
        with self._changed:
            settled = self._changed.wait_for(self._all_settled, timeout)
            for name, model in self._models.items():
                if model.settings is not None:
                    self._adopt_labels(name, model, strict=False)
            return settled

    def _all_settled(self) -> bool:
        return all(model.settled() for model in self._models.values())

    # -- requests

    @contextlib.contextmanager
    def lease(self, name: str, version: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """Yields a servable that stays loaded inside the block.

        Args:
          name: the name of the model.
          version: the version. None selects the label, or the latest available version.
          label: the label of a version.

        Raises:
          Fault: NOT_FOUND if the version is not available, INVALID_ARGUMENT if the label is unknown or the name empty.
        """
        with self._changed:
            entry = self._find(name, version, label)
            entry.leases += 1
        try:
            assert entry.servable is not None
            yield entry.servable
        finally:
            with self._changed:
                entry.leases -= 1
                if entry.leases == 0 and entry.state is State.UNLOADING:
                    self._wake.set()

    def _find(self, name: str, version: int | None, label: str | None) -> Version:
        if not name:
            raise Fault(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        model = self._models.get(name)
        if label is not None and version is None:
            if model is None or label not in model.labels:
                raise Fault(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            version = model.labels[label]
        available = {entry.number: entry for entry in model.available()} if model else {}
        if version is None and available:
            return available[max(available)]
        if version in available:
            return available[version]
        which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise Fault(Code.NOT_FOUND, f"Servable not found for request: {which}")

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[Version]:
        """Returns the state of every version of a model, or of the selected one, newest first.

        Raises:
          Fault: the model or the version is unknown.
        """
        with self._changed:
            model = self._models.get(name)
            if label is not None:
                version = self._find(name, None, label).number
            entries = [dataclasses.replace(entry) for entry in model.versions.values()] if model else []
        if version is not None:
            entries = [entry for entry in entries if entry.number == version]
            if not entries:
                raise Fault(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not entries:
            raise Fault(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return sorted(entries, key=lambda entry: -entry.number)

    # -- configuration

    def reload(self, models: Sequence[ServedModel], timeout: float = 600) -> None:
        """Serves exactly `models`, and waits until the new ones have loaded.

        Args:
          models: the complete new configuration.
          timeout: the maximum wait in seconds.

        Raises:
          Fault: a new model does not load, or a label names a version that is not available.
        """
        with self._changed:
            for name in self._models.keys() - {model.name for model in models}:
                self._models[name].settings = None
            for settings in models:
                model = self._models.setdefault(settings.name, _Model(settings))
                model.settings, model.polled = settings, False
            self._wake.set()
            if not self._changed.wait_for(self._all_settled, timeout):
                raise Fault(Code.DEADLINE_EXCEEDED, f"the models did not load within {timeout:g} s")
            for settings in models:
                model = self._models[settings.name]
                if not model.available():
                    raise Fault(Code.UNKNOWN, f"servable did not become available: {settings.name}: {_why(model)}")
            for settings in models:
                self._adopt_labels(settings.name, self._models[settings.name], strict=True)

    def _adopt_labels(self, name: str, model: _Model, strict: bool) -> None:
        """Adopts labels of available versions. With the flag, also adopts new labels of unavailable versions."""
        assert model.settings is not None
        available = {entry.number for entry in model.available()}
        adopted = {}
        for label, version in model.settings.labels:
            is_new = model.labels.get(label, version) == version
            if version in available or (self._settings.allow_labels_for_unavailable and is_new):
                adopted[label] = version
                continue
            message = (
                f"Request to assign label {label} to version {version} of model {name}, "
                "which is not currently available for inference"
            )
            if strict:
                raise Fault(Code.FAILED_PRECONDITION, message)
            log.error("%s", message)
        model.labels = adopted

    # -- polling

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
                if entry.state is State.LOADING and not entry.busy
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

    def _scan_versions(self, name: str, model: _Model) -> dict[int, str] | None:
        """Returns the paths of the selected versions, or None if the directory is unreadable, to change nothing."""
        settings = model.settings
        if settings is None:
            return {}
        if model.polled and self._settings.poll_seconds <= 0:
            return None
        try:
            names = find_versions(tf.io.gfile.listdir(settings.base_path))
        except tf.errors.OpError as error:
            self._note(model, f"Could not find base path {settings.base_path} for servable {name}: {error.message}")
            return None
        chosen = settings.policy.choose(names)
        problem = f"No versions of servable {name} found under base path {settings.base_path}"
        self._note(model, None if chosen else problem)
        return {number: os.path.join(settings.base_path, names[number]) for number in chosen}

    def _note(self, model: _Model, problem: str | None) -> None:
        """Stores the problem of a model's directory, and logs it once."""
        if problem is not None and problem != model.problem:
            log.warning("%s", problem)
        model.problem = problem

    def _want(self, model: _Model, paths: dict[int, str]) -> None:
        for entry in model.versions.values():
            entry.wanted = entry.number in paths
        for number, path in paths.items():
            known = model.versions.get(number)
            if known is None or (known.state is State.END and known.fault is None):
                model.versions[number] = Version(number, path)
            elif known.fault is not None and not known.busy and known.files != fingerprint(path):
                known.state, known.attempts, known.next_attempt = State.LOADING, 0, 0.0

    def _load_wanted(self, name: str, model: _Model) -> None:
        now = time.monotonic()
        for number in sorted(model.versions, reverse=True):
            entry = model.versions[number]
            due = entry.state is State.START or (entry.state is State.LOADING and now >= entry.next_attempt)
            if due and entry.wanted and not entry.busy:
                entry.state, entry.busy = State.LOADING, True
                self._in_background(self._load, name, entry)
            elif not entry.wanted and not entry.busy and entry.state in (State.START, State.LOADING):
                entry.state = State.END

    def _in_background(self, work: Callable[[str, Version], None], name: str, entry: Version) -> None:
        """Runs `work` in the pool, and logs its exceptions, which the pool would drop."""
        self._pool.submit(work, name, entry).add_done_callback(_log_error)

    def _load(self, name: str, entry: Version) -> None:
        files = fingerprint(entry.path)
        try:
            servable = self._loader.load(name, entry.number, entry.path)
        except Exception as error:  # one broken version must not affect others, and its status reports the error
            self._failed(name, entry, fault_of(error), files)
        else:
            log.info("Successfully loaded servable version {name: %s version: %d}", name, entry.number)
            with self._changed:
                entry.servable, entry.fault, entry.state, entry.busy = servable, None, State.AVAILABLE, False
                self._changed.notify_all()
        self._wake.set()

    def _failed(self, name: str, entry: Version, fault: Fault, files: Any) -> None:
        log.error("Loading servable {name: %s version: %d} failed: %s", name, entry.number, fault.message)
        with self._changed:
            entry.attempts += 1
            entry.fault, entry.files, entry.busy = fault, files, False
            entry.next_attempt = time.monotonic() + max(self._settings.retry_seconds, 0)
            if entry.attempts > self._settings.max_retries or not entry.wanted:
                entry.state = State.END
            self._changed.notify_all()

    def _unload_unwanted(self, name: str, model: _Model) -> None:
        wanted = [entry for entry in model.versions.values() if entry.wanted]
        if not wanted or any(entry.state is State.AVAILABLE for entry in wanted):
            for entry in model.available():
                if not entry.wanted:
                    entry.state = State.UNLOADING
        for entry in model.versions.values():
            if entry.state is State.UNLOADING and entry.leases == 0 and not entry.busy:
                entry.busy = True
                self._in_background(self._unload, name, entry)

    def _unload(self, name: str, entry: Version) -> None:
        servable, entry.servable = entry.servable, None
        if servable is not None:
            servable.close()
        log.info("Unloaded servable version {name: %s version: %d}", name, entry.number)
        with self._changed:
            entry.state, entry.busy = State.END, False
            self._changed.notify_all()

    def close(self) -> None:
        """Stops polling and frees every model. All requests must have ended."""
        self._closing = True
        self._wake.set()
        if self._poller.is_alive():
            self._poller.join()
        self._pool.shutdown(wait=True)
        for model in self._models.values():
            for entry in model.available():
                assert entry.servable is not None
                entry.servable.close()


def _log_error(work: Future[None]) -> None:
    if error := work.exception():
        log.error("unexpected %s", type(error).__name__, exc_info=error)


def _why(model: _Model) -> str:
    faults = [f"version {entry.number}: {entry.fault.message}" for entry in model.versions.values() if entry.fault]
    return ", ".join(faults) or model.problem or "no version is available"
