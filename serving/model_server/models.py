"""The models of a server: which versions should be served, which are, and a lease for every request.

One thread polls the file system, loads what the policy asks for, and lets go of a version only when another one of the
model is there (TensorFlow Serving's availability-preserving policy). A request holds a lease on the version that it
runs on: a version that is being replaced ends when its last lease does.
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
from serving.model_server.model_config import ModelSettings
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
    """How often to look for versions, and how often and how many times to try a broken one again."""

    poll_seconds: float = 1.0
    max_retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 1
    allow_labels_for_unavailable: bool = False


@dataclasses.dataclass
class Version:
    """One version of one model, and how it fares."""

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
    """The versions of one model, in order; `settings` is None once it is no longer to be served."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings: ModelSettings | None = settings
        self.versions: dict[int, Version] = {}
        self.labels: dict[str, int] = {}
        self.polled = False
        self.problem: str | None = None

    def available(self) -> list[Version]:
        return [version for version in self.versions.values() if version.state is State.AVAILABLE]

    def settled(self) -> bool:
        """Whether nothing more will happen by itself at once: every wanted version is there or has failed once."""
        wanted = [version for version in self.versions.values() if version.wanted]
        return self.polled and all(version.state is State.AVAILABLE or version.fault for version in wanted)


class ModelManager:
    """Loads and unloads, in the background; hands out leases."""

    def __init__(self, models: Sequence[ModelSettings], loader: Loader, settings: PollSettings) -> None:
        self._loader, self._settings = loader, settings
        self._models = {model.name: _Model(model) for model in models}
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._closing = False
        self._pool = ThreadPoolExecutor(max(settings.load_threads, 1), thread_name_prefix="load")
        self._poller = threading.Thread(target=self._poll_for_ever, name="poll", daemon=True)

    def start(self) -> None:
        """Begins to poll; `wait_until_settled` says when the first versions are there."""
        self._poller.start()

    def wait_until_settled(self, timeout: float | None = None) -> bool:
        """Waits until every model has loaded its versions, or failed to; whether that came in time."""
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
        """The servable that a ModelSpec means; it stays loaded within the block.

        Raises:
          Fault: NOT_FOUND where it is not available, INVALID_ARGUMENT for an unknown label or no name.
        """
        with self._changed:
            found = self._find(name, version, label)
            found.leases += 1
        try:
            assert found.servable is not None
            yield found.servable
        finally:
            with self._changed:
                found.leases -= 1
                if found.leases == 0 and found.state is State.UNLOADING:
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
        """How the versions of a model fare, or the one asked for; newest first.

        Raises:
          Fault: there is none.
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

    def reload(self, models: Sequence[ModelSettings], timeout: float = 600) -> None:
        """Serves `models` and nothing else; waits for those that are new.

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
        """Labels may name available versions only, unless a flag says otherwise and the label is new."""
        assert model.settings is not None
        available = {entry.number for entry in model.available()}
        adopted = {}
        for label, version in model.settings.labels:
            is_new = model.labels.get(label, version) == version
            if version in available or (self._settings.allow_labels_for_unavailable and is_new):
                adopted[label] = version
                continue
            words = (
                f"Request to assign label {label} to version {version} of model {name}, "
                "which is not currently available for inference"
            )
            if strict:
                raise Fault(Code.FAILED_PRECONDITION, words)
            log.error("%s", words)
        model.labels = adopted

    # -- polling

    def _poll_for_ever(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                self._poll()
            except Exception:  # without polling there would be no new version ever; the next look may be better
                log.exception("polling failed")
            self._wake.wait(self._pause())

    def _pause(self) -> float | None:
        """Seconds until the next look; with a poll interval of 0 there is none but for retries."""
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
            found = self._look(name, model)
            with self._changed:
                if found is not None:
                    self._want(model, found)
                self._load_wanted(name, model)
                self._unload_unwanted(name, model)
                model.polled = model.polled or found is not None or model.problem is not None
                self._changed.notify_all()

    def _look(self, name: str, model: _Model) -> dict[int, str] | None:
        """Paths of the versions in a model's directory; None where it cannot be read, which changes nothing."""
        settings = model.settings
        if settings is None:
            return {}
        if model.polled and self._settings.poll_seconds <= 0:
            return None
        try:
            found = find_versions(tf.io.gfile.listdir(settings.base_path))
        except tf.errors.OpError as error:
            self._note(model, f"Could not find base path {settings.base_path} for servable {name}: {error.message}")
            return None
        chosen = settings.policy.choose(found)
        none = f"No versions of servable {name} found under base path {settings.base_path}"
        self._note(model, None if chosen else none)
        return {number: os.path.join(settings.base_path, found[number]) for number in chosen}

    def _note(self, model: _Model, problem: str | None) -> None:
        """Remembers what is wrong with a model's directory, and says it once."""
        if problem is not None and problem != model.problem:
            log.warning("%s", problem)
        model.problem = problem

    def _want(self, model: _Model, found: dict[int, str]) -> None:
        for entry in model.versions.values():
            entry.wanted = entry.number in found
        for number, path in found.items():
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
        """Runs `work` in the pool, which would keep to itself what that raises."""
        self._pool.submit(work, name, entry).add_done_callback(_log_error)

    def _load(self, name: str, entry: Version) -> None:
        files = fingerprint(entry.path)
        try:
            servable = self._loader.load(name, entry.number, entry.path)
        except Exception as error:  # one version that does not load is its own affair, and is told by its status
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
        """Stops polling and frees every model; requests must have ended."""
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
        log.error("unforeseen %s", type(error).__name__, exc_info=error)


def _why(model: _Model) -> str:
    faults = [f"version {entry.number}: {entry.fault.message}" for entry in model.versions.values() if entry.fault]
    return "; ".join(faults) or model.problem or "no version is available"
