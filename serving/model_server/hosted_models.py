"""The models of a server, and the state of their versions."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from serving.model_server.faults import Fault
from serving.model_server.model_config import ServedModel
from serving.model_server.servable import Servable


class VersionState(enum.IntEnum):
    """ModelVersionStatus.VersionState."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class ModelVersion:
    """One version of a model, and its state.

    Attributes:
      files: the fingerprint of its files when it was loaded, or failed to load.
      seen: their fingerprint at the last poll.
      note: what its status says although it is served.
    """

    number: int
    path: str
    state: VersionState = VersionState.START
    fault: Fault | None = None
    servable: Servable | None = None
    leases: int = 0
    attempts: int = 0
    next_attempt: float = 0.0
    busy: bool = False
    wanted: bool = True
    files: Any = None
    seen: Any = None
    note: str = ""


class HostedModel:
    """A model with its versions. `settings` is None after the model is removed from the configuration."""

    def __init__(self, settings: ServedModel) -> None:
        self.settings: ServedModel | None = settings
        self.versions: dict[int, ModelVersion] = {}
        self.labels: dict[str, int] = {}
        self.polled = False
        self.problem: str | None = None

    def available(self) -> list[ModelVersion]:
        """Returns the versions that requests can use."""
        return [version for version in self.versions.values() if version.state is VersionState.AVAILABLE]

    def settled(self) -> bool:
        """Whether every wanted version is available or has failed at least once."""
        wanted = [version for version in self.versions.values() if version.wanted]
        return self.polled and all(version.state is VersionState.AVAILABLE or version.fault for version in wanted)
