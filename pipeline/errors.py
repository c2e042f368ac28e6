"""What the top floor raises when the user is at fault; `components.errors` holds what components raise.

PipelineError
├── ConfigError      the pipeline file or an option is wrong
├── ReportError      there is no such run, or nothing to say about it
└── RootError        the root directory cannot be used
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
