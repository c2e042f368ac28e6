"""Every error that a user can fix. Its message has the problem and the next step, and is printed unchanged.

KindredError
├── ConfigError           the pipeline file or an option is wrong
├── RootError             the root directory cannot be used
├── DiskFull              what a run would write does not fit on a disk
├── ReportError           there is no such run, or nothing to report about it
├── RollbackError         there is no version to roll back to
├── InputError            the input does not match the pipeline file
├── DataRefused           the data break a rule of the gate
├── ModelRefused          the model breaks a rule, or failed the serving canary
├── SettingsRefused       no tried settings are better than those of the pipeline file
├── TrainingError         training cannot produce a model
│   ├── TrainingDiverged  the loss stopped being a finite number
│   ├── TrainingTooLarge  tables, optimizer state, a batch and pairs do not fit in memory
│   └── PairsTooMany      a solver needs all pairs in memory, and they are on disk
├── ModelNotFound         the path or URL has no published model
├── ModelDamaged          a downloaded model differs from its manifest
├── EndpointError         an endpoint does not answer like a published model
├── StoreError            an object store refuses a request, or cannot be reached
├── ClusterRefused        Kubeflow's API refuses a request
├── RunIdError            a task has no usable run id
└── Unavailable           an external service does not answer at the moment
    ├── ServiceUnavailable    a service that a run needs
    ├── StoreUnavailable      an object store
    └── EngineError           Flink or Dataflow

`exit_code` is the exit code of a command that ends with the error (docs/pipeline-file.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KindredError(Exception):
    """The base of all errors that a user can fix."""

    exit_code = 1


class ConfigError(KindredError):
    """The pipeline file or an option is wrong."""

    exit_code = 2


class RootError(KindredError):
    """The root directory cannot be used."""

    exit_code = 2


class DiskFull(KindredError):
    """What a run would write does not fit on a disk."""

    exit_code = 2


class ReportError(KindredError):
    """There is no such run, or nothing to report about it."""

    exit_code = 2


class RollbackError(KindredError):
    """There is no version to roll back to."""

    exit_code = 2


class InputError(KindredError):
    """The input does not match its description in the pipeline file."""

    exit_code = 2


class DataRefused(KindredError):
    """The data break a rule of the gate.

    Args:
      message: the reason.
      facts: what was checked, as JSON values for `data` of the record of the run.
    """

    exit_code = 3

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})


class ModelRefused(KindredError):
    """The model was not blessed, failed the serving canary, or broke a rule on replayed requests.

    Args:
      message: the reason.
      replay: what the replay found, as JSON values for the record of the run.
    """

    exit_code = 4

    def __init__(self, message: str, replay: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.replay = replay


class SettingsRefused(KindredError):
    """No settings that `kindred tune` tried are better than those of the pipeline file."""

    exit_code = 4


class TrainingError(KindredError):
    """Training cannot produce a model."""


class TrainingDiverged(TrainingError):
    """The loss stopped being a finite number."""


class TrainingTooLarge(TrainingError):
    """The tables, the optimizer state, a batch and the pairs of a solver do not fit in memory."""

    exit_code = 2


class PairsTooMany(TrainingError):
    """There are more pairs than fit in memory, and the solver needs them all."""

    exit_code = 2


class ModelNotFound(KindredError):
    """The path or URL has no published model."""

    exit_code = 2


class ModelDamaged(KindredError):
    """A downloaded model differs from its manifest."""

    exit_code = 2


class EndpointError(KindredError):
    """An endpoint does not answer like a published model."""

    exit_code = 2


class StoreError(KindredError):
    """An object store refuses a request, has no such bucket, or cannot be reached."""

    exit_code = 2


class ClusterRefused(KindredError):
    """Kubeflow's API refuses a request, for example because of a wrong host or an expired token."""

    exit_code = 2


class RunIdError(KindredError):
    """A task has no usable run id, or one that belongs to another submission."""


class Unavailable(KindredError):
    """An external service does not answer at the moment. A retry may succeed."""


class ServiceUnavailable(Unavailable):
    """A service that a run needs does not answer."""


class StoreUnavailable(Unavailable):
    """An object store failed several times."""


class EngineError(Unavailable):
    """Flink or Dataflow failed to run a job."""
