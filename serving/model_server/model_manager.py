"""Leases the versions of models to requests, and applies configurations.

A request holds a lease on its version, so a replaced version is unloaded after its last lease ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterator, Sequence

from serving.model_server.faults import Code, Fault
from serving.model_server.hosted_models import HostedModel, ModelVersion, VersionState
from serving.model_server.loading import Loader
from serving.model_server.model_config import ServedModel
from serving.model_server.polling import Poller, PollSettings
from serving.model_server.servable import Servable

log = logging.getLogger("kindred.model_server")


class ModelManager:
    """Loads and unloads versions in the background, and leases them to requests."""

    def __init__(self, models: Sequence[ServedModel], loader: Loader, settings: PollSettings) -> None:
        self._settings = settings
        self._models = {model.name: HostedModel(model) for model in models}
        self._changed = threading.Condition()
        self._poller = Poller(self._models, self._changed, loader, settings)

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

    def has(self, name: str) -> bool:
        """Whether the configuration has or had a model of this name."""
        return name in self._models

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
                if entry.leases == 0 and entry.state is VersionState.UNLOADING:
                    self._poller.wake()

    def _find(self, name: str, version: int | None, label: str | None) -> ModelVersion:
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

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[ModelVersion]:
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
                model = self._models.setdefault(settings.name, HostedModel(settings))
                model.settings, model.polled = settings, False
            self._poller.wake()
            if not self._changed.wait_for(self._all_settled, timeout):
                raise Fault(Code.DEADLINE_EXCEEDED, f"the models did not load within {timeout:g} s")
            for settings in models:
                model = self._models[settings.name]
                if not model.available():
                    raise Fault(Code.UNKNOWN, f"servable did not become available: {settings.name}: {_why(model)}")
            for settings in models:
                self._adopt_labels(settings.name, self._models[settings.name], strict=True)

    def _adopt_labels(self, name: str, model: HostedModel, strict: bool) -> None:
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

    def close(self, seconds: float = 0) -> bool:
        """Stops polling and frees every model. All requests must have ended.

        Args:
          seconds: how long to wait for loads, which nothing can interrupt.

        Returns:
          Whether all loads have ended. Otherwise a thread still loads.
        """
        idle = self._poller.close(seconds)
        for model in self._models.values():
            for entry in model.available():
                assert entry.servable is not None
                entry.servable.close()
        return idle


def _why(model: HostedModel) -> str:
    faults = [f"version {entry.number}: {entry.fault.message}" for entry in model.versions.values() if entry.fault]
    return ", ".join(faults) or model.problem or "no version is available"
