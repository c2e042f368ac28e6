"""What the top floor raises when the user is at fault; `components.errors` holds what components raise.

PipelineError
├── ConfigError           the pipeline file or an option is wrong
├── RootError             the root directory cannot be used
├── ReportError           there is no such run, or nothing to say about it
├── RollbackError         there is no version to go back to
├── ServiceUnavailable    a service that a run needs does not answer
├── EngineError           Flink, Spark or Dataflow did not do a job
└── ClusterRefused        Kubeflow's API does not do what it is asked
"""

from __future__ import annotations


class PipelineError(Exception):
    """Something that the user can mend; its message says how, and is shown as it stands."""

    exit_code = 1


class ConfigError(PipelineError):
    """The pipeline file or an option is wrong."""

    exit_code = 2


class ReportError(PipelineError):
    """There is no such run, or nothing to say about it."""

    exit_code = 2


class RootError(PipelineError):
    """The root directory cannot be used."""

    exit_code = 2


class RollbackError(PipelineError):
    """There is no version to go back to."""

    exit_code = 2


class ServiceUnavailable(PipelineError):
    """A service that a run needs does not answer."""


class EngineError(PipelineError):
    """Flink, Spark or Dataflow did not do a job."""


class ClusterRefused(PipelineError):
    """Kubeflow's API does not do what it is asked: a wrong host, an expired token, a name taken."""

    exit_code = 2
